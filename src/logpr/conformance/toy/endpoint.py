"""A toy behind a completions URL as OpenAI's is: its log-probabilities are the closed form's."""

from __future__ import annotations

import codecs
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, final

import numpy as np

from logpr.conformance.toy.forward import logprobs
from logpr.conformance.toy.oracle import Toy

_MOST_TOKENS = 16
"""Tokens generated where a request does not say how many, as OpenAI's endpoint has it."""

_MOST_BYTES = 1 << 26
_MOST_TOP = 5


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def endpoint(toy: Toy, *, key: str | None = None) -> Iterator[str]:
    """Serve a toy on the loopback interface while the block runs; yield its URL, …/v1.

    GET /v1/models and POST /v1/completions: `prompt` (a text, ids, or a list of either), `echo`,
    `logprobs`, `max_tokens` (0 too; generation is greedy). The start token is fed and echoed, with
    no text of its own, where the toy's tokenizer adds it; token ids are fed as they are.

    >>> from logpr.conformance.toy import toy
    >>> from logpr.conformance.toy.endpoint import endpoint
    >>> with endpoint(toy("bytes")) as url:
    ...     url.endswith("/v1")
    True

    Args:
        toy: the model.
        key: required of whoever asks, where it is given.
    """
    model = _Served(toy)

    class Handler(_Handler):
        served = model
        token = key

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@final
class _Served:
    """What the endpoint answers, in Python's own values."""

    def __init__(self, toy: Toy) -> None:
        self._toy = toy
        self._lock = threading.Lock()
        self.name = f"toy:{toy.name}"

    def models(self) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": self.name, "object": "model"}]}

    def completions(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to the body of a request."""
        if asked.get("model") != self.name:
            msg = f"The model {asked.get('model')!r} does not exist; there is {self.name}"
            raise _RefusedError(404, msg)
        prompts = self._prompts(asked.get("prompt"))
        most = asked.get("max_tokens", _MOST_TOKENS)
        if not isinstance(most, int) or most < 0:
            raise _RefusedError(400, "max_tokens must be a whole number, at least 0")
        top = asked.get("logprobs")
        if top is not None and (not isinstance(top, int) or not 0 <= top <= _MOST_TOP):
            raise _RefusedError(400, f"logprobs must be a whole number from 0 to {_MOST_TOP}")
        with self._lock:
            choices = [
                self._choice(place, prompt, echo=asked.get("echo") is True, most=most, top=top)
                for place, prompt in enumerate(prompts)
            ]
        return {"object": "text_completion", "model": self.name, "choices": choices}

    def _prompts(self, given: Any) -> list[tuple[int, ...]]:  # noqa: ANN401 - JSON
        if isinstance(given, str):
            return [self._encoded(given)]
        if isinstance(given, list) and given and all(type(token) is int for token in given):
            return [self._checked(given)]
        if isinstance(given, list) and given:
            return [
                self._encoded(one) if isinstance(one, str) else self._checked(one) for one in given
            ]
        raise _RefusedError(400, "prompt must be a text, token ids, or a list of either")

    def _encoded(self, text: str) -> tuple[int, ...]:
        try:
            ids = self._toy.pieces.encode(text)
        except (KeyError, UnicodeEncodeError):
            msg = f"The prompt {text[:40]!r} holds characters that the vocabulary has not"
            raise _RefusedError(400, msg) from None
        starts = (self._toy.pieces.start_id,) if self._toy.variant.adds_start else ()
        return starts + ids

    def _checked(self, ids: Any) -> tuple[int, ...]:  # noqa: ANN401 - JSON
        size = self._toy.pieces.vocab_size
        if not isinstance(ids, list) or any(type(i) is not int or not 0 <= i < size for i in ids):
            raise _RefusedError(400, f"Token ids must be whole numbers from 0 to {size - 1}")
        return tuple(ids)

    def _choice(
        self, place: int, prompt: tuple[int, ...], *, echo: bool, most: int, top: int | None
    ) -> dict[str, Any]:
        if not prompt:
            raise _RefusedError(400, "The prompt is empty")
        if len(prompt) + most > self._toy.context_length:
            msg = (
                f"This model's maximum context length is {self._toy.context_length} tokens; "
                f"{len(prompt)} in the prompt and {most} to come were asked for"
            )
            raise _RefusedError(400, msg)
        tokens = prompt
        while len(tokens) < len(prompt) + most and tokens[-1] != self._toy.pieces.end_id:
            tokens += (int(np.argmax(self._toy.rows([tokens])[0])),)
        first = 0 if echo else len(prompt)
        texts = self._texts(tokens)[first:]
        return {
            "index": place,
            "text": "".join(texts),
            "finish_reason": "stop" if tokens[-1] == self._toy.pieces.end_id else "length",
            "logprobs": None if top is None else self._logprobs(tokens, texts, first, top),
        }

    def _logprobs(
        self, tokens: tuple[int, ...], texts: Sequence[str], first: int, top: int
    ) -> dict[str, Any]:
        """Return what is said of tokens from the `first` on; of the first of all nothing can be."""
        rows = logprobs(self._toy.rows([tokens[:size] for size in range(1, len(tokens) + 1)]))
        each: list[float | None] = []
        best: list[dict[str, float] | None] = []
        for place in range(first, len(tokens)):
            row = rows[place - 1] if place else None
            each.append(None if row is None else float(row[tokens[place]]))
            order = () if row is None else np.argsort(row)[::-1][:top]
            best.append(
                None
                if row is None
                else {self._name(int(token)): float(row[token]) for token in order}
            )
        offsets = [sum(map(len, texts[:place])) for place in range(len(texts))]
        names = [
            text or self._name(token) for text, token in zip(texts, tokens[first:], strict=True)
        ]
        return {
            "tokens": names,
            "token_logprobs": each,
            "text_offset": offsets,
            "top_logprobs": best,
        }

    def _texts(self, tokens: Sequence[int]) -> list[str]:
        """Return the text that each token completes; one inside a character completes none."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pieces = self._toy.pieces
        return [
            decoder.decode(pieces.names[token]) if token < pieces.start_id else ""
            for token in tokens
        ]

    def _name(self, token: int) -> str:
        """Return a token as it is called where it completes no text."""
        names = self._toy.pieces.names
        if token >= len(names):
            return f"<unused {token}>"
        try:
            return names[token].decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in names[token])


