"""The name of an endpoint: its URL, and behind a # what only this side has to know."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from logpr.errors import QueryError

FORM = "http://HOST:PORT/v1#tokenizer=FOLDER"

_SETTINGS = ("tokenizer", "model", "timeout")
_KEYS = ("LOGPR_API_KEY", "OPENAI_API_KEY")
_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where an endpoint is, and how its model is to be read.

    `base` is what /completions and /models stand under; `public` is it without what may be secret
    (a password, a query). `timeout` is seconds for one request.
    """

    base: str
    public: str
    tokenizer: Path | None = None
    model: str | None = None
    timeout: float = _TIMEOUT


def address_of(name: str) -> Address:
    """Return what a name says: URL#tokenizer=FOLDER&model=NAME&timeout=SECONDS.

    The part behind # is never sent. A + in it is a +, not a space.

    Raises:
        QueryError: it is no URL of a completions endpoint, or has settings that are not known.
    """
    parts = _split(name)
    public = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    path = parts.path.rstrip("/")
    if path.endswith("/chat/completions"):
        msg = (
            f"{public} is a chat endpoint, which continues no token ids; give the server's "
            f"completions: {public.replace('/chat', '')}"
        )
        raise QueryError(msg)
    path = path.removesuffix("/completions") or "/v1"
    settings = _settings(parts.fragment, public)
    tokenizer = settings.get("tokenizer")
    return Address(
        base=urlunsplit((parts.scheme, parts.netloc, path, parts.query, "")),
        public=urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", "")),
        tokenizer=None if tokenizer is None else Path(tokenizer).expanduser(),
        model=settings.get("model"),
        timeout=_seconds(settings.get("timeout"), public),
    )


def api_key() -> str | None:
    """Return the API key of the environment, without white space around it; None where none is set.

    Raises:
        QueryError: it holds what cannot be sent; the message does not show it.
    """
    for name in _KEYS:
        key = os.environ.get(name, "").strip()
        if not key:
            continue
        # The client would refuse it too, and quote it.
        wrong = next((at for at, one in enumerate(key) if not "!" <= one <= "~"), None)
        if wrong is not None:
            msg = (
                f"character {wrong + 1} of {len(key)} in {name} is none that a key can have (white "
                f"space, or not ASCII); set it again: export {name}=KEY"
            )
            raise QueryError(msg)
        return key
    return None


def _split(name: str) -> SplitResult:
    try:
        parts = urlsplit(name)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # a port that is no number raises here
    except ValueError:
        known = False
    if not known:
        # What stands before an @ is a password, in what can hardly be read too.
        shown = re.sub(r"//.*@", "//…@", name.partition("?")[0])
        msg = f"{shown!r} is no URL of an endpoint; write {FORM}"
        raise QueryError(msg)
    return parts


def _settings(fragment: str, public: str) -> dict[str, str]:
    pairs = parse_qsl(fragment.replace("+", "%2B"), keep_blank_values=True)
    found = dict(pairs)
    wrong = [key for key in found if key not in _SETTINGS]
    wrong += [key for key, value in found.items() if not value]
    if wrong or len(pairs) != len(found) or (fragment and not found):
        msg = (
            f"behind the # of an endpoint stand {', '.join(_SETTINGS)}, each once with a value, "
            f"found {fragment!r}; write {public}#tokenizer=FOLDER&model=NAME"
        )
        raise QueryError(msg)
    return found


def _seconds(given: str | None, public: str) -> float:
    if given is None:
        return _TIMEOUT
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        msg = (
            f"timeout is seconds of one request, above 0, found {given!r}; write "
            f"{public}#tokenizer=FOLDER&timeout=60"
        )
        raise QueryError(msg)
    return seconds
