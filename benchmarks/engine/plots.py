"""The run as pictures: ratios to peers and share of the roofline; time against tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.engine.rows import Report


def overview(report: Report, peers: Sequence[str], path: Path) -> None:
    """Draw for each model bars of the ratio to each peer, and of the share of the roofline.

    Args:
        report: what was measured.
        peers: in the order of their bars.
        path: of the file; its ending says the format.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an optional framework

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    models = list(dict.fromkeys(row.model for row in report.rows))
    figure, axes = plt.subplots(
        len(models), 2, figsize=(13, 3.2 * len(models)), squeeze=False, layout="constrained"
    )
    for (left, right), model in zip(axes, models, strict=True):
        rows = [row for row in report.rows if row.model == model]
        compared = [row for row in rows if row.peers]
        width = 0.8 / max(1, len(peers))
        for i, peer in enumerate(peers):
            have = [
                (x, row.peers[peer].ratio) for x, row in enumerate(compared) if peer in row.peers
            ]
            left.bar([x + i * width for x, _ in have], [y for _, y in have], width, label=peer)
        left.axhline(1, color="black", linewidth=0.8)
        left.set_yscale("log")
        left.set_xticks(
            [x + 0.4 - width / 2 for x in range(len(compared))], [row.workload for row in compared]
        )
        left.set_title(f"{model}: seconds of the peer ÷ seconds of logpr")
        if compared:
            highest = max(cell.ratio for row in compared for cell in row.peers.values())
            left.set_ylim(0.5, 5 * highest)  # room for the legend
            left.legend(fontsize="small", ncols=max(1, len(peers)), loc="upper left")
        lit = [row for row in rows if row.roofline is not None]
        for shift, color, label, shares in (
            (-0.2, "tab:gray", "of the faster library", [row.roofline or 0 for row in lit]),
            (0.2, "lightgray", "of torch.mm", [row.roofline_mm or 0 for row in lit]),
        ):
            right.bar([x + shift for x in range(len(lit))], shares, 0.4, color=color, label=label)
        right.axhline(1, color="black", linewidth=0.8)
        right.set_xticks(range(len(lit)), [row.workload for row in lit])
        right.set_ylim(0, 2)
        right.legend(fontsize="small", ncols=2, loc="upper left")
        right.set_title(f"{model}: share of the matmul roofline")
    figure.savefig(path)
    plt.close(figure)


def growth(tokens: Sequence[int], seconds: Sequence[float], slope: float, path: Path) -> None:
    """Draw seconds against unique tokens, both logarithmic, beside a line of slope 1.

    Args:
        tokens: unique ones of each run.
        seconds: of each run.
        slope: of the fitted line.
        path: of the file.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an optional framework

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.loglog(tokens, seconds, "o-", label=f"measured, slope {slope:.2f}")
    axes.loglog(tokens, [seconds[0] * n / tokens[0] for n in tokens], "--", label="slope 1")
    axes.set_xlabel("unique tokens")
    axes.set_ylabel("seconds")
    axes.legend()
    figure.savefig(path)
    plt.close(figure)
