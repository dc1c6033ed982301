"""What a response's numbers say of themselves, where there is no model to hold them against."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from logpr._values.audit import AuditReport, AuditRow, AuditVerdict, FaultFound, Finding, Untested
from logpr.auditing.responses.lists import LIST_CHECKS
from logpr.auditing.responses.mass import MASS_CHECKS, shortlist_size
from logpr.auditing.responses.numbers import NUMBER_CHECKS
from logpr.auditing.responses.pairs import processed_by_temperature, temperature_between
from logpr.auditing.responses.text import missing_positions
from logpr.auditing.responses.units import Check
from logpr.auditing.responses.values import Response, half_grid
from logpr.errors import NumbersError

RESPONSE_CHECKS: tuple[Check, ...] = (
    *NUMBER_CHECKS,
    *MASS_CHECKS,
    *LIST_CHECKS,
    processed_by_temperature,
    missing_positions,
)
"""Every check, in the order in which a report has their findings."""

_SILENT = (
    "nothing in these numbers contradicts log-probabilities; whether they are log Pr(y | x) cannot "
    "be told without the model"
)

_EXPLAINS: dict[str, frozenset[str]] = {
    "probabilities_not_logprobs": frozenset(),
    "surprisals_not_logprobs": frozenset(),
    "constant_mass": frozenset(("mass_is_exactly_one",)),
    "processed_by_temperature": frozenset(),
    "half_precision_grid": frozenset(("positive_logprob", "top_mass_above_one")),
}
"""Findings that name a formula, most telling first, with those that it brings about."""

_HEAD = "these are no log-probabilities over the vocabulary"
_HEADS = {
    "half_precision_grid": "these log-probabilities were rounded to half precision",
    "processed_by_temperature": "these are log-probabilities of two distributions",
    "duplicate_tokens": "these lists contradict themselves",
}
"""How a verdict's sentence begins, by the finding that is its cause."""

_UNTESTED = (
    Untested(
        ids=("raw_logit_sum", "linear_normalisation", "vocab_rows_masked", "wrong_axis"),
        needs=(
            "the model, or its logits: an endpoint's log-probabilities never show the raw numbers "
            "that they were made of, nor the rows that they left out"
        ),
    ),
    Untested(
        ids=(
            *("bos_missing", "bos_doubled", "prompt_dropped", "truncated_context"),
            *("left_pad_unmasked", "unshifted", "shifted_twice", "row_reused"),
        ),
        needs=(
            "the model and the prompt, to compute the numbers again: "
            "logpr audit FILE --model MODEL --prompt TEXT"
        ),
    ),
    Untested(
        ids=("temperature", "logprob_over_temperature", "log_epsilon", "double_softmax"),
        needs=(
            "the model, or a second response of the same prompt, recorded at another setting of "
            "the sampler"
        ),
    ),
    Untested(
        ids=("mean", "per_char", "per_byte", "length_penalty", "eos_missing", "eos_added"),
        needs="the score that was made of these tokens: a response has the tokens alone",
    ),
)


def response_findings(responses: Sequence[Response]) -> tuple[Finding, ...]:
    """Return all that the checks saw, those that accuse first."""
    found = [finding for check in RESPONSE_CHECKS for finding in check(responses)]
    return tuple(sorted(found, key=lambda finding: not finding.accuses))


