"""What the candidates that a formula fails on have in common, and the others have not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, lgamma

import numpy as np

from logpr.auditing.claims.values import ClaimRow
from logpr.auditing.reporting.features import Counts, Flags, Quantity, features, quantities
from logpr.auditing.scene.scene import Scene

_CHANCE = 0.01
_STRONG = 0.9
_MOST = 3


@dataclass(frozen=True, slots=True)
class _Look:
    """A property of the candidates at hand, the best of `cuts` thresholds that were tried."""

    says: str
    family: str
    flags: Flags
    cuts: int = 1


@dataclass(frozen=True, slots=True)
class _Split:
    """How many of the struck and of the others have a property, and how often chance does that."""

    says: str
    family: str
    struck: int
    others: int
    p: float


def in_common(
    scene: Scene, struck: Sequence[int], others: Sequence[int], *, rows: Sequence[ClaimRow]
) -> tuple[str, ...]:
    """Return what struck candidates have in common and the others have not, best first.

    At most three sentences, with the counts; of properties that say nearly the same, one. A
    property is said where more than half of the struck have it, and chance does not explain that:
    p ≤ 0.01 in Fisher's exact test, one sided, p times the number of properties that vary and of
    the thresholds tried. Where some property holds of 90 % of the struck, and 90 % of those that
    have it are struck, weaker ones are left unsaid.

    Args:
        scene: all candidates.
        struck: numbers of those that stand out; of a single one nothing is said.
        others: numbers of those to hold them against; the rest of the file is not looked at.
        rows: the records.
    """
    if len(struck) < 2 or not others:  # noqa: PLR2004 - one has nothing in common with itself
        return ()
    at = np.array([*struck, *others], dtype=np.int64)
    mine = np.arange(len(at)) < len(struck)
    looks = [
        look for look in _looks(scene, rows, at, mine) if look.flags.any() and not look.flags.all()
    ]
    # Two names of one property are one look at the data.
    properties = len({look.flags.tobytes() for look in looks})
    splits = [_weighed(look, mine, properties) for look in looks]
    said = [split for split in splits if split.p <= _CHANCE and 2 * split.struck > len(struck)]
    strong = [split for split in said if _is_strong(split, len(struck))]
    best: dict[str, _Split] = {}
    for split in sorted(strong or said, key=lambda split: split.p):
        best.setdefault(split.family, split)
    return tuple(
        _sentence(split, len(struck), len(others)) for split in list(best.values())[:_MOST]
    )


def _looks(scene: Scene, rows: Sequence[ClaimRow], at: Counts, mine: Flags) -> Iterator[_Look]:
    for feature in features(scene, rows):
        yield _Look(feature.says, feature.family, feature.flags[at])
    for quantity in quantities(scene):
        yield from _thresholds(quantity, quantity.values[at], mine)


def _thresholds(quantity: Quantity, values: Counts, mine: Flags) -> Iterator[_Look]:
    """Yield the best split of the form > t, and the best of the form ≤ t."""
    edges = np.unique(values)[:-1]
    if not len(edges):
        return
    struck = np.searchsorted(np.sort(values[mine]), edges, side="right") / mine.sum()
    others = np.searchsorted(np.sort(values[~mine]), edges, side="right") / (~mine).sum()
    more, less = edges[np.argmin(struck - others)], edges[np.argmax(struck - others)]
    yield _Look(quantity.above(int(more)), quantity.family, values > more, len(edges))
    yield _Look(quantity.up_to(int(less)), quantity.family, values <= less, len(edges))


def _weighed(look: _Look, mine: Flags, properties: int) -> _Split:
    struck, others = int(look.flags[mine].sum()), int(look.flags[~mine].sum())
    p = _at_least(struck, int(mine.sum()), struck + others, len(mine))
    return _Split(look.says, look.family, struck, others, p * look.cuts * properties)


def _at_least(seen: int, drawn: int, having: int, total: int) -> float:
    """Return the probability that `seen` or more of `drawn` out of `total` are among `having`.

    Σ_{k ≥ seen} C(having, k) C(total − having, drawn − k) / C(total, drawn).
    """
    whole = _log_choose(total, drawn)
    low = max(seen, drawn - (total - having))
    return sum(
        exp(_log_choose(having, k) + _log_choose(total - having, drawn - k) - whole)
        for k in range(low, min(drawn, having) + 1)
    )


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _is_strong(split: _Split, struck: int) -> bool:
    return split.struck >= _STRONG * max(struck, split.struck + split.others)


def _sentence(split: _Split, struck: int, others: int) -> str:
    share = f"All {struck}" if split.struck == struck else f"{split.struck} of the {struck}"
    noun = "other" if others == 1 else "others"
    against = f"{split.others} of {others} {noun}"
    if not split.others and others > 1:
        against = f"none of the {others} others"
    return f"{share} struck rows {split.says}, against {against}."
