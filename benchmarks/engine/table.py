"""The run as one Markdown table, its machine above it and what its signs mean below."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.engine.rows import PeerCell, Report, Row

_TENS = 10
_HUNDREDS = 100


def markdown(report: Report, peers: Sequence[str]) -> str:
    """Return the table.

    Args:
        report: what was measured.
        peers: the columns of ratios.
    """
    head = [
        "model",
        "workload",
        "queries",
        "s",
        "tokens fed",
        "least",
        "of roofline",
        "of torch.mm's",
    ]
    head += ["MB above weights", "largest difference"]
    lines = [_heading(report), "", _line([*head, *(f"× {peer}" for peer in peers)])]
    lines.append(_line(["---"] * (len(head) + len(peers))))
    lines += [_row(row, peers) for row in report.rows]
    lines += ["", _NOTE]
    for model, ratio in report.invariant.items():
        lines += ["", f"`batch_invariant=True` on {model}, choices: {ratio:.2f} × the seconds."]
    for failure in report.failures:
        first, *rest = failure.strip().splitlines()
        lines += ["", f"Not run: {first} {rest[-1] if rest else ''}".rstrip()]
    return "\n".join(lines)


_NOTE = (
    "s: median of the runs. Least: unique (prefix, token) that must be fed; up to 31 more a pass "
    "fill up its products. Of roofline: time of "
    "the minimal matmuls at the rate of each, measured beside the row, ÷ seconds; the rate is that "
    "of the faster of torch's two libraries, in the next column that of torch.mm. Difference: from "
    "the float64 reference, nats a sequence, on a sample. × peer: its seconds ÷ logpr's in the "
    "same run, same weights and tokens; (n q) where both ran only the first n queries; ~ where the "
    "peer, which runs each sequence by itself, was timed on some sequences and scaled by tokens "
    "to all, and logpr ran all."
)


def _heading(report: Report) -> str:
    machine = report.machine
    versions = {name: v for found in report.versions.values() for name, v in found.items()}
    named = [
        f"{name} {versions[name]}"
        for name in (
            "torch",
            "transformers",
            "numpy",
            "lm_eval",
            "minicons",
            "llama-cpp-python",
        )
        if name in versions
    ]
    settings = report.settings
    return (
        f"{machine['processor']}, {machine['cores']} cores, {settings['threads']} threads, "
        f"{settings['device']}, {settings['dtype']}; Python {machine['python']}, "
        f"{', '.join(named)}; commit {machine['commit']}, {machine['day']}."
    )


def _row(row: Row, peers: Sequence[str]) -> str:
    shares = ["" if one is None else f"{one:.2f}" for one in (row.roofline, row.roofline_mm)]
    cells = [
        row.model,
        row.workload + (f" (winner same: {row.winners})" if row.winners else ""),
        str(row.queries) if row.queries == row.of_queries else f"{row.queries} of {row.of_queries}",
        _number(row.seconds),
        f"{row.fed:,}",
        f"{row.minimum:,}",
        *shares,
        f"{row.memory_mb:.0f}",
        "" if row.difference is None else f"{row.difference:.0e} ({row.compared})",
    ]
    return _line([*cells, *(_ratio(row, row.peers.get(peer)) for peer in peers)])


def _ratio(row: Row, cell: PeerCell | None) -> str:
    if cell is None:
        return ""
    part = "" if cell.queries == row.queries else f"{cell.queries} q"
    if cell.scaled:
        sample = ", ".join(filter(None, [part, f"{cell.sequences} of {cell.of_sequences} seq"]))
        return f"~{_number(cell.ratio)} ({sample})"
    return _number(cell.ratio) + (f" ({part})" if part else "")


def _number(value: float) -> str:
    if value >= _HUNDREDS:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= _TENS else f"{value:.2f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