class _Server(ThreadingHTTPServer):
    """A thread a connection."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own
        """Say nothing of whoever hung up before the answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """HTTP around it."""

    protocol_version = "HTTP/1.1"
    # Head and body in one piece: a second one would wait 40 ms for the first to be acknowledged.
    wbufsize = 1 << 16
    served: _Served
    token: str | None = None

    def do_GET(self) -> None:
        self._answered(self.served.models, "/v1/models")

    def do_POST(self) -> None:
        self._answered(lambda: self.served.completions(self._body()), "/v1/completions")

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002, ANN401 - as above
        """Say nothing: stderr is the program's."""

    def _answered(self, answer: Any, path: str) -> None:  # noqa: ANN401 - a function of one of ours
        try:
            if self.token is not None and self.headers["Authorization"] != f"Bearer {self.token}":
                raise _RefusedError(401, "No key was given, or a wrong one")  # noqa: TRY301 - one way out
            if self.path != path:
                raise _RefusedError(404, f"There is no {self.path}")  # noqa: TRY301 - as above
            status, found = 200, answer()
        except _RefusedError as error:
            message = {"message": str(error), "type": "invalid_request_error"}
            status, found = error.status, {"error": message}
            # What was sent may not have been read, and would be taken for another request.
            self.close_connection = True
        data = json.dumps(found, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> dict[str, Any]:
        size = int(self.headers["Content-Length"] or 0)
        if size > _MOST_BYTES:
            raise _RefusedError(413, "The request is too large")
        try:
            found = json.loads(self.rfile.read(size))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise _RefusedError(400, "The body must be a JSON object")
        return found
