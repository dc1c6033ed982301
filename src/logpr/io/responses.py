"""Recorded API responses: bytes in, `Response` values out, whatever server wrote them.

Read are single documents, JSON Lines of documents, and streams: JSON Lines of tokens or chunks,
and server-sent events (`data: {…}`). Chunks of one response are joined.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from logpr.auditing.responses.values import Response, ResponseStep, with_common_digits
from logpr.errors import InputError, MissingFileError, RecordError
from logpr.io._fault import RowFault, shown
from logpr.io._response_columns import is_gltr, is_sglang, read_gltr, read_sglang
from logpr.io._response_fields import JsonNumber, step_at, unit_of
from logpr.io._response_joined import Joined, unwrapped
from logpr.io._response_openai import (
    is_openai,
    is_openai_response,
    read_openai,
    read_openai_response,
)
from logpr.io._response_servers import (
    is_gemini,
    is_llama_cpp,
    is_ollama,
    is_tgi,
    read_gemini,
    read_llama_cpp,
    read_ollama,
    read_tgi,
)

LARGEST = 1 << 28
"""Bytes of one recording; a response of a thousand tokens with twenty tops each has a few 10^6."""

_SNIFFED = 1 << 20
"""Bytes of the first line that are looked at to tell a response from other files."""

_FORMATS: tuple[
    tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any]], list[Response]]], ...
] = (
    (is_openai, read_openai),
    (is_openai_response, read_openai_response),
    (is_gemini, read_gemini),
    (is_llama_cpp, read_llama_cpp),
    (is_tgi, read_tgi),
    (is_sglang, read_sglang),
    (is_ollama, read_ollama),
    (is_gltr, read_gltr),
)

_KNOWN = (
    "OpenAI and vLLM (completions, chats, responses), llama.cpp, Ollama, Gemini, TGI, SGLang, "
    "GLTR, and JSON Lines of tokens"
)


def read_responses(source: str | Path | bytes | dict[str, Any]) -> tuple[Response, ...]:
    """Return the responses of a recording, one for each choice.

    Args:
        source: a path; the text of a document that has a line end, or begins with `{`, `[` or
            `data:`; its bytes; or a document as an object.

    Raises:
        RecordError: it is no JSON, no response that is known, one without log-probabilities, or a
            field is of the wrong type; with the line and the path inside the document.
        MissingFileError: there is no such file.
    """
    name, documents, streamed = _documents(source)
    joined = Joined(streamed=streamed)
    for number, (line, document) in enumerate(documents):
        where = name if line is None else f"{name}:{line}"
        try:
            for response in _read(document):
                place = response.where if line is None else f"line {line}: {response.where}"
                steps = response.steps if line is None else _on_line(response.steps, line)
                joined.add(
                    dataclasses.replace(response, where=place, steps=steps, document=number),
                    document,
                )
        except RowFault as fault:
            raise RecordError(fault.text(where)) from fault
        except RecursionError as error:
            msg = f"{where}: the JSON is nested too deeply to be a response"
            raise RecordError(msg) from error
    found = [response for response in joined.responses if response.all_steps]
    if not found:
        msg = (
            f"{name}: found no log-probabilities in it; ask the endpoint for them (OpenAI chats: "
            f"logprobs=true, top_logprobs=5; completions: logprobs=5) and record the response again"
        )
        raise RecordError(msg)
    return tuple(map(with_common_digits, found))


def is_response(source: str | Path | bytes | dict[str, Any]) -> bool:
    """Return whether a source looks like a recorded response: its first document is of one.

    Reads no more than that document, and raises nothing for a file that is something else.

    Raises:
        MissingFileError: there is no such file.
    """
    if isinstance(source, dict):
        return _format_of(source) is not None
    path = None if isinstance(source, bytes) or _is_document(source) else Path(source)
    if path is not None and not _exists(path):
        _missing(path)
    try:
        head = _head_of(source) if path is None else _first_line(path)
        if head.startswith((b"data:", b"event:", b":")):
            return True
        if not head.startswith((b"{", b"[")):
            return False
        try:
            first = _json(head.decode())
        except ValueError:
            _, documents, _ = _documents(source)
            first = documents[0][1] if documents else None
    except (InputError, RowFault, ValueError, RecursionError, OSError):
        return False
    first = first[0] if isinstance(first, list) and first else first
    return isinstance(first, dict) and _format_of(unwrapped(first)) is not None


def _is_document(source: str | Path) -> bool:
    # No file's name has a line end, and a stream of events may begin with a comment.
    return isinstance(source, str) and (
        "\n" in source or source.lstrip().startswith(("{", "[", "data:", "event:"))
    )


def _head_of(source: object) -> bytes:
    data = source.encode(errors="replace") if isinstance(source, str) else source
    assert isinstance(data, bytes), "a document was given as text or bytes"
    return data.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return _head_of(file.read(_SNIFFED))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        # Too long for a name, or a zero byte in it.
        return False


def _missing(path: Path) -> NoReturn:
    name = str(path)
    msg = f"there is no file {name if name.isprintable() else shown(name)}; check the path"
    raise MissingFileError(msg)


def _documents(
    source: str | Path | bytes | dict[str, Any],
) -> tuple[str, list[tuple[int | None, object]], bool]:
    """Return the name, the documents with their lines, and whether they are a stream of events."""
    if isinstance(source, dict):
        return "<response>", [(None, source)], False
    name = "<response>"
    if isinstance(source, bytes):
        data = source
    elif _is_document(source):
        data = str(source).encode(errors="surrogatepass")
    else:
        name, data = str(source), _bytes_of(Path(source))
    if len(data) > LARGEST:
        msg = f"{name}: a recording of {len(data)} bytes; the largest read is {LARGEST >> 20} MiB"
        raise RecordError(msg)
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        msg = f"{name}: byte 0x{data[error.start]:02x} is no UTF-8; write the file in UTF-8"
        raise RecordError(msg) from error
    if text.lstrip().startswith(("data:", "event:", ":")):
        return name, list(_parsed(name, _events(text))), True
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        msg = f"{name}: it is empty; a recorded response is a JSON document"
        raise RecordError(msg)
    if len(lines) > 1 and _is_json(lines[0][1]):
        return name, list(_parsed(name, iter(lines))), False
    (document,) = _parsed(name, iter([(None, text)]))
    if isinstance(document[1], list):
        return name, [(None, item) for item in document[1]], False
    return name, [document], False


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except (FileNotFoundError, ValueError):
        _missing(path)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; check that it is a file, and its rights"
        raise RecordError(msg) from error


def _events(text: str) -> Iterator[tuple[int, str]]:
    """Yield the data of server-sent events: `data:` lines up to an empty one, the end mark not."""
    data: list[str] = []
    begun = 0
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.startswith("data:"):
            begun = begun if data else number
            data.append(line.removeprefix("data:").removeprefix(" "))
            if not _is_json("\n".join(data)) and data != ["[DONE]"]:
                continue
        elif line.strip():
            continue
        if data and data != ["[DONE]"]:
            yield begun, "\n".join(data)
        data = []


def _is_json(text: str) -> bool:
    try:
        _json(text)
    except (ValueError, RowFault, RecursionError):
        return False
    return True


def _json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    return json.loads(
        text, parse_float=JsonNumber, parse_constant=JsonNumber, object_pairs_hook=_pairs
    )


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        msg = f"the name {twice!r} stands twice in one object; one of the two would be lost"
        raise RowFault(msg)
    return row


def _parsed(
    name: str, texts: Iterator[tuple[int | None, str]] | Iterator[tuple[int, str]]
) -> Iterator[tuple[int | None, object]]:
    for line, text in texts:
        where = name if line is None else f"{name}:{line}"
        try:
            yield line, _json(text)
        except json.JSONDecodeError as error:
            near = text[max(0, error.pos - 20) : error.pos + 20].strip()
            row = error.lineno if line is None else line
            msg = (
                f"{name}:{row}: the JSON is malformed at column {error.colno}: {error.msg} (near "
                f"{near!r}); was the recording cut?"
            )
            raise RecordError(msg) from error
        except RowFault as fault:
            raise RecordError(fault.text(where)) from fault
        except RecursionError as error:
            msg = f"{where}: the JSON is nested too deeply to be a response"
            raise RecordError(msg) from error
        except ValueError as error:
            msg = f"{where}: a number cannot be read: {error}"
            raise RecordError(msg) from error


def _format_of(
    document: dict[str, Any],
) -> Callable[[dict[str, Any]], list[Response]] | None:
    if isinstance(document.get("token"), str) and ("logprob" in document or "prob" in document):
        return _read_token
    return next((read for holds, read in _FORMATS if holds(document)), None)


def _read_token(document: dict[str, Any]) -> list[Response]:
    step = step_at(document, "token")
    return [Response(format="tokens", steps=(step,), where="token", unit=unit_of(document))]


def _read(document: object) -> list[Response]:
    if not isinstance(document, dict):
        msg = f"a response is an object, found {shown(document)}"
        raise RowFault(msg)
    inner = unwrapped(document)
    read = _format_of(inner)
    if read is not None:
        return read(inner)
    if isinstance(inner.get("error"), (dict, str)):
        msg = f"the endpoint answered with an error: {shown(inner['error'])}; record a response"
        raise RowFault(msg, "error")
    names = ", ".join(map(repr, list(inner)[:8])) or "none"
    msg = f"no response that is known: its fields are {names}; read are {_KNOWN}"
    raise RowFault(msg)


def _on_line(steps: tuple[ResponseStep, ...], line: int) -> tuple[ResponseStep, ...]:
    return tuple(dataclasses.replace(step, where=f"line {line}: {step.where}") for step in steps)