def responses_report(responses: Sequence[Response]) -> AuditReport:
    """Return what can be said of recorded responses without any model.

    The verdict is `fault` (`other_definition` for probabilities) where a finding names the formula
    and nothing that accuses is left unexplained; `unexplained` where something accuses and no
    formula covers all of it; else `not_enough_evidence`, with the hypotheses that numbers alone
    cannot test. A row is one choice; `struck` where something accuses it.

    Raises:
        NumbersError: there is no response, or none that has a number.
    """
    if not any(True for response in responses for _ in response.values()):
        msg = "there is no number to audit; ask the endpoint for log-probabilities (logprobs=true)"
        raise NumbersError(msg)
    findings = response_findings(responses)
    accusing = [finding for finding in findings if finding.accuses]
    between = [finding for finding in accusing if finding.id == "processed_by_temperature"]
    struck = (
        [bool(accusing)]
        if len(responses) == 1
        else [
            bool(between) or any(finding.accuses for finding in response_findings([response]))
            for response in responses
        ]
    )
    verdict: AuditVerdict = "not_enough_evidence"
    sentence = _SILENT
    faults: tuple[FaultFound, ...] = ()
    named = next((name for name in _EXPLAINS if any(f.id == name for f in accusing)), None)
    if accusing:
        cause = next((finding for finding in accusing if finding.id == named), accusing[0])
        left = [
            finding.id
            for finding in accusing
            if named is None or finding.id not in {named, *_EXPLAINS[named]}
        ]
        if named is not None and not left:
            faults = (_FOUND[named](responses),)
            verdict = "other_definition" if faults[0].kind == "choice" else "fault"
        else:
            verdict = "unexplained"
        sentence = f"{_which(struck)}{_HEADS.get(cause.id, _HEAD)}: {cause.says}"
    return AuditReport(
        verdict=verdict,
        sentence=sentence,
        faults=faults,
        rows_total=len(responses),
        rows=tuple(map(_row, responses, struck)),
        findings=findings,
        untested=tuple(_still_untested({fault.id for fault in faults})),
        evidence="response",
        declared=(("rule", "logprob"), ("unit", _units(responses))),
    )


def _still_untested(found: set[str]) -> Iterator[Untested]:
    for item in _UNTESTED:
        yield Untested(ids=tuple(name for name in item.ids if name not in found), needs=item.needs)


def _which(struck: Sequence[bool]) -> str:
    return "" if len(struck) == 1 else f"in {sum(struck)} of {len(struck)} responses, "


def _units(responses: Sequence[Response]) -> str:
    return " and ".join(sorted({response.unit for response in responses}))


def _row(response: Response, struck: bool) -> AuditRow:  # noqa: FBT001 - one of map's two columns
    values = tuple(None if step.value is None else step.value.value for step in response.steps)
    return AuditRow(
        id=response.id,
        index=response.index,
        text=response.text,
        tokens=len(response.steps),
        claimed=None,
        printed=None,
        low=None,
        high=None,
        reproduced=None,
        true=None,
        logprob=None,
        explained=False,
        struck=struck,
        token_texts=tuple(_text_of(step.token, step.id) for step in response.steps),
        token_claimed=tuple(
            value if value is None or not math.isnan(value) else None for value in values
        ),
    )


def _text_of(token: str | None, token_id: int | None) -> str:
    return token if token is not None else f"id {token_id}"


def _probability(responses: Sequence[Response]) -> FaultFound:  # noqa: ARG001 - one of a table
    return FaultFound(id="probability", stage="unit", kind="choice")


def _negated(responses: Sequence[Response]) -> FaultFound:  # noqa: ARG001 - one of a table
    return FaultFound(id="negated", stage="unit", kind="fault")


def _shortlist(responses: Sequence[Response]) -> FaultFound:
    found = {size for response in responses if (size := shortlist_size(response)) is not None}
    sizes = tuple(sorted(found))
    return FaultFound(
        id="shortlist_softmax",
        stage="normalise",
        kind="fault",
        parameters=(("k", sizes[0] if len(sizes) == 1 else sizes),),
    )


def _half(responses: Sequence[Response]) -> FaultFound:
    dtypes = sorted({dtype for response in responses if (dtype := half_grid(response))})
    return FaultFound(
        id="half_precision",
        stage="normalise",
        kind="fault",
        parameters=(("dtype", dtypes[0]),),
    )


def _temperature(responses: Sequence[Response]) -> FaultFound:
    found = (
        temperature_between(first, second)
        for place, first in enumerate(responses)
        for second in responses[place + 1 :]
    )
    interval = next(interval for interval in found if interval is not None)
    # Which of the two was taken at 1 the numbers do not say: T is the second's over the first's.
    return FaultFound(
        id="temperature", stage="normalise", kind="fault", parameters=(("T", interval),)
    )


_FOUND: dict[str, Callable[[Sequence[Response]], FaultFound]] = {
    "probabilities_not_logprobs": _probability,
    "surprisals_not_logprobs": _negated,
    "constant_mass": _shortlist,
    "processed_by_temperature": _temperature,
    "half_precision_grid": _half,
}
