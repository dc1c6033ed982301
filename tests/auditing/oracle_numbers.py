"""The second half of a slow scorer: from rows to step scores, to a number, to a claim.

Normalise, aggregate, unit: one small function for each entry of the zoo.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from logpr._types import END
from tests.auditing.oracle_rows import Ids, Row, Rows, add, exp, log, logsumexp, ratio
from tests.auditing.oracle_steps import Item, Step

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a normaliser may look at beside its own row.

    `number` is the step's index among its candidate's `steps`; `record` the steps of all candidates
    of the record; `listed` the ids logged for the step, None where none were.
    """

    rows: Rows
    item: Item
    steps: list[Step]
    record: list[list[Step]]
    number: int
    listed: Ids | None

    @property
    def first(self) -> Row:
        """Return the row of the candidate's first step."""
        return self.rows[self.steps[0].prefix]


# normalise: v of a row u, a token t


def correct(row: Row, t: int, scene: Scene) -> float:  # noqa: ARG001 - one shape for all entries
    """Return u_t − z."""
    return row.logit(t) - row.z


def raw_logit_sum(row: Row, t: int, scene: Scene) -> float:  # noqa: ARG001
    """Return u_t."""
    return row.logit(t)


def linear_ratio(row: Row, t: int) -> float:
    """Return u_t / Σu."""
    return ratio(row.logit(t), row.sum)


def linear_normalisation(row: Row, t: int, scene: Scene, *, form: str) -> float:  # noqa: ARG001
    """Return log(u_t / Σu), of its size alone where the product is what counts."""
    share = linear_ratio(row, t)
    if form == "product":
        return log(abs(share))
    return log(share) if share > 0 else math.nan


def shortlist_softmax(row: Row, t: int, scene: Scene, *, k: int) -> float:  # noqa: ARG001
    """Return the softmax over the k largest and t."""
    return row.logit(t) - row.over((*row.order[:k], *row.ids(t)))


def shortlist_given(row: Row, t: int, scene: Scene) -> float:
    """Return the softmax over a logged list and t."""
    if scene.listed is None:
        return math.nan
    return row.logit(t) - row.over((*scene.listed, *row.ids(t)))


def shortlist_without_target(
    row: Row,
    t: int,
    scene: Scene,
    *,
    k: int | None = None,
    per: str | None = None,
    lists: str | None = None,
) -> float:
    """Return u_t − log Σ exp u over a list that need not hold t."""
    if lists == "given":
        return math.nan if scene.listed is None else row.logit(t) - row.over(scene.listed)
    assert per in {"step", "request"}
    names = row.order[:k] if per == "step" else scene.first.order[:k]
    return row.logit(t) - row.over(names)


def candidates_softmax(row: Row, t: int, scene: Scene) -> float:
    """Return the softmax over the tokens of all candidates of the record at this step."""
    tokens = {steps[scene.number].token for steps in scene.record if scene.number < len(steps)}
    return row.logit(t) - row.over(i for token in tokens for i in row.ids(token))


def nucleus_renormalised(row: Row, t: int, scene: Scene, *, p: float) -> float:  # noqa: ARG001
    """Return the softmax over the fewest largest tokens of mass ≥ p, and t."""
    fewest = int(np.searchsorted(row.masses, p)) + 1
    names = row.order[:fewest]
    return row.logit(t) - row.over((*names, *row.ids(t)))


def temperature(row: Row, t: int, scene: Scene, *, T: float) -> float:  # noqa: ARG001, N803
    """Return the softmax of u / T."""
    return row.logit(t) / T - logsumexp(row.u / T)


def logprob_over_temperature(row: Row, t: int, scene: Scene, *, T: float) -> float:  # noqa: N803
    """Return log Pr / T."""
    return correct(row, t, scene) / T


def double_softmax(row: Row, t: int, scene: Scene) -> float:
    """Return the softmax of the probabilities."""
    return math.exp(correct(row, t, scene)) - logsumexp(np.exp(row.u - row.z))


