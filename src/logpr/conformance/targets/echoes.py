"""Echoed prompts of a completions endpoint: whose log-probabilities are the candidate's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

from logpr.conformance.targets.base import ScorerError
from logpr.conformance.targets.reading import shown
from logpr.conformance.toy import Policy

_SPACES = " \n\t\u2581\u0120\u010a"
"""What a token's name may begin with in place of a space or a newline."""

_PARTIAL = "bytes:"
"""What the name of a token that ends inside a character begins with."""


class NotEchoedError(Exception):
    """The answer holds nothing of the prompt."""


@dataclass(frozen=True, slots=True)
class Echo:
    """A text's tokens: where each begins in the text, and its log-probability.

    `start` counts the start tokens before the text; the first token of all has no log-probability.
    """

    names: tuple[str, ...]
    begins: tuple[int, ...]
    logprobs: tuple[float | None, ...]
    length: int
    start: int

    def over(self, cut: int) -> int | None:
        """Return the token that begins before a place in the text and ends after it, if any."""
        for place in range(self.start, len(self.names)):
            last = place + 1 == len(self.names)
            end = self.length if last else self.begins[place + 1]
            if self.begins[place] < cut < end:
                return place
        return None

    def from_place(self, cut: int) -> int:
        """Return the first token that begins at a place in the text, or after it."""
        for place in range(self.start, len(self.names)):
            if self.begins[place] >= cut:
                return place
        return len(self.names)

    def scores(self, first: int) -> tuple[float, ...]:
        """Return the log-probabilities of the tokens from one on.

        Raises:
            ScorerError: one of them has none.
        """
        for place in range(first, len(self.names)):
            if self.logprobs[place] is None:
                _refuse_first(self.names[place], place)
        return tuple(each for each in self.logprobs[first:] if each is not None)


def text_echo(choice: dict[str, Any], text: str) -> Echo:
    """Return the echo of a text; what was generated after it is dropped.

    Where the tokens spell the text, behind a start token or not, their own lengths say where each
    begins; else `text_offset` does.

    Raises:
        NotEchoedError: the text is not there.
        ScorerError: `wrong_shape`, `not_numbers`.
    """
    names, logprobs, offsets = _lists(choice)
    joined = "".join(names)
    lead = len(names[0]) if names else 0
    if joined.startswith(text):
        begins = [0, *accumulate(map(len, names[:-1]))]
    elif joined[lead:].startswith(text):
        begins = [max(0, end - lead) for end in (0, *accumulate(map(len, names[:-1])))]
    elif str(choice.get("text", "")).startswith(text) and offsets is not None:
        begins = offsets
        if len(names) > 1 and begins[1] == lead and not text.startswith(names[0]):
            # Counted from the start token's own letters on.
            begins = [max(0, each - lead) for each in begins]
        _require_places(names, begins, text)
    else:
        raise NotEchoedError
    begins = begins[: len(names)]
    kept = next((place for place, begin in enumerate(begins) if begin >= len(text) > 0), len(names))
    if not text:
        # A start token, or nothing that was asked for.
        kept = int(bool(names) and logprobs[0] is None)
    return _echo(names[:kept], begins[:kept], logprobs[:kept], text)


def _require_places(names: Sequence[str], begins: Sequence[int], text: str) -> None:
    """Refuse places that are no places in the text, as of tokens counted without their spaces.

    Plain words tell; how a server names spaces and parts of characters is its own affair.
    """
    for name, begin in zip(names, begins, strict=True):
        word = name.lstrip(_SPACES)
        if begin < len(text) and word.isascii() and word.isalnum():
            there = text[begin:]
            if not there.lstrip(_SPACES).startswith(word):
                _wrong(f"text_offset puts {shown(name)} at {begin}, where {shown(there)} stands")


def ids_echo(choice: dict[str, Any], size: int) -> Echo:
    """Return the echo of so many token ids; what was generated after them is dropped.

    Raises:
        NotEchoedError: there are fewer.
        ScorerError: `wrong_shape`, `not_numbers`.
    """
    names, logprobs, _ = _lists(choice)
    if len(names) < size:
        raise NotEchoedError
    return Echo(
        tuple(names[:size]), tuple(range(size)), tuple(logprobs[:size]), length=size, start=0
    )


