"""A response as claims: its completion after its prompt, so that a model can be held against it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from logpr._values import Candidate, Query
from logpr.auditing.claims.values import Claim, ClaimRow, Declares, Printed
from logpr.auditing.responses.values import Response, ResponseStep
from logpr.errors import RecordError


def claim_rows(responses: Sequence[Response], *, prompt: str | None = None) -> tuple[ClaimRow, ...]:
    """Return responses as claims of their tokens: one row a document, one candidate a choice.

    The prompt is the argument, else what the response says of it: the ids or the text that it
    repeats, or, where the text begins with an echo, the tokens in front. A candidate has
    `token_ids` where every token of the completion has an id; else it has the text alone, which
    the model's own tokenizer has to cut again: `fields["tokens"]` then says which tokens the
    numbers belong to, and `fields["note"]` that they were not mapped to ids.

    Raises:
        RecordError: a response has no prompt and none was given, no token, or a token without a
            number.
    """
    rows = []
    for _, group in itertools.groupby(responses, key=lambda response: response.document):
        prepared = [_split(response, prompt) for response in group]
        asked = {(response.prompt, response.prompt_ids) for response in prepared}
        if len(asked) == 1:
            rows.append(_row(prepared))
        else:
            rows += [_row([response]) for response in prepared]
    return tuple(rows)


def _split(response: Response, prompt: str | None) -> Response:
    """Return the response with a prompt, its steps those of the completion alone."""
    if response.echoed:
        response = _without_echo(response, prompt)
    if prompt is not None:
        response = dataclasses.replace(response, prompt=prompt, prompt_ids=None)
    if response.prompt is None and response.prompt_ids is None:
        msg = (
            f"{response.where}: the response does not repeat its prompt, and its numbers are those "
            f"of a text after one; give it: --prompt TEXT, or prompt=… in Python"
        )
        raise RecordError(msg)
    if not response.steps:
        msg = f"{response.where}: the response has no token after its prompt: nothing is claimed"
        raise RecordError(msg)
    return response


def _without_echo(response: Response, prompt: str | None) -> Response:
    """Return an echoed response cut where the prompt ends: after `prompt`, else its first token."""
    steps = response.steps
    if prompt is None:
        first = steps[0]
        known = (None, (first.id,)) if first.id is not None else (first.token, None)
        return dataclasses.replace(
            response,
            steps=steps[1:],
            prompt_steps=(*response.prompt_steps, first),
            prompt=known[0],
            prompt_ids=known[1],
            text=_joined(steps[1:]),
        )
    covered = ""
    for place, step in enumerate(steps):
        if covered == prompt:
            return dataclasses.replace(
                response,
                steps=steps[place:],
                prompt_steps=(*response.prompt_steps, *steps[:place]),
                text=_joined(steps[place:]),
            )
        covered += step.token or ""
    msg = (
        f"{response.where}: the response echoes its prompt, and no run of its first tokens is "
        f"{prompt!r}; it begins with {_joined(steps[:8])!r}: give the prompt as it was sent"
    )
    raise RecordError(msg)


def _joined(steps: Sequence[ResponseStep]) -> str | None:
    if any(step.token is None for step in steps):
        return None
    if all(step.raw is not None for step in steps):
        return b"".join(step.raw or b"" for step in steps).decode(errors="replace")
    return "".join(step.token or "" for step in steps)


def _row(responses: Sequence[Response]) -> ClaimRow:
    first = responses[0]
    candidates = tuple(map(_candidate, responses))
    fields: dict[str, object] = {"format": first.format}
    if first.model is not None:
        fields["model"] = first.model
    if any(candidate.token_ids is None for candidate in candidates):
        fields["tokens"] = [[step.token for step in response.steps] for response in responses]
        fields["note"] = (
            "the response names its tokens by text: the text is tokenised again, and the numbers "
            "are compared only where that gives as many tokens"
        )
    return ClaimRow(
        query=Query(
            prompt=None if first.prompt_ids is not None else first.prompt,
            prompt_ids=first.prompt_ids,
            candidates=candidates,
            id=first.id if first.id is not None else first.document,
        ),
        claims=tuple(
            Claim(token_scores=tuple(map(_value, response.steps))) for response in responses
        ),
        where=first.where,
        declares=Declares(unit="probability" if first.unit == "probability" else "nats"),
        fields=fields,
    )


def _value(step: ResponseStep) -> Printed:
    if step.value is None:
        msg = (
            f"{step.where}: the token {step.token!r} has no number (null), and a claim has one for "
            f"each; audit the response without --model, or record it again"
        )
        raise RecordError(msg)
    return step.value


def _candidate(response: Response) -> Candidate:
    ids = tuple(step.id for step in response.steps if step.id is not None)
    text = _joined(response.steps)
    if len(ids) == len(response.steps):
        return Candidate(text=text, token_ids=ids)
    if text is None:
        msg = (
            f"{response.where}: some tokens have neither a text nor an id; ask the endpoint for "
            f"its tokens' ids or for their texts"
        )
        raise RecordError(msg)
    return Candidate(text=text)
