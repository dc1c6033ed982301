"""Two candidates' tokens side by side: one strip to the fork, two from there, aligned by bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from logpr._pair import step_logprobs, step_text
from logpr._values import Explanation, Score
from logpr.report.words.explanation import pair
from logpr.report.words.tokens import parted

MOST_SHARED = 24
"""Shared tokens before the fork that are drawn; those before them are counted."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One token, or END, of a strip; `at` is its number in its candidate, from 0."""

    text: str
    logprob: float
    at: int
    end: bool


@dataclass(frozen=True, slots=True)
class Column:
    """Tokens of both that begin and end at the same bytes; a shared one is drawn once."""

    first: tuple[Cell, ...]
    second: tuple[Cell, ...]
    shared: bool = False
    fork: bool = False


@dataclass(frozen=True, slots=True)
class Strips:
    """The columns in order; `skipped` shared tokens before them, `hidden` of each after them.

    `same_prompt`: both were scored after the same tokens. `aligned`: bytes are known of both, so
    columns after the fork begin at the same byte.
    """

    columns: tuple[Column, ...]
    skipped: int
    hidden: tuple[int, int]
    same_prompt: bool
    aligned: bool


def strips(value: Explanation, most: int) -> Strips | None:
    """Return what to draw of the two, at most `most` tokens of each; None where none are known."""
    first, second = pair(value)
    sizes = len(step_logprobs(first)), len(step_logprobs(second))
    if not any(sizes):
        return None
    shared = parted(value)
    found = list(_columns(value, first, second, shared))
    skipped = max(0, shared - MOST_SHARED)
    kept: list[Column] = []
    left = right = skipped
    for column in found[skipped:]:
        cut = Column(
            column.first[: max(0, most + skipped - left)],
            column.second[: max(0, most + skipped - right)],
            column.shared,
            column.fork,
        )
        if not (cut.first or cut.second):
            break
        kept.append(cut)
        left += len(cut.first)
        right += len(cut.second)
        if (cut.first, cut.second) != (column.first, column.second):
            break
    return Strips(
        columns=tuple(kept),
        skipped=skipped,
        hidden=(sizes[0] - left, sizes[1] - right),
        same_prompt=first.prompt_ids == second.prompt_ids,
        aligned=bool(value.segments),
    )


def _columns(value: Explanation, first: Score, second: Score, shared: int) -> Iterator[Column]:
    """Yield a column for each shared token, then one for each segment from the fork on.

    END takes no bytes: it stands where its candidate has nothing more and the other goes on.
    """
    one, two = cells(first), cells(second)
    for place in range(shared):
        yield Column((one[place],), (two[place],), shared=True)
    ranges: Sequence[tuple[tuple[int, int], tuple[int, int]]] = [
        (each.first, each.second) for each in value.segments
    ] or [((0, len(one)), (0, len(two)))]
    left = right = shared
    fork = value.fork is not None
    for a, b in ranges:
        begin, begin_two = max(a[0], left), max(b[0], right)
        upper, lower = one[begin : a[1]], two[begin_two : b[1]]
        if not (upper or lower):
            continue
        left, right = begin + len(upper), begin_two + len(lower)
        if not upper and left == len(one) - 1 and one[left].end:
            upper, left = one[left:], len(one)
        if not lower and right == len(two) - 1 and two[right].end:
            lower, right = two[right:], len(two)
        yield Column(upper, lower, fork=fork)
        fork = False
    if one[left:] or two[right:]:
        yield Column(one[left:], two[right:], fork=fork)


def cells(score: Score) -> tuple[Cell, ...]:
    """Return every outcome of a candidate, END last where it is scored."""
    size = len(score.token_logprobs or ())
    return tuple(
        Cell(step_text(score, at), logprob, at, end=at >= size)
        for at, logprob in enumerate(step_logprobs(score))
    )
