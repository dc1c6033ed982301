"""Trials as people read them: entries with their parameters, and sentences about them."""

from __future__ import annotations

from collections.abc import Sequence

from logpr._values import Correction, FaultFound
from logpr._values.audit import Parameter
from logpr.auditing.faults import FAULTS, Change
from logpr.auditing.faults._texts import words
from logpr.auditing.search.pipeline import Pipeline
from logpr.auditing.search.race import Trial

_ROOM = 1e-5
PAGES = "docs/faults/"
"""Where the page of an entry stands in the documentation."""


def found_in(trial: Trial) -> tuple[FaultFound, ...]:
    """Return the changes of a trial with what is left of their parameters."""
    return tuple(_found(change, trial) for change in trial.pipeline.changes)


def found_of(pipeline: Pipeline) -> tuple[FaultFound, ...]:
    """Return the changes of a pipeline in which nothing varies."""
    return found_in(Trial(pipeline))


def _found(change: Change, trial: Trial) -> FaultFound:
    fault = FAULTS[change.fault]
    parameters: list[tuple[str, Parameter]] = list(change.fixed)
    if change.axis is not None and change.stage in trial.low:
        low = float(trial.low[change.stage].min())
        high = float(trial.high[change.stage].max())
        value: Parameter
        if change.axis.integer:
            value = int(low) if low == high else (int(low), int(high))
        else:
            value = (low, high)
        parameters.append((change.axis.name, value))
    return FaultFound(id=fault.id, stage=fault.stage, kind=fault.kind, parameters=tuple(parameters))


def shown(name: str, value: Parameter) -> str:
    """Return a parameter as a sentence says it: an interval by its middle, as exact as it is."""
    if isinstance(value, tuple):
        if len(value) == 2 and name != "ids":  # noqa: PLR2004 - an interval
            low, high = value
            if isinstance(low, int) and isinstance(high, int):
                return f"{low} to {high}"
            return _between(float(low), float(high))
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _between(low: float, high: float) -> str:
    """Return the shortest number that lies between two."""
    # Noise that all claims share moves a solved parameter by a little more than their digits say.
    room = _ROOM * abs(high)
    for digits in range(1, 17):
        text = f"{(low + high) / 2:.{digits}g}"
        if low - room <= float(text) <= high + room:
            return text
    return repr((low + high) / 2)


def phrase(changes: Sequence[FaultFound]) -> str:
    """Return what the numbers are, for "These 40 scores are …"."""
    said = [_said(change) for change in changes]
    if len(said) == 1:
        return said[0]
    return f"two changes at once: {said[0]}; and {said[1]}"


def _said(change: FaultFound) -> str:
    """Return an entry's sentence, with the parameters that have no place in it at its end."""
    text = _filled(change, "sentence")
    template = words(change.id).sentence
    rest = [
        f"{key} = {shown(key, value)}"
        for key, value in change.parameters
        if "{" + key + "}" not in template
    ]
    return f"{text} ({', '.join(rest)})" if rest else text


def correction(changes: Sequence[FaultFound]) -> Correction | None:
    """Return the formula that was used and the one to use; of a pair, one line for each."""
    if not changes:
        return None
    return Correction(
        used="; ".join(_filled(change, "used") for change in changes),
        use="; ".join(dict.fromkeys(_filled(change, "use") for change in changes)),
        code="; ".join(dict.fromkeys(_filled(change, "code") for change in changes)),
        page=" ".join(f"{PAGES}{change.id}.md" for change in changes),
    )


def _filled(change: FaultFound, name: str) -> str:
    return words(change.id).filled(
        name, {key: shown(key, value) for key, value in change.parameters}
    )


def named(changes: Sequence[FaultFound]) -> str:
    """Return ids with their parameters: shortlist_softmax(k=50) + mean."""
    said = []
    for change in changes:
        inside = ", ".join(f"{key}={shown(key, value)}" for key, value in change.parameters)
        said.append(f"{change.id}({inside})" if inside else change.id)
    return " + ".join(said) or "the declared computation"
