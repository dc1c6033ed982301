"""The cheapest next input that would tell the survivors apart, and what each would print for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from logpr._values import AuditReport, NextInput
from logpr.auditing.scene.rows import ModelRows
from logpr.auditing.scene.scene import Case, Material, Scene
from logpr.auditing.search.judge import Judgement, middle
from logpr.auditing.search.naming import found_in, named
from logpr.auditing.search.panel import predict_all
from logpr.auditing.search.pipeline import Declared
from logpr.errors import LogprError
from logpr.tokens.boundary import encode

_MOST = 6
"""So many survivors are told apart at once; more need better digits, not another input."""

_PROBES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The cat sat on the", (" warm mat.", " of")),
    ("The cat sat on the ", ("mat", "big red ball")),
    ("She said", (" “no”.", " yes")),
    ("A café has", (" crème brûlée", " tea")),
    ("thewarm", ("er", "th of the sun")),
    ("Once upon a time, in a small village by the sea, there lived", (" an old man.", " a dog")),
)
"""Inputs in which scorers commonly differ: lengths, spaces, letters of several bytes, a merge."""

_TIMES = 4.0


def next_input(
    report: AuditReport, found: Judgement, scene: Scene, declared: Declared
) -> NextInput | None:
    """Return the next input, or None where nothing is left to tell apart.

    Inputs of the file are tried in new company, and a few in which scorers commonly differ; the
    one with the fewest tokens on which all survivors differ by more than the digits can hide is
    returned, or the one that parts most of them.
    """
    if report.verdict in ("correct", "unexplained", "not_enough_evidence"):
        return None
    survivors = [t for t in (found.leader, *found.same, *found.standing) if t is not None]
    least = min((t.pipeline.freedom for t in survivors), default=())
    survivors = [t for t in survivors if t.pipeline.freedom == least or t in found.same]
    if len(survivors) < 2:  # noqa: PLR2004 - one has nothing to be told from
        return None
    survivors = survivors[:_MOST]
    probe = _probe_scene(scene)
    names = [named(found_in(trial)) for trial in survivors]
    if probe is None:
        return NextInput(says=_BY_HAND)
    tables: list[np.ndarray] = []
    for trial in survivors:
        # A normalisation over logged lists needs lists: an input of ours has none.
        try:
            values = predict_all(
                probe, declared, trial.pipeline, middle(trial), range(len(probe.cases))
            )
        except LogprError:
            return NextInput(says=_BY_HAND)
        tables.append(values.value)
    width = _width(report)
    best = _cheapest(probe, np.array(tables), width)
    if best is None:
        return NextInput(says=_BY_HAND)
    case, apart = best
    others = _others([probe.cases[n].text for n in probe.record_of(case.number)], case)
    says = (
        f"Score {case.text!r} after {case.prompt!r}"
        + (f", in one call with {', '.join(map(repr, others))}" if others else "")
        + (": all differ there." if apart else ": most differ there.")
    )
    return NextInput(
        says=says,
        prompt=case.prompt,
        candidate=case.text,
        predictions=tuple(
            (name, _number(table[case.number])) for name, table in zip(names, tables, strict=True)
        ),
    )


_BY_HAND = (
    "Score candidates of different lengths together and alone, one with letters beyond ASCII, and "
    "print more decimals."
)


def _others(company: Sequence[str | None], case: Case) -> list[str]:
    return [text for text in company if text is not None and text != case.text]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _width(report: AuditReport) -> float:
    widths = [
        row.high - row.low for row in report.rows if row.low is not None and row.high is not None
    ]
    finite = [width for width in widths if np.isfinite(width)]
    return float(np.median(finite)) if finite else 1e-4


def _cheapest(scene: Scene, tables: np.ndarray, width: float) -> tuple[Case, bool] | None:
    best: tuple[int, int, int] | None = None
    for case in scene.cases:
        values = tables[:, case.number]
        with np.errstate(invalid="ignore"):
            gaps = np.abs(values[:, None] - values[None, :]) > _TIMES * max(width, 1e-4)
        # One that gives no number at all is told from all that do.
        gaps |= np.isnan(values)[:, None] != np.isnan(values)[None, :]
        parted = int(gaps.sum()) // 2
        if parted == 0:
            continue
        rank = (-parted, case.material.length, case.number)
        if best is None or rank < best:
            best = rank
    if best is None:
        return None
    pairs = len(tables) * (len(tables) - 1) // 2
    return scene.cases[best[2]], -best[0] == pairs


def _probe_scene(scene: Scene) -> Scene | None:
    tokenizer = scene.tokenizer
    if tokenizer is None or not isinstance(scene.source, ModelRows):
        return None
    ends = scene.cases[0].material.end_ids
    cases: list[Case] = []
    for record, (prompt, texts) in enumerate(_inputs(scene)):
        for place, text in enumerate(texts):
            try:
                encoded = encode(tokenizer, prompt, text)
            except LogprError:
                continue
            scored = encoded.text or ""
            if not encoded.context_ids:
                continue
            cases.append(
                Case(
                    number=len(cases),
                    record=record,
                    place=place,
                    material=Material(
                        encoded.context_ids,
                        encoded.token_ids,
                        ends,
                        len(scored),
                        len(scored.encode()),
                    ),
                    prompt=prompt,
                    text=text,
                    merged=encoded.verdict == "merged",
                )
            )
    if not cases:
        return None
    return Scene(
        cases=tuple(cases),
        source=scene.source,
        noise=scene.noise,
        tokenizer=tokenizer,
        end_ids=scene.end_ids,
        pad_ids=scene.pad_ids,
        special_ids=scene.special_ids,
        longest_sequence=scene.longest_sequence,
    )


def _inputs(scene: Scene) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield prompts with candidates: those of the file two at a time, then the common ones."""
    shortest = sorted(
        (case for case in scene.cases if case.prompt and case.text),
        key=lambda case: case.material.length,
    )
    for case in shortest[:4]:
        assert case.prompt is not None
        assert case.text is not None
        yield case.prompt, (case.text, case.text + case.text)
    yield from _PROBES
