"""The records of the experiment on stories, counted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.decode.stories import METHODS, PROVEN, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What one method came to, over the prompts whose mode is proven.

    `cut`: it ended with no output. `short`: nats that it is below the mode, where it found another
    output.
    """

    found: int
    free: int
    cut: int
    short: tuple[float, ...]


def counted(records: Sequence[Record], method: str) -> Count:
    """Return what a method came to.

    Args:
        records: of one experiment.
        method: one of `METHODS`.
    """
    proven = [record for record in records if record.status in PROVEN]
    tried = [(record, record.tried[method]) for record in proven]
    return Count(
        found=sum(one.found is True for _, one in tried),
        free=sum(one.free for _, one in tried),
        cut=sum(one.logprob is None for _, one in tried),
        short=tuple(
            max(record.lower - one.logprob, 0.0)
            for record, one in tried
            if one.logprob is not None and not one.found
        ),
    )


def markdown(groups: dict[str, Sequence[Record]]) -> str:
    """Return the table of some experiments, side by side.

    Args:
        groups: records by the heading of their column.
    """
    columns = [_column(records) for records in groups.values()]
    lines = [
        f"| | {' | '.join(groups)} |",
        f"|---|{'---|' * len(groups)}",
        *(f"| {name} | {' | '.join(one[name] for one in columns)} |" for name in columns[0]),
    ]
    return "\n".join(lines)


def _column(records: Sequence[Record]) -> dict[str, str]:
    proven = [record for record in records if record.status in PROVEN]
    count = len(proven)
    out = {
        "mode proven": f"{count} of {len(records)}",
        "of them with gap 0": str(sum(record.gap == 0.0 for record in proven)),
        "unproven: their gaps": _spread([r.gap for r in records if r.status not in PROVEN], "nats"),
        "unproven: outputs that may be better": _spread(
            [r.at_most_better or 0 for r in records if r.status not in PROVEN], ""
        ),
        "log Pr(mode): median (lowest … highest)": _spread([r.lower for r in proven], ""),
    }
    for name in METHODS:
        found = counted(records, name)
        out[f"{name} finds the mode"] = f"{found.found} of {count}"
        out[f"{name}: its certificate proves it, free"] = f"{found.free} of {count}"
        out[f"{name}: cut, no output"] = str(found.cut)
        out[f"{name}: another output, below the mode by"] = _spread(list(found.short), "nats")
    return out | _costs(proven) | _ends(proven)


def _costs(proven: Sequence[Record]) -> dict[str, str]:
    verified = [record for record in proven if record.verified is not None]
    checked = sum(record.verified is not None for record in proven)
    return {
        "expansions to proof": _spread([r.expansions for r in proven], ""),
        "seconds to proof": _spread([r.seconds for r in proven], "s"),
        "seconds of the call": _spread([r.whole_seconds for r in proven], "s"),
        "ledger: furthest from 1": f"{max(abs(r.ledger - 1.0) for r in proven):.0e}",
        "certificates that the verifier confirmed": f"{sum(r.verified is True for r in verified)} "
        f"of {checked}",
        "expansions of the verifier": _spread([r.verified_by or 0 for r in verified], ""),
        "the real continuation is the mode": f"{sum(r.real_is_mode for r in proven)} "
        f"of {len(proven)}",
        "log Pr(real)": _spread([r.real_logprob for r in proven], ""),
    }


def _ends(proven: Sequence[Record]) -> dict[str, str]:
    ranks = [r.empty_rank for r in proven if r.empty_rank is not None]
    if not ranks:
        names = ("holds for outputs of any length", "log Pr(empty)", "nats below the mode", "rank")
        return dict.fromkeys((names[0], *(f"the empty output: {n}" for n in names[1:])), "")
    exact = [low for low, high in ranks if low is not None and low == high]
    rank = f"known in {len(exact)}"
    if exact:
        rank += f" ({min(exact)} to {max(exact):,})"
    rest = [low for low, high in ranks if low is not None and low != high]
    if rest:
        rank += f"; at least {min(rest):,} in the other {len(rest)}"
    return {
        "holds for outputs of any length": f"{sum(r.any_length for r in proven)} of {len(proven)}",
        "the empty output: log Pr(empty)": _spread([r.empty_logprob or 0.0 for r in proven], ""),
        "the empty output: nats below the mode": _spread(
            [r.lower - (r.empty_logprob or 0.0) for r in proven], ""
        ),
        "the empty output: rank": rank,
    }


def _spread(numbers: Sequence[float], unit: str) -> str:
    """Return "median (lowest … highest)"; a dash for none."""
    if not numbers:
        return "–"
    middle, low, high = statistics.median(numbers), min(numbers), max(numbers)
    text = f"{_short(middle)} ({_short(low)} … {_short(high)})"
    return f"{text} {unit}".strip()


def _short(number: float) -> str:
    if number == 0.0 or not math.isfinite(number):
        return f"{number:g}"
    if isinstance(number, int) or abs(number) >= 1000:  # noqa: PLR2004 - figures a reader wants
        return f"{number:,.0f}"
    return f"{number:.3g}".replace("-", "−")
