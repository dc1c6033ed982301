"""From a case that breaks a law to the smallest one that still does."""

from __future__ import annotations

import time
from collections.abc import Iterator

from logpr.conformance.bench import Bench, CannotJudgeError, Compared
from logpr.conformance.case import Case
from logpr.conformance.laws import Law
from logpr.conformance.targets.base import ScorerError

_TRIES = 48
_SECONDS = 4.0


def broken(law: Law, bench: Bench, case: Case) -> list[Compared]:
    """Return what of a case breaks the law.

    Raises:
        ScorerError: the scorer gave no numbers.
        CannotJudgeError: there is nothing to judge by.
    """
    return [compared for compared in law.check(bench, case) if not compared.kept]


def shrunk(law: Law, bench: Bench, case: Case) -> tuple[Case, Compared]:
    """Return the smallest case found that breaks the law, and what breaks it there.

    Greedy: whatever is smaller and still breaks the law is taken, until nothing is, or the tries
    are used up. A scorer's crash on a smaller case is no break of this law.

    Args:
        law: the law.
        bench: where the scorer stands.
        case: one that breaks it.
    """
    found = broken(law, bench, case)[0]
    tries, until = _TRIES, time.monotonic() + _SECONDS
    moved = True
    while moved:
        moved = False
        for smaller in _standing(law, bench, case):
            if tries == 0 or time.monotonic() > until:
                return case, found
            tries -= 1
            try:
                worse = broken(law, bench, smaller)
            except ScorerError as error:
                if error.fatal:
                    return case, found
                continue
            except CannotJudgeError:
                continue
            if worse:
                case, found, moved = smaller, worse[0], True
                break
    return case, found


def _standing(law: Law, bench: Bench, case: Case) -> Iterator[Case]:
    seen = {case}
    for smaller in law.smaller(case):
        if smaller not in seen and law.stands(bench, smaller):
            seen.add(smaller)
            yield smaller
