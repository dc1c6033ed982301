"""The entries of stage normalise: their names, parameters, and the ways each can be tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from logpr._values.audit import Parameter
from logpr.auditing.faults import normalise
from logpr.auditing.faults._entry import Axis, Change, Fault, Parameters, ParameterSpec
from logpr.auditing.faults.precision import half_log_softmax
from logpr.auditing.scene.scene import Scene
from logpr.auditing.scene.steps import TOP, Steps
from logpr.numerics.half import HalfType, rounded

_TEMPERATURES = (0.1, 10.0)
_EPSILONS = (1e-12, 0.3)


def _change(
    fault: str,
    run: normalise.Formula,
    fixed: Parameters = (),
    *,
    axis: Axis | None = None,
    needs: str = "row",
    tier: int = 0,
    rivals: bool = False,
    partial: bool = False,
    finish: Callable[..., object] | None = None,
) -> Change:
    return Change(
        fault,
        "normalise",
        run,
        fixed,
        axis,
        tier,
        needs,
        rivals=rivals,
        partial=partial,
        finish=finish,
    )


def _at(run: normalise.Formula, value: float) -> normalise.Formula:
    """Return a formula with its varying parameter set."""

    def fixed(steps: Steps, grid: np.ndarray) -> normalise.Normalised:
        del grid
        return run(steps, np.array([float(value)]))

    return fixed


def _varying(
    fault: str,
    run: normalise.Formula,
    axis: Callable[[Scene], Axis],
    spec: ParameterSpec,
    *,
    needs: str = "row",
    partial: bool = False,
) -> Fault:
    def apply(**given: float) -> Change:
        value = given[spec.name]
        fixed = ((spec.name, value),)
        return _change(fault, _at(run, value), fixed, needs=needs, tier=2, partial=partial)

    def changes(scene: Scene) -> Sequence[Change]:
        return (_change(fault, run, axis=axis(scene), needs=needs, partial=partial),)

    return Fault(fault, "normalise", "fault", changes, apply, (spec,))


def _plain(
    fault: str,
    run: normalise.Formula,
    *,
    needs: str = "row",
    rivals: bool = False,
    partial: bool = False,
) -> Fault:
    def apply() -> Change:
        return _change(fault, run, needs=needs, rivals=rivals, partial=partial)

    return Fault(fault, "normalise", "fault", lambda _: (apply(),), apply)


def _sizes(scene: Scene) -> Axis:
    known = scene.source.vocab if scene.source.top is None else scene.source.top
    return Axis("k", 1, max(1, min(TOP, known)), integer=True)


def _linear(form: str = "per_step") -> Change:
    finish = normalise.odd_negatives if form == "product" else None
    run = normalise.linear(form)
    return _change("linear_normalisation", run, (("form", form),), needs="raw", finish=finish)


_WITHOUT = {"step": normalise.top_k_without, "request": normalise.top_k_of_request}


def _without(k: int | None = None, per: str = "step", lists: str | None = None) -> Change:
    name = "shortlist_without_target"
    if lists is not None or k is None:
        run = normalise.given_list(with_target=False)
        return _change(name, run, (("lists", "given"),), needs="lists", partial=True)
    fixed: Parameters = (("k", k), ("per", per))
    return _change(name, _at(_WITHOUT[per], k), fixed, tier=1, partial=True)


def _without_changes(scene: Scene) -> Sequence[Change]:
    found = [
        _change(
            "shortlist_without_target",
            run,
            (("per", per),),
            axis=_sizes(scene),
            needs="top" if per == "step" else "row",
            partial=True,
        )
        for per, run in _WITHOUT.items()
    ]
    return (*found, _without()) if _lists(scene) else tuple(found)


def _lists(scene: Scene) -> bool:
    return any(case.lists is not None for case in scene.cases)


def _unlogged() -> Change:
    # The name for what token scores imply: whoever applies it has the lists, and does not log them.
    run = normalise.given_list(with_target=False)
    return _change("shortlist_unknown", run, needs="lists", partial=True)


def _given() -> Change:
    run = normalise.given_list(with_target=True)
    return _change("shortlist_given", run, needs="lists", partial=True)


def _masked(ids: tuple[int, ...] | int) -> Change:
    chosen = (ids,) if isinstance(ids, int) else tuple(ids)
    run = normalise.masked_rows(chosen)
    return _change("vocab_rows_masked", run, (("ids", chosen),), partial=True)


def _masked_changes(scene: Scene) -> Sequence[Change]:
    special = tuple(sorted(scene.special_ids))
    sets: list[tuple[int, ...]] = [(token,) for token in sorted({*special, *scene.pad_ids})]
    sets += [special] if len(special) > 1 else []
    known = 0 if scene.tokenizer is None else scene.tokenizer.vocab_size
    if 0 < known < scene.source.vocab:
        sets.append(tuple(range(known, scene.source.vocab)))
    return tuple(map(_masked, sets))


def _axis(over: str = "continuation") -> Change:
    needs = "positions" if over == "sequence" else "raw"
    return _change("wrong_axis", normalise.over_positions(over), (("over", over),), needs=needs)


def _half(dtype: HalfType = "bfloat16", total: str = "float") -> Change:
    def finish(steps: Steps, totals: normalise.Scores) -> normalise.Scores:
        del steps
        return rounded(totals, dtype)

    fixed: tuple[tuple[str, Parameter], ...] = (("dtype", dtype), ("total", total))
    end = finish if total == "half" else None
    return _change("half_precision", half_log_softmax(dtype), fixed, needs="raw", finish=end)


def _solved(name: str, bounds: tuple[float, float], *, log: bool = True) -> Callable[..., Axis]:
    def axis(scene: Scene) -> Axis:
        del scene
        return Axis(name, *bounds, log=log)

    return axis


ENTRIES = (
    _plain("raw_logit_sum", normalise.raw_logit, needs="logit"),
    Fault(
        "linear_normalisation",
        "normalise",
        "fault",
        lambda _: (_linear("per_step"), _linear("product")),
        _linear,
        (ParameterSpec("form", "enumerated", "per_step, product"),),
    ),
    _varying(
        "shortlist_softmax",
        normalise.top_k,
        _sizes,
        ParameterSpec("k", "enumerated", "1 to 1,024"),
        needs="top",
        partial=True,
    ),
    Fault(
        "shortlist_given",
        "normalise",
        "fault",
        lambda scene: (_given(),) if _lists(scene) else (),
        _given,
    ),
    Fault(
        "shortlist_without_target",
        "normalise",
        "fault",
        _without_changes,
        _without,
        (
            ParameterSpec("k", "enumerated", "1 to 1,024"),
            ParameterSpec("per", "enumerated", "step, request"),
            ParameterSpec("lists", "given", "the logged lists in place of k"),
        ),
    ),
    Fault("shortlist_unknown", "normalise", "fault", lambda _: (), _unlogged),
    _plain("candidates_softmax", normalise.candidates_alone, rivals=True, partial=True),
    _varying(
        "nucleus_renormalised",
        normalise.nucleus,
        _solved("p", (0.01, 0.9999), log=False),
        ParameterSpec("p", "solved", "0.01 to 0.9999"),
        partial=True,
    ),
    _varying(
        "temperature",
        normalise.temperature,
        _solved("T", _TEMPERATURES),
        ParameterSpec("T", "solved", "0.1 to 10"),
    ),
    _varying(
        "logprob_over_temperature",
        normalise.over_temperature,
        _solved("T", _TEMPERATURES),
        ParameterSpec("T", "solved", "0.1 to 10"),
        needs="",
    ),
    _plain("double_softmax", normalise.double_softmax),
    _varying(
        "log_epsilon",
        normalise.plus_epsilon,
        _solved("epsilon", _EPSILONS),
        ParameterSpec("epsilon", "solved", "1e-12 to 0.3"),
        needs="",
    ),
    Fault(
        "vocab_rows_masked",
        "normalise",
        "fault",
        _masked_changes,
        _masked,
        (ParameterSpec("ids", "enumerated", "each special id, all of them, rows without a token"),),
    ),
    Fault(
        "wrong_axis",
        "normalise",
        "fault",
        lambda _: (_axis("continuation"), _axis("sequence")),
        _axis,
        (ParameterSpec("over", "enumerated", "continuation, sequence"),),
    ),
    Fault(
        "half_precision",
        "normalise",
        "fault",
        lambda _: tuple(_half(dtype, total) for dtype in _HALVES for total in ("float", "half")),
        _half,
        (
            ParameterSpec("dtype", "enumerated", "bfloat16, float16"),
            ParameterSpec("total", "enumerated", "float, half: what the sum is kept in"),
        ),
    ),
)

_HALVES: tuple[HalfType, HalfType] = ("bfloat16", "float16")

CORRECT = Change("", "normalise", normalise.log_softmax, needs="")
"""The log-softmax over the whole vocabulary."""

__all__ = ["CORRECT", "ENTRIES"]