def log_epsilon(row: Row, t: int, scene: Scene, *, epsilon: float) -> float:
    """Return log(Pr + ε)."""
    return log(math.exp(correct(row, t, scene)) + epsilon)


def vocab_rows_masked(row: Row, t: int, scene: Scene, *, ids: Ids) -> float:  # noqa: ARG001
    """Return the softmax over the vocabulary without some ids."""
    u = row.u.copy()
    u[list(ids)] = -math.inf
    return logsumexp(u[list(row.ids(t))]) - logsumexp(u)


def wrong_axis(row: Row, t: int, scene: Scene, *, over: str) -> float:
    """Return the softmax of t's logits over positions."""
    if over == "continuation":
        prefixes = [step.prefix for step in scene.steps]
    else:
        s = scene.item.sequence
        prefixes = [s[:q] for q in range(1, len(s) + 1)]
    scene.rows.need(prefixes)
    return row.logit(t) - logsumexp([scene.rows[prefix].logit(t) for prefix in prefixes])


def half_precision(row: Row, t: int, scene: Scene, *, dtype: str, total: str = "float") -> float:  # noqa: ARG001
    """Return the log-softmax of rounded logits, rounded."""
    u = half(row.u, dtype)
    return float(half(logsumexp(u[list(row.ids(t))]) - logsumexp(u), dtype))


def half(x: Any, dtype: str) -> Any:  # noqa: ANN401 - a number or an array of them
    """Round to the nearest number of a half-precision type, ties to even."""
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return np.asarray(x, dtype=np.float64).astype(np.float16).astype(np.float64)
    assert dtype == "bfloat16"
    mantissa, exponent = np.frexp(np.asarray(x, dtype=np.float64))
    return np.ldexp(np.rint(mantissa * 256.0), exponent - 8)


NORMALISE: dict[str, Callable[..., float]] = {
    "raw_logit_sum": raw_logit_sum,
    "linear_normalisation": linear_normalisation,
    "shortlist_softmax": shortlist_softmax,
    "shortlist_given": shortlist_given,
    "shortlist_without_target": shortlist_without_target,
    "candidates_softmax": candidates_softmax,
    "nucleus_renormalised": nucleus_renormalised,
    "temperature": temperature,
    "logprob_over_temperature": logprob_over_temperature,
    "double_softmax": double_softmax,
    "log_epsilon": log_epsilon,
    "vocab_rows_masked": vocab_rows_masked,
    "wrong_axis": wrong_axis,
    "half_precision": half_precision,
}


# aggregate: v_1..v_N to A


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What an aggregate may look at beside the step scores.

    `total` is how the scorer adds up, `prompt` is m, `longest(company)` the largest N in a company,
    `neutral` the total with the prompt dropped.
    """

    total: Callable[[list[float]], float]
    prompt: int
    text: str
    longest: Callable[[str | int], int]
    neutral: Callable[[], float]


def plain_sum(v: list[float], counts: Counts) -> float:
    """Return Σ."""
    return counts.total(v)


def mean(v: list[float], counts: Counts) -> float:
    """Return Σ / N."""
    return ratio(counts.total(v), len(v))


def mean_over_padded(v: list[float], counts: Counts, *, company: str | int) -> float:
    """Return Σ / the largest N in the company."""
    return ratio(counts.total(v), counts.longest(company))


def mean_with_prompt_length(v: list[float], counts: Counts) -> float:
    """Return Σ / (m + N)."""
    return ratio(counts.total(v), counts.prompt + len(v))


def loss_times_wrong_count(v: list[float], counts: Counts, *, count: str) -> float:
    """Return Σ / N × a wrong number."""
    n = len(v)
    wrong = {"n_plus_1": n + 1, "n_minus_1": n - 1, "with_prompt": counts.prompt + n}[count]
    return ratio(counts.total(v), n) * wrong


def per_char(v: list[float], counts: Counts) -> float:
    """Return Σ / characters."""
    return ratio(counts.total(v), len(counts.text))


def per_byte(v: list[float], counts: Counts) -> float:
    """Return Σ / UTF-8 bytes."""
    return ratio(counts.total(v), len(counts.text.encode()))


def length_penalty(v: list[float], counts: Counts, *, alpha: float, form: str) -> float:
    """Return Σ / N^α, or over GNMT's penalty."""
    n = len(v)
    if form == "gnmt":
        return ratio(counts.total(v), math.pow((5 + n) / 6, alpha))
    assert form == "power"
    return ratio(counts.total(v), math.pow(n, alpha))


