"""JSON over HTTP to a stranger's server: bounded in time and size, its errors in one sentence."""

from __future__ import annotations

import json
import re
import time
from typing import Any, final
from urllib.parse import SplitResult, urlsplit, urlunsplit

import httpx

from logpr.conformance.targets.base import ScorerError
from logpr.conformance.targets.reading import shown
from logpr.errors import QueryError

_MOST_BYTES = 1 << 26
_MOST_SAID = 300
_CONNECT = 10.0
_AGAIN = (429, 503)
_TRIES = 4
_NO_REFUSAL = frozenset({401, 403, 404, 405, 407, 408, 429})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_REDIRECTS, _BAD, _SERVERS = 300, 400, 500


def base_of(url: str) -> str:
    """Return the URL that /completions and /models stand under.

    Raises:
        QueryError: it is no URL of a completions endpoint.
    """
    parts = _split(url)
    path = parts.path.rstrip("/")
    if path.endswith("/chat/completions"):
        msg = (
            f"{public(url)} is a chat endpoint, which gives no log-probabilities of a text that "
            f"is given; give the server's completions: {public(url).replace('/chat', '')}"
        )
        raise QueryError(msg)
    path = path.removesuffix("/completions") or "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def public(url: str) -> str:
    """Return a URL without what may be secret in it: a password, a query."""
    parts = _split(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # A port that is no number raises here.
    except ValueError:
        known = False
    if not known:
        # What stands before an @ is a password, in what can hardly be read too.
        shown_url = re.sub(r"//.*@", "//…@", url.partition("?")[0])
        msg = f"{shown_url!r} is no URL of an endpoint; write http://HOST:PORT/v1"
        raise QueryError(msg)
    return parts


@final
class Wire:
    """A connection to one endpoint.

    Args:
        base: see `base_of`.
        key: sent as a bearer token, and never shown.
        time_limit: seconds from `begin` on.
    """

    def __init__(self, base: str, *, key: str | None, time_limit: float) -> None:
        parts = urlsplit(base)
        self._base = urlunsplit((*parts[:3], "", ""))
        self._query = f"?{parts.query}" if parts.query else ""
        self._key = key
        self._shown = public(base)
        self._time_limit = time_limit
        self._deadline = 0.0
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # A proxy of the environment has no business between this machine and itself.
        self._client = httpx.Client(headers=headers, trust_env=parts.hostname not in _LOOPBACK)

    def begin(self) -> None:
        """Begin a call: from now on the time limit runs."""
        self._deadline = time.monotonic() + self._time_limit

    def models(self) -> dict[str, Any]:
        """Return what GET /models says."""
        return self._object("GET", "/models", None)

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return what POST /completions answers.

        Raises:
            ScorerError: an error response (a refusal where it is about this input), or none.
        """
        return self._object("POST", "/completions", body)

    def close(self) -> None:
        """Close it."""
        self._client.close()

    def _object(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        for tried in range(_TRIES):
            try:
                status, data = self._sent(method, path, body)
            except httpx.RemoteProtocolError as error:
                # A server may close a connection just as it is used again; a second one is new.
                if tried:
                    raise self._broken(error) from None
                continue
            if status in _AGAIN and tried + 1 < _TRIES and self._wait(0.5 * 2**tried):
                continue
            break
        what = f"{method} {self._shown}{path}"
        found: object = None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            if status < _REDIRECTS:
                msg = f"{what} answered no JSON: {self._quoted(data)}"
                raise ScorerError(kind="wrong_shape", message=msg) from None
        if status >= _REDIRECTS:
            raise self._refused(what, status, found, data)
        if not isinstance(found, dict):
            msg = f"{what} answered {shown(found)}; wanted is a JSON object"
            raise ScorerError(kind="wrong_shape", message=msg)
        return found

    def _sent(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._late()
        # json.dumps escapes what has no UTF-8, as half a pair of surrogates.
        content = None if body is None else json.dumps(body).encode()
        data = bytearray()
        try:
            with self._client.stream(
                method,
                self._base + path + self._query,
                content=content,
                headers={} if content is None else {"Content-Type": "application/json"},
                timeout=httpx.Timeout(left, connect=min(left, _CONNECT)),
            ) as response:
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > _MOST_BYTES:
                        msg = f"{self._shown} answered more than {_MOST_BYTES >> 20} MiB"
                        raise ScorerError(kind="wrong_shape", message=msg)
                    if time.monotonic() > self._deadline:
                        raise self._late()
                return response.status_code, bytes(data)
        except httpx.ConnectTimeout as error:
            raise self._unreached(error) from None
        except httpx.TimeoutException:
            raise self._late() from None
        except httpx.ConnectError as error:
            raise self._unreached(error) from None
        except httpx.RemoteProtocolError:
            raise
        except httpx.HTTPError as error:
            raise self._broken(error) from None

    def _wait(self, seconds: float) -> bool:
        """Wait before another try, where there is time for it."""
        if time.monotonic() + seconds >= self._deadline:
            return False
        time.sleep(seconds)
        return True

    def _late(self) -> ScorerError:
        msg = (
            f"{self._shown} gave no answer within {self._time_limit:g} s; give it longer with "
            f"--time-limit (time_limit=)"
        )
        return ScorerError(kind="timed_out", message=msg, fatal=True)

    def _unreached(self, error: httpx.HTTPError) -> ScorerError:
        said = self._clean(str(error)) or type(error).__name__
        msg = f"{self._shown} cannot be reached: {said}; is the server up, and is this its port?"
        return ScorerError(kind="died", message=msg, fatal=True)

    def _broken(self, error: httpx.HTTPError) -> ScorerError:
        msg = f"{self._shown} broke off: {type(error).__name__}: {self._clean(str(error))}"
        return ScorerError(kind="died", message=msg)

    def _refused(self, what: str, status: int, found: object, data: bytes) -> ScorerError:
        said = self._clean(_message(found)) or self._quoted(data)
        ways = {
            401: "; set LOGPR_API_KEY or OPENAI_API_KEY",
            403: "; set LOGPR_API_KEY or OPENAI_API_KEY",
            404: "; check the URL, and --api-model",
        }
        way = ways.get(status, "")
        if status < _BAD:
            way = "; give the URL that it leads to"
        refusal = _BAD <= status < _SERVERS and status not in _NO_REFUSAL and bool(_message(found))
        return ScorerError(
            kind="raised",
            message=f"{what} answered {status}: {said}{way}",
            refusal=refusal,
            fatal=status in (401, 403, 404),
        )

    def _quoted(self, data: bytes) -> str:
        text = data[: 4 * _MOST_SAID].decode("utf-8", "replace")
        return shown(self._clean(text)) if text.strip() else "nothing"

    def _clean(self, text: str) -> str:
        """Return a server's words, short, without the key that it may quote."""
        if self._key:
            text = text.replace(self._key, "…")
        line = " ".join(text.split())
        return line if len(line) <= _MOST_SAID else f"{line[:_MOST_SAID]}…"


def _message(found: object) -> str:
    """Return the message of an error response, as servers are used to write one."""
    for _ in range(2):
        if isinstance(found, dict):
            found = next(
                (found[key] for key in ("error", "message", "detail") if found.get(key)), None
            )
    return found if isinstance(found, str) else "" if found is None else shown(found)
