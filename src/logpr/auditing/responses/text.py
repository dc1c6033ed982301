"""Whether a response has a number for all of its text: tokens, bytes and text held together."""

from __future__ import annotations

from collections.abc import Sequence

from logpr._values.audit import Finding
from logpr.auditing.responses.values import Response, ResponseStep


def missing_positions(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Find positions without a number, and text that the tokens do not make.

    The first token of an echoed prompt has nothing before it and no number by right. Nothing here
    accuses: the numbers that there are may be right, but a sum over them is not the text's.
    """
    out: list[Finding] = []
    absent = [step.where for response in responses for step in _absent(response)]
    if absent:
        says = (
            f"{len(absent)} {_tokens(len(absent))} no number, first {absent[0]}: no sum over the "
            f"response is the log-probability of its text"
        )
        out.append(Finding(id="missing_positions", says=says, rows=len(absent)))
    for suggests, said in (
        (("first_token_dropped",), "the text begins before the first token that has a number"),
        (("last_token_dropped",), "the text goes on after the last token that has a number"),
        ((), "the tokens do not join to the text"),
    ):
        struck = [response for response in responses if _gap(response) == (suggests, said)]
        if struck:
            out.append(
                Finding(
                    id="missing_positions",
                    says=f"{said} ({struck[0].where})",
                    rows=len(struck),
                    suggests=suggests,
                )
            )
    garbled = [
        step.where
        for response in responses
        for step in response.all_steps
        if _bytes_are_others(step)
    ]
    if garbled:
        says = (
            f"a token's bytes are not those of its text at {len(garbled)} positions, first at "
            f"{garbled[0]}"
        )
        out.append(Finding(id="missing_positions", says=says, rows=len(garbled)))
    return tuple(out)


def _tokens(count: int) -> str:
    return "token has" if count == 1 else "tokens have"


def _absent(response: Response) -> list[ResponseStep]:
    steps = response.all_steps
    first = bool(response.prompt_steps) or response.echoed
    return [step for step in steps[1 if first else 0 :] if step.value is None]


def _gap(response: Response) -> tuple[tuple[str, ...], str] | None:
    joined = _joined(response.steps)
    text = response.text
    if text is None or joined is None or _stripped(joined) == text.strip():
        return None
    if text.strip() in (joined.strip(), ""):
        # The content is empty where the answer is a call of a tool, or is kept somewhere else.
        return None
    whole = joined.strip()
    if whole and text.strip().endswith(whole):
        return ("first_token_dropped",), "the text begins before the first token that has a number"
    if whole and text.strip().startswith(whole):
        return ("last_token_dropped",), "the text goes on after the last token that has a number"
    return (), "the tokens do not join to the text"


def _joined(steps: Sequence[ResponseStep]) -> str | None:
    if any(step.token is None for step in steps):
        return None
    if all(step.raw is not None for step in steps):
        return b"".join(step.raw or b"" for step in steps).decode(errors="replace")
    joined = "".join(step.token or "" for step in steps)
    # Half a character a token: the text has it whole.
    return None if "�" in joined else joined


def _stripped(joined: str) -> str:
    """Return the text without the end tokens that servers count and do not show."""
    text = joined.strip()
    for left, right in (("<|", "|>"), ("<", ">"), ("[", "]")):
        if text.endswith(right) and left in text:
            cut = text[: text.rindex(left)].strip()
            if cut and " " not in text[text.rindex(left) :]:
                return cut
    return text


def _bytes_are_others(step: ResponseStep) -> bool:
    if step.raw is None or step.token is None or "�" in step.token:
        return False
    try:
        text = step.raw.decode()
    except UnicodeDecodeError:
        # Half a character: the token's text is a notation for its bytes.
        return False
    return text != step.token
