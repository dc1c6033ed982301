"""What an endpoint answered: its tokens with the numbers it printed for them, whatever its format.

The readers of each format are in `logpr.io.responses`, the checks in `_response_checks`.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from logpr.auditing.claims.values import Printed

ResponseUnit: TypeAlias = Literal["nats", "probability"]
"""What the format's own field names say the numbers are."""

NOISE = 1e-5
"""Nats that float32 arithmetic alone may move a log-probability by."""

Half: TypeAlias = Literal["bfloat16", "float16"]
"""A float of half precision."""

_HALF_PRECISION: dict[Half, float] = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Largest relative rounding error of each."""

_GRID_VALUES = 8
"""Distinct numbers that must lie on a grid before it is called one."""

_CERTAIN = 2.0**-7
"""Nats below 0 up to which a token is nearly certain."""

_HALF_MASS = 1.2
"""Most probability that a list's tokens have together after rounding to half precision."""

_MACHINE = 8
"""Significant digits from which a number is a float written in full, not one that was rounded."""

_SINGLE = 2.0**-24
"""Largest relative error of a float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopEntry:
    """One token of the list that stands beside the chosen one, likeliest first by custom.

    `token` is None where the endpoint named the id alone, `value` where it gave null.
    """

    token: str | None
    value: Printed | None
    id: int | None = None
    raw: bytes | None = None
    rank: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseStep:
    """One token of the response. `where` is its path in the document.

    `top` is None where no list was given.
    """

    token: str | None
    value: Printed | None
    where: str
    id: int | None = None
    raw: bytes | None = None
    rank: int | None = None
    top: tuple[TopEntry, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One choice of one response.

    `prompt_steps` are tokens of the prompt that the endpoint returned with numbers, the first
    without one; `echoed` says that the text begins with the prompt and that the document does not
    say where it ends, so that `steps` has both. `text_keyed`: the lists name their tokens by text
    alone, so two ids of one text are one entry. `document` counts the documents of the source.
    """

    format: str
    steps: tuple[ResponseStep, ...]
    where: str
    text: str | None = None
    prompt: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    prompt_steps: tuple[ResponseStep, ...] = ()
    echoed: bool = False
    id: str | int | None = None
    index: int = 0
    document: int = 0
    model: str | None = None
    unit: ResponseUnit = "nats"
    text_keyed: bool = False

    @property
    def all_steps(self) -> tuple[ResponseStep, ...]:
        """Return the prompt's steps and the completion's."""
        return (*self.prompt_steps, *self.steps)

    def values(self) -> Iterator[Printed]:
        """Yield every number of the response, the lists' included."""
        for step in self.all_steps:
            if step.value is not None:
                yield step.value
            for entry in step.top or ():
                if entry.value is not None:
                    yield entry.value


def in_nats(value: Printed, unit: ResponseUnit) -> tuple[float, float]:
    """Return the least and the largest log-probability, in nats, that a number may stand for.

    The printed interval, as logarithms where the unit is `probability`, widened by `NOISE`.
    """
    low, high = value.low, value.high
    if unit == "probability":
        # A probability above 1 has a logarithm too, and it is positive.
        low = math.log(low) if low > 0 else -math.inf
        high = math.log(high) if high > 0 else -math.inf
    return low - NOISE, high + NOISE


def half_grid(response: Response) -> Half | None:
    """Return `bfloat16` or `float16` where every log-probability of a response is one, else None.

    Numbers count where the list's first is not nearly certain: beside a certain token the
    normaliser is that token's logit, and the others' log-probabilities are differences of logits,
    which lie on a grid by right where the logits did.
    """
    if response.unit != "nats":
        return None
    numbers: set[float] = set()
    telling: set[float] = set()
    for step in response.all_steps:
        listed = (step.value, *(entry.value for entry in step.top or ()))
        values = {
            value.value for value in listed if value is not None and math.isfinite(value.value)
        }
        # Raw logits may be floats of half precision too; these are no log-probabilities at all.
        if sum(math.exp(min(value, 1.0)) for value in values) > _HALF_MASS:
            return None
        numbers |= values - {0.0}
        if values and max(values) < -_CERTAIN:
            telling |= values
    if len(telling) < _GRID_VALUES or all(value == round(value) for value in numbers):
        return None
    exact = np.array(sorted(numbers), dtype=np.float64)
    with np.errstate(over="ignore"):
        single = exact.astype(np.float32)
        half = single.astype(np.float16)
    if not np.allclose(single.astype(np.float64), exact, rtol=2e-7, atol=0.0):
        return None
    if not (single.view(np.uint32) & 0xFFFF).any():
        return "bfloat16"
    return "float16" if (half.astype(np.float32) == single).all() else None


def with_common_digits(response: Response) -> Response:
    """Return the response with each number's interval as its neighbours show that it was printed.

    Where every number is a half-precision float, each stands for what rounds to it. JSON drops
    trailing zeros: "-14.75" among numbers of 16 digits is exact, and "0.006" among
    numbers of five decimals has five. Where numbers have 8 significant digits or more, all are
    floats written in full (float32 at least); where most end at the same decimal, all do.
    """
    half = half_grid(response)
    if half is not None:
        return _mapped(response, lambda value: _widened(value, _HALF_PRECISION[half]))
    texts = [value.text for value in response.values() if math.isfinite(value.value)]
    if any(_significant(text) >= _MACHINE for text in texts):
        return _mapped(response, lambda value: _widened(value, _SINGLE))
    counts = Counter(value.decimals for value in response.values() if value.decimals is not None)
    if not counts:
        return response
    most = max(counts)
    # Of numbers rounded to d decimals one in ten ends in a zero; of numbers rounded to
    # significant digits, far fewer share the last decimal.
    if counts[most] < 0.6 * sum(counts.values()):
        return response
    return _mapped(response, lambda value: _rounded_to(value, most))


def _significant(text: str) -> int:
    digits = text.strip().lstrip("+-").split("e")[0].split("E")[0].replace(".", "")
    return len(digits.strip("0"))


def _widened(value: Printed, relative: float) -> Printed:
    if not math.isfinite(value.value):
        return value
    half = abs(value.value) * relative
    return dataclasses.replace(value, low=value.value - half, high=value.value + half)


def _rounded_to(value: Printed, decimals: int) -> Printed:
    if value.decimals is None or not math.isfinite(value.value):
        return value
    half = 0.5 * 10.0**-decimals
    if value.percent:
        half /= 100
    return dataclasses.replace(
        value, low=value.value - half, high=value.value + half, decimals=decimals
    )


def _mapped(response: Response, change: Callable[[Printed], Printed]) -> Response:
    def step_of(step: ResponseStep) -> ResponseStep:
        top = step.top
        return dataclasses.replace(
            step,
            value=None if step.value is None else change(step.value),
            top=None
            if top is None
            else tuple(
                dataclasses.replace(
                    entry, value=None if entry.value is None else change(entry.value)
                )
                for entry in top
            ),
        )

    return dataclasses.replace(
        response,
        steps=tuple(map(step_of, response.steps)),
        prompt_steps=tuple(map(step_of, response.prompt_steps)),
    )
