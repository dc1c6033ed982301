"""The entries of stages aggregate and unit, and what each declared rule and unit computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from logpr._rules import STANDING, rule_named
from logpr._values.audit import FaultKind
from logpr.auditing.faults import aggregate, unit
from logpr.auditing.faults._entry import Axis, Change, Fault, Grid, Parameters, ParameterSpec
from logpr.auditing.faults.context import COMPANY, companies
from logpr.auditing.scene.scene import Company, Scene
from logpr.errors import QueryError

_ALPHAS = (0.02, 5.0)


def _change(
    fault: str,
    run: aggregate.Aggregate,
    fixed: Parameters = (),
    *,
    axis: Axis | None = None,
    needs: str = "",
    tier: int = 0,
    grows: bool = False,
) -> Change:
    return Change(fault, "aggregate", run, fixed, axis, tier, needs, grows=grows)


def _mean() -> Change:
    return _change("mean", aggregate.divided(lambda shape, _: shape.counts))


@cache
def _mean_over_padded(company: Company = "query") -> Change:
    tier = 1 if isinstance(company, int) else 0
    run = aggregate.divided(lambda shape, _: shape.longest(company))
    return _change("mean_over_padded", run, (("company", company),), tier=tier)


def _mean_over_padded_changes(scene: Scene) -> Sequence[Change]:
    return tuple(map(_mean_over_padded, companies(scene)))


def _with_prompt() -> Change:
    run = aggregate.divided(lambda shape, _: shape.prompts + shape.counts)
    return _change("mean_with_prompt_length", run)


_COUNTS: dict[str, Callable[[aggregate.Shape], aggregate.Column]] = {
    "n_plus_1": lambda shape: shape.counts + 1.0,
    "n_minus_1": lambda shape: shape.counts - 1.0,
    "with_prompt": lambda shape: shape.prompts + shape.counts,
}


@cache
def _wrong_count(count: str = "n_plus_1") -> Change:
    def by(shape: aggregate.Shape, grid: Grid) -> aggregate.Column:
        del grid
        with np.errstate(divide="ignore"):
            share: aggregate.Column = shape.counts / _COUNTS[count](shape)
        return share

    run = aggregate.divided(by)
    return _change("loss_times_wrong_count", run, (("count", count),), grows=True)


def _per_char() -> Change:
    return _change("per_char", aggregate.divided(lambda shape, _: shape.chars), needs="text")


def _per_byte() -> Change:
    return _change("per_byte", aggregate.divided(lambda shape, _: shape.bytes), needs="text")


_FORMS: dict[str, Callable[[aggregate.Column], aggregate.Column]] = {
    "power": lambda counts: counts,
    "gnmt": lambda counts: (5.0 + counts) / 6.0,
}


@cache
def _penalised(form: str, alpha: float | None = None) -> Change:
    def by(shape: aggregate.Shape, grid: Grid) -> np.ndarray:
        chosen = grid if alpha is None else np.array([float(alpha)])
        size: np.ndarray = np.power(_FORMS[form](shape.counts)[None, :], chosen[:, None])
        return size

    fixed: Parameters = (("form", form),)
    run = aggregate.divided(by)
    if alpha is None:
        return _change("length_penalty", run, fixed, axis=Axis("alpha", *_ALPHAS))
    return _change("length_penalty", run, (*fixed, ("alpha", alpha)), tier=2)


def _length_penalty(alpha: float, form: str = "power") -> Change:
    return _penalised(form, alpha)


_DTYPES: dict[str, type[np.floating]] = {"float32": np.float32, "float64": np.float64}


@cache
def _product(dtype: str = "float32") -> Change:
    run = aggregate.product(_DTYPES[dtype])
    return _change("product_then_log", run, (("dtype", dtype),), grows=True)


@cache
def _mean_probability(log: str = "no") -> Change:
    run = aggregate.mean_probability(log=log == "yes")
    return _change("mean_probability", run, (("log", log),))


def _pmi() -> Change:
    return _change("pmi", aggregate.difference, needs="neutral", grows=True)


def _one(which: str) -> Callable[[], Change]:
    return lambda: _change(f"{which}_token_only", aggregate.one_step(which))


def _min_token() -> Change:
    return _change("min_token", aggregate.smallest)


def _total() -> Change:
    return _change("logprob", aggregate.summed, grows=True)


def _always(make: Callable[[], Change]) -> Callable[[Scene], Sequence[Change]]:
    return lambda _: (make(),)


def _entry(
    id_: str,
    kind: FaultKind,
    make: Callable[..., Change],
    *specs: ParameterSpec,
    ways: Callable[[Scene], Sequence[Change]] | None = None,
) -> Fault:
    return Fault(id_, "aggregate", kind, ways or _always(make), make, specs)


def _texts(make: Callable[[], Change]) -> Callable[[Scene], Sequence[Change]]:
    return lambda scene: (
        (make(),) if any(case.material.chars is not None for case in scene.cases) else ()
    )


AGGREGATES = (
    _entry("mean", "choice", _mean),
    _entry(
        "mean_over_padded",
        "fault",
        _mean_over_padded,
        COMPANY,
        ways=_mean_over_padded_changes,
    ),
    _entry("mean_with_prompt_length", "fault", _with_prompt),
    _entry(
        "loss_times_wrong_count",
        "fault",
        _wrong_count,
        ParameterSpec("count", "enumerated", ", ".join(_COUNTS)),
        ways=lambda _: tuple(map(_wrong_count, _COUNTS)),
    ),
    _entry("per_char", "choice", _per_char, ways=_texts(_per_char)),
    _entry("per_byte", "choice", _per_byte, ways=_texts(_per_byte)),
    _entry(
        "length_penalty",
        "choice",
        _length_penalty,
        ParameterSpec("alpha", "solved", "0.02 to 5"),
        ParameterSpec("form", "enumerated", "power, gnmt"),
        ways=lambda _: (_penalised("power"), _penalised("gnmt")),
    ),
    _entry(
        "product_then_log",
        "fault",
        _product,
        ParameterSpec("dtype", "enumerated", "float32, float64"),
        ways=lambda _: (_product("float32"), _product("float64")),
    ),
    _entry(
        "mean_probability",
        "fault",
        _mean_probability,
        ParameterSpec("log", "enumerated", "no, yes"),
        ways=lambda _: (_mean_probability("no"), _mean_probability("yes")),
    ),
    _entry("first_token_only", "fault", _one("first")),
    _entry("last_token_only", "fault", _one("last")),
    _entry("min_token", "choice", _min_token),
    _entry("pmi", "choice", _pmi),
    _entry("logprob", "choice", _total),
)


def _unit_entry(fault: str, kind: FaultKind, run: unit.Unit, *, rivals: bool = False) -> Fault:
    def make() -> Change:
        return Change(fault, "unit", run, rivals=rivals)

    return Fault(fault, "unit", kind, lambda _: (make(),), make)


def _unit_of_any(fault: str, kind: FaultKind, of_any: unit.OfAny) -> Fault:
    def make() -> Change:
        return Change(fault, "unit", unit.of_totals(of_any), of_any=of_any)

    return Fault(fault, "unit", kind, lambda _: (make(),), make)


UNITS = (
    _unit_of_any("in_bits", "choice", unit.BITS),
    _unit_of_any("in_log10", "choice", unit.LOG10),
    _unit_of_any("negated", "fault", unit.NEGATED),
    _unit_of_any("probability", "choice", unit.exponential),
    _unit_entry("perplexity", "choice", unit.perplexity),
    _unit_entry("choice_prob", "choice", unit.choice, rivals=True),
    _unit_of_any("nats", "choice", unit.PLAIN),
)

_OF_UNIT = {
    "nats": "nats",
    "bits": "in_bits",
    "log10": "in_log10",
    "probability": "probability",
    "perplexity": "perplexity",
}
_OF_RULE = {
    "logprob": "logprob",
    "per_token": "mean",
    "per_char": "per_char",
    "per_byte": "per_byte",
    "pmi": "pmi",
}


def declared_totals(rule: str, unit_name: str) -> tuple[Change, Change]:
    """Return what the declared rule and unit compute, as changes of aggregate and unit.

    Raises:
        QueryError: a rule that has no formula over steps.
    """
    found = {entry.id: entry for entry in (*AGGREGATES, *UNITS)}
    if rule == "bits_per_byte":
        run = aggregate.divided(lambda shape, _: -shape.bytes * math.log(2.0))
        return _change("bits_per_byte", run, needs="text"), found["nats"].apply()
    if rule == "choice_prob":
        return found["logprob"].apply(), found["choice_prob"].apply()
    if rule.startswith("length_penalty"):
        alpha = float(rule_named(rule).name.split("(")[1].rstrip(")"))
        return _penalised("gnmt", alpha), found[_OF_UNIT[unit_name]].apply()
    if rule not in _OF_RULE:
        known = ", ".join([*(standing.name for standing in STANDING), "length_penalty(A)", "pmi"])
        msg = f"declares: no rule {rule!r} can be audited; known are {known}"
        raise QueryError(msg)
    return found[_OF_RULE[rule]].apply(), found[_OF_UNIT[unit_name]].apply()