def listed_echo(choice: dict[str, Any], prompt: str | tuple[int, ...]) -> Echo:
    """Return what `prompt_logprobs` of a choice says, as vLLM gives it.

    One mapping a token from its id to {"logprob": …, "decoded_token": …}, null for the first.

    Raises:
        NotEchoedError: it says nothing.
        ScorerError: `wrong_shape`, `not_numbers`.
    """
    given = choice.get("prompt_logprobs")
    if not isinstance(given, list):
        raise NotEchoedError
    names: list[str] = []
    logprobs: list[float | None] = []
    for place, entry in enumerate(given):
        # Asked for no alternatives, each holds the prompt's own token alone.
        own = next(iter(entry.values()), None) if isinstance(entry, dict) else None
        if place and not isinstance(own, dict):
            _wrong(f"prompt_logprobs holds {shown(entry)} at place {place}")
        names.append("" if own is None else str(own.get("decoded_token") or ""))
        logprobs.append(None if own is None else _number(own.get("logprob"), place))
    if not isinstance(prompt, str):
        if len(names) != len(prompt):
            _wrong(f"prompt_logprobs has {len(names)} entries for {len(prompt)} token ids")
        return Echo(
            tuple(names), tuple(range(len(names))), tuple(logprobs), length=len(prompt), start=0
        )
    rest = "".join(names[1:])
    if not prompt.endswith(rest):
        _wrong(f"prompt_logprobs spells {shown(rest)}, and the prompt is {shown(prompt)}")
    # Nothing is said of the first token, its text not either: what the others leave is its.
    names[:1] = [prompt[: len(prompt) - len(rest)]]
    begins = [0, *accumulate(map(len, names[:-1]))][: len(names)]
    return _echo(names, begins, logprobs, prompt)


def candidate_scores(
    echo: Echo, prompt: str, policy: Policy, prompt_tokens: int | None
) -> tuple[float, ...]:
    """Return the log-probabilities of the candidate's tokens in the echo of prompt + candidate.

    The endpoint cuts the whole text into tokens, so it is the text's own tokens that are scored:
    under `joint` with one that straddles, under `split` those after as many as the prompt alone
    has. `separate` and `verbatim` agree with it wherever no token straddles.

    Args:
        echo: of both.
        prompt: the prompt alone.
        policy: as declared.
        prompt_tokens: how many the prompt alone has, start tokens among them; for `split`.

    Raises:
        ScorerError: a token straddles, and the policy cuts it.
    """
    if policy == "split":
        assert prompt_tokens is not None, "the prompt was counted"
        return echo.scores(max(prompt_tokens, echo.start))
    cut = len(prompt.rstrip(" ") if policy == "separate" else prompt)
    over = echo.over(cut)
    if over is not None and policy != "joint":
        msg = (
            f"token {shown(echo.names[over])} reaches over the end of the prompt, and a text sent "
            f"to this endpoint cannot be cut there as boundary={policy} declares; declare "
            f"boundary=joint, or send token ids (ids=true)"
        )
        raise ScorerError(kind="raised", message=msg, refusal=True)
    return echo.scores(echo.from_place(cut) if over is None else over)


def _echo(
    names: Sequence[str], begins: Sequence[int], logprobs: Sequence[float | None], text: str
) -> Echo:
    """Return an echo whose start token, which spells nothing of the text, is told apart."""
    width = (begins[1] if len(begins) > 1 else len(text)) if begins else 0
    start = bool(names) and logprobs[0] is None and width == 0 and _spelled(names[0], text)
    return Echo(tuple(names), tuple(begins), tuple(logprobs), len(text), int(start))


def _spelled(name: str, text: str) -> bool:
    """Return whether a token of no width is a start token, not the first part of a character."""
    return not name.startswith(_PARTIAL) and (bool(name) or text[:1].isascii())


def _lists(choice: dict[str, Any]) -> tuple[list[str], list[float | None], list[int] | None]:
    found = choice.get("logprobs")
    if not isinstance(found, dict) or not isinstance(found.get("tokens"), list):
        raise NotEchoedError
    names, given, offsets = found["tokens"], found.get("token_logprobs"), found.get("text_offset")
    if not isinstance(given, list) or len(given) != len(names):
        _wrong(f"token_logprobs is {shown(given)}, beside {len(names)} tokens")
    logprobs = [None if each is None else _number(each, at) for at, each in enumerate(given)]
    usable = (
        isinstance(offsets, list)
        and len(offsets) == len(names)
        and all(type(each) is int for each in offsets)
        and offsets == sorted(offsets)
    )
    return [str(each) for each in names], logprobs, offsets if usable else None


def _number(value: object, place: int) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        msg = f"the endpoint gave {shown(value)} as log-probability of token {place}"
        raise ScorerError(kind="not_numbers", message=msg)
    return float(value)


def _refuse_first(name: str, place: int) -> NoReturn:
    if place:
        msg = f"the endpoint gave no log-probability for token {place}, {shown(name)}"
        raise ScorerError(kind="not_numbers", message=msg)
    msg = (
        f"the endpoint has no log-probability for {shown(name)}, the first token of all: nothing "
        f"stands before it, since no start token is put first; give a prompt"
    )
    raise ScorerError(kind="raised", message=msg, refusal=True)


def _wrong(message: str) -> NoReturn:
    raise ScorerError(kind="wrong_shape", message=f"the endpoint answered otherwise: {message}")
