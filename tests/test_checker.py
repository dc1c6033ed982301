"""The checker that the tests run the package under refuses what its annotations refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jaxtyping
import numpy as np
import pytest

import logpr
from logpr._types import FloatVocab
from logpr.errors import LogprError
from tests import checker

REFUSED = jaxtyping.TypeCheckError


def under(asked: Any) -> Any:  # noqa: ANN401 - a function or a class
    """Return it as the import hook leaves it."""
    return checker.jaxtyped(typechecker=checker.checked)(asked)


@under
def half(number: int, *, text: str = "", name: str | None = None) -> float:
    """Return half of a number and a text's length, or what is no number."""
    return number / 2 + len(text) if name is None else name  # type: ignore[return-value]


@under
def mass(row: FloatVocab, other: FloatVocab) -> float:
    """Return the sum of two rows of one vocabulary."""
    return float(row.sum() + other.sum())


@under
def each(numbers: list[int]) -> Iterator[int]:
    """Yield numbers."""
    yield from numbers


@under
@dataclass(frozen=True)
class Held:
    """A number."""

    number: int

    @under
    def plus(self, other: int) -> int:
        """Return the sum."""
        return self.number + other


def local() -> Callable[..., Any]:
    """Return a function that is made at each call."""

    @under
    def twice(number: int, *, name: str | None = None) -> float:
        return number * 2 if name is None else name  # type: ignore[return-value]

    return twice  # type: ignore[no-any-return]


WRONG: list[Callable[[], object]] = [
    lambda: half("1"),
    lambda: half(number="1"),
    lambda: half(1, text=2),
    lambda: half(1, name="a result of the wrong type"),
    lambda: each({1}),
    lambda: Held("1"),  # type: ignore[arg-type]
    lambda: Held(1).plus("2"),
    lambda: local()("1"),
    lambda: local()(number="1"),
    lambda: local()(1, name=2),
    lambda: local()(1, name="a result of the wrong type"),
    lambda: mass(np.zeros(3), np.zeros(2)),
    lambda: mass(np.zeros(3, np.int64), np.zeros(3)),
    lambda: mass([0.0], np.zeros(1)),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_annotations_refuse_is_refused(wrong: Callable[[], object]) -> None:
    """Arguments, results and fields of the wrong type, and axes of unequal size, are errors."""
    with pytest.raises(REFUSED):
        wrong()


def test_an_error_tells_the_sizes_of_the_call() -> None:
    """The axes that were known when a check failed are noted with their sizes."""
    with pytest.raises(REFUSED) as refused:
        mass(np.zeros(3), np.zeros(2))
    (note,) = refused.value.__notes__
    assert "vocab=3" in note


def test_what_annotations_take_is_taken() -> None:
    """Functions return what they return, with their defaults and keywords."""
    assert (half(3), half(number=3, text="x")) == (1.5, 2.5)
    assert list(each([1, 2])) == [1, 2]
    assert Held(1).plus(2) == 3
    assert (local()(2), local()(number=2)) == (4, 4)
    assert mass(np.ones(2), np.ones(2)) == 4.0


@pytest.mark.usefixtures("unchecked")
def test_unchecked_is_unchecked() -> None:
    """Under the fixture nothing is asked of any of them."""
    assert half(1, name="n") == "n"
    assert local()(1, name="n") == "n"
    assert Held("1").number == "1"  # type: ignore[arg-type, comparison-overlap]
    assert list(each((1, 2))) == [1, 2]


def test_the_package_is_under_it() -> None:
    """A wrong call of the package is refused before the package sees it; users get its own word."""
    with pytest.raises(REFUSED):
        logpr.Settings(truncate=3)  # type: ignore[arg-type]
    with pytest.raises(REFUSED):
        logpr.rank(5, ["a"])  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked")
def test_without_it_the_package_has_its_own_word() -> None:
    """The same call, as users make it."""
    with pytest.raises(LogprError):
        logpr.rank(5, ["a"])  # type: ignore[arg-type]
