"""JSON over HTTP to an endpoint: bounded in time and size, tried again where that may help."""

from __future__ import annotations

import json
import time
from typing import Any, final
from urllib.parse import urlsplit, urlunsplit

import httpx

from logpr.errors import ModelError
from logpr.models.openai.address import Address

Json = dict[str, Any]

MOST_BYTES = 1 << 26
"""Of one answer: 64 MiB."""

WAIT = 0.5
"""Seconds before the second try; doubled before each further one."""

_TRIES = 4
_LONGEST_WAIT = 20.0
_CONNECT = 10.0
_AGAIN = frozenset({429, 500, 502, 503, 504})
_REFUSALS = frozenset({400, 413, 422})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_REDIRECTS, _BAD = 300, 400
_MOST_SAID = 300

_WAYS = {
    401: "; set LOGPR_API_KEY or OPENAI_API_KEY",
    403: "; set LOGPR_API_KEY or OPENAI_API_KEY",
    404: "; check the URL, and #model=NAME behind it",
    429: "; ask for less at a time, or later",
}


class EndpointError(ModelError):
    """An endpoint gave no usable answer.

    `refused`: it was there and did not take this request; another one it may take.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


@final
class Wire:
    """A connection to one endpoint.

    Args:
        address: where it is.
        key: sent as a bearer token, and never shown.
    """

    def __init__(self, address: Address, *, key: str | None) -> None:
        parts = urlsplit(address.base)
        self._base = urlunsplit((*parts[:3], "", ""))
        self._query = f"?{parts.query}" if parts.query else ""
        self._shown = address.public
        self._key = key
        self._timeout = address.timeout
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # A proxy of the environment has no business between this machine and itself.
        self._client = httpx.Client(headers=headers, trust_env=parts.hostname not in _LOOPBACK)

    def models(self) -> Json:
        """Return what GET /models says.

        Raises:
            EndpointError: no answer, an error, or no JSON object.
        """
        return self._object("GET", "/models", None)

    def post(self, body: Json) -> Json:
        """Return what POST /completions answers.

        Raises:
            EndpointError: no answer, an error, or no JSON object.
        """
        return self._object("POST", "/completions", body)

    def close(self) -> None:
        """Close it."""
        self._client.close()

    def _object(self, method: str, path: str, body: Json | None) -> Json:
        what = f"{method} {self._shown}{path}"
        status, data = self._answer(method, path, body)
        found: object = None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            if status < _REDIRECTS:
                msg = (
                    f"{what} answered {status} and no JSON: {self._quoted(data)}; check that this "
                    f"is the URL of the server's completions"
                )
                raise EndpointError(msg) from None
        if status >= _REDIRECTS:
            said = self._clean(_message(found)) or self._quoted(data)
            way = _WAYS.get(status, "; give the URL that it leads to" if status < _BAD else "")
            msg = f"{what} answered {status}: {said}{way}"
            raise EndpointError(msg, refused=status in _REFUSALS)
        if not isinstance(found, dict):
            msg = f"{what} answered {self._quoted(data)}; wanted is a JSON object"
            raise EndpointError(msg)
        return found

    def _answer(self, method: str, path: str, body: Json | None) -> tuple[int, bytes]:
        """Return status and body, of the last try where the others may be tried again."""
        for tried in range(_TRIES):
            last = tried + 1 == _TRIES
            try:
                status, data, wait = self._sent(method, path, body)
            except httpx.RemoteProtocolError as error:
                # A server may close a connection just as it is used again; a second one is new.
                if tried:
                    msg = f"{self._shown} broke off: {self._clean(str(error))}; is it still up?"
                    raise EndpointError(msg) from None
                continue
            if status not in _AGAIN or last:
                break
            time.sleep(min(_LONGEST_WAIT, max(wait, WAIT * 2**tried)))
        return status, data

    def _sent(self, method: str, path: str, body: Json | None) -> tuple[int, bytes, float]:
        deadline = time.monotonic() + self._timeout
        content = None if body is None else json.dumps(body).encode()
        data = bytearray()
        try:
            with self._client.stream(
                method,
                self._base + path + self._query,
                content=content,
                headers={} if content is None else {"Content-Type": "application/json"},
                timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, _CONNECT)),
            ) as response:
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MOST_BYTES:
                        msg = (
                            f"{method} {self._shown}{path} answered more than "
                            f"{MOST_BYTES / 2**20:g} MiB, which no completion asked for has; "
                            f"check what the server is"
                        )
                        raise EndpointError(msg)
                    # A trickle of bytes never runs into the client's own timeout.
                    if time.monotonic() > deadline:
                        raise self._late()
                wait = response.headers.get("Retry-After", "")
                return response.status_code, bytes(data), _seconds(wait)
        except (httpx.ConnectTimeout, httpx.ConnectError) as error:
            said = self._clean(str(error)) or type(error).__name__
            msg = (
                f"{self._shown} cannot be reached: {said}; is the server up, and is this its port?"
            )
            raise EndpointError(msg) from None
        except httpx.TimeoutException:
            raise self._late() from None
        except httpx.RemoteProtocolError:
            raise
        except httpx.HTTPError as error:
            msg = (
                f"{self._shown} broke off: {type(error).__name__}: {self._clean(str(error))}; "
                f"is it still up?"
            )
            raise EndpointError(msg) from None

    def _late(self) -> EndpointError:
        msg = (
            f"{self._shown} gave no answer within {self._timeout:g} s; give it longer: "
            f"{self._shown}#tokenizer=FOLDER&timeout={2 * self._timeout:g}"
        )
        return EndpointError(msg)

    def _quoted(self, data: bytes) -> str:
        text = self._clean(data[: 4 * _MOST_SAID].decode("utf-8", "replace"))
        return repr(text) if text else "nothing"

    def _clean(self, text: str) -> str:
        """Return a server's words, short, without the key that it may quote."""
        if self._key:
            text = text.replace(self._key, "…")
        line = " ".join(text.split())
        return line if len(line) <= _MOST_SAID else f"{line[:_MOST_SAID]}…"


def _seconds(wait: str) -> float:
    """Return what Retry-After says, where it is seconds; it may be a date."""
    return float(wait) if wait.isascii() and wait.isdigit() else 0.0


def _message(found: object) -> str:
    """Return the message of an error response, as servers are used to write one."""
    for _ in range(2):
        if isinstance(found, dict):
            found = next(
                (found[key] for key in ("error", "message", "detail") if found.get(key)), None
            )
    return found if isinstance(found, str) else "" if found is None else json.dumps(found)
