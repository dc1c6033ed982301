"""The rows of a report side by side, and the parts that they fall into."""

from __future__ import annotations

from collections.abc import Sequence

from logpr._values import AuditRow, MixedGroup
from logpr.auditing.claims.values import ClaimRow
from logpr.auditing.reporting.common import in_common
from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.judge import Judgement
from logpr.auditing.search.naming import found_in
from logpr.auditing.search.panel import Values
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.race import Trial
from logpr.auditing.search.targets import Claimed
from logpr.auditing.search.tokens import TokenScores, step_scores


def rows_of(
    found: Judgement,
    scene: Scene,
    declared: Declared,
    claimed: Claimed,
    *,
    rows: Sequence[ClaimRow],
    explained: Sequence[bool],
    sums: Values,
) -> tuple[AuditRow, ...]:
    """Return every candidate with what was claimed, what reproduces it, and what is true.

    Args:
        found: the judgement.
        scene: all candidates.
        declared: what the claims are declared to be.
        claimed: the claims.
        rows: the records.
        explained: which candidates the named computation explains.
        sums: log Pr(y | x) of all candidates, in nats.
    """
    wanted = [number for number in claimed.numbers if claimed.claims[number].token_scores]
    told = step_scores(scene, declared, found.leader or Trial(Pipeline()), wanted)
    plain = step_scores(scene, declared, Trial(Pipeline()), wanted)
    reproduced = found.reproduced or found.base
    right = found.base.reached(claimed.targets)
    out: list[AuditRow] = []
    for case in scene.cases:
        number = case.number
        score, tokens = claimed.scores[number], claimed.claims[number].token_scores
        own = None if claimed.summed else score
        out.append(
            AuditRow(
                id=rows[case.record].query.id,
                index=case.place,
                text=case.shown,
                tokens=len(case.material.tokens),
                claimed=None if own is None else own.value,
                printed=None if own is None else own.text,
                low=None if score is None else score.low,
                high=None if score is None else score.high,
                reproduced=known(reproduced, number),
                true=known(found.base, number),
                logprob=known(sums, number),
                explained=bool(explained[number]),
                struck=score is not None and not right[number],
                token_texts=case.token_texts,
                token_claimed=None if tokens is None else tuple(token.value for token in tokens),
                token_reproduced=_steps(told.get(number)),
                token_logprobs=_steps(plain.get(number)),
            )
        )
    return tuple(out)


def groups_of(
    found: Judgement, scene: Scene, claimed: Claimed, rows: Sequence[ClaimRow]
) -> tuple[MixedGroup, ...]:
    """Return what parts the claims have, or the struck ones where a fault strikes only some."""
    everyone = list(found.numbers)

    def group(numbers: Sequence[int], trial: Trial | None, *, explained: bool) -> MixedGroup:
        inside = set(numbers)
        others = [number for number in everyone if number not in inside]
        plain = explained and trial is None
        common: tuple[str, ...] = ()
        if others and not plain:
            common = in_common(scene, sorted(inside), others, rows=rows)
        changes = () if trial is None else found_in(trial)
        return MixedGroup(
            changes=changes if explained else None,
            rows=tuple(
                (rows[scene.cases[n].record].query.id, scene.cases[n].place) for n in sorted(inside)
            ),
            common=common,
        )

    if found.parts:
        return tuple(
            group(part.numbers, part.trial, explained=part.explained) for part in found.parts
        )
    right = found.base.reached(claimed.targets)
    struck = [number for number in everyone if not right[number]]
    if found.leader is None or not struck or len(struck) == len(everyone):
        return ()
    return (group(struck, found.leader, explained=True),)


def known(values: Values, number: int) -> float | None:
    """Return a candidate's value, None where it is not known."""
    return float(values.value[number]) if values.known[number] else None


def _steps(found: TokenScores | None) -> tuple[float, ...] | None:
    return None if found is None else found.values