def product_then_log(v: list[float], counts: Counts, *, dtype: str) -> float:
    """Return the logarithm of the running product of exp(v)."""
    kind: type[np.floating[Any]] = np.float32 if dtype == "float32" else np.float64
    product = kind(1.0)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for value in v:
            product = np.multiply(product, kind(exp(value)))
        assert product.dtype == dtype
    # A total that is no number for its sign is none as a product either.
    return math.nan if math.isnan(counts.total(v)) else log(float(product))


def mean_probability(v: list[float], counts: Counts, *, log: str) -> float:  # noqa: ARG001
    """Return the mean of exp(v), or its logarithm."""
    value = ratio(add(exp(one) for one in v), len(v))
    return _log(value) if log == "yes" else value


_log = log


def first_token_only(v: list[float], counts: Counts) -> float:  # noqa: ARG001
    """Return v_1."""
    return v[0] if v else math.nan


def last_token_only(v: list[float], counts: Counts) -> float:  # noqa: ARG001
    """Return v_N."""
    return v[-1] if v else math.nan


def min_token(v: list[float], counts: Counts) -> float:  # noqa: ARG001
    """Return the smallest v."""
    if not v or any(math.isnan(value) for value in v):
        return math.nan
    return min(v)


def pmi(v: list[float], counts: Counts) -> float:
    """Return Σ less the same with the prompt dropped."""
    return counts.total(v) - counts.neutral()


AGGREGATE: dict[str, Callable[..., float]] = {
    "logprob": plain_sum,
    "mean": mean,
    "mean_over_padded": mean_over_padded,
    "mean_with_prompt_length": mean_with_prompt_length,
    "loss_times_wrong_count": loss_times_wrong_count,
    "per_char": per_char,
    "per_byte": per_byte,
    "length_penalty": length_penalty,
    "product_then_log": product_then_log,
    "mean_probability": mean_probability,
    "first_token_only": first_token_only,
    "last_token_only": last_token_only,
    "min_token": min_token,
    "pmi": pmi,
}

TOTALS = {"logprob", "product_then_log", "loss_times_wrong_count", "pmi"}
"""Aggregates that grow with the length; the others are a mean of some kind."""


# unit: A to the claim


def in_unit(a: float, unit: str, *, rule: str, count: int, rivals: list[float]) -> float:
    """Return the claim that a unit makes of A.

    Args:
        a: the aggregate.
        unit: an id of the stage.
        rule: the aggregate's id.
        count: N.
        rivals: A of all candidates of the record, this one among them.
    """
    plain: dict[str, Callable[[], float]] = {
        "nats": lambda: a,
        "in_bits": lambda: a / math.log(2),
        "in_log10": lambda: a / math.log(10),
        "negated": lambda: -a,
        "probability": lambda: exp(a),
        "perplexity": lambda: exp(-ratio(a, count)) if rule in TOTALS else exp(-a),
        "choice_prob": lambda: exp(a - logsumexp(rivals)),
    }
    return plain[unit]()


UNITS = ("nats", "in_bits", "in_log10", "negated", "probability", "perplexity", "choice_prob")

__all__ = ["AGGREGATE", "END", "NORMALISE", "UNITS", "Counts", "Scene", "half", "in_unit"]
