"""The experiment on stories as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.decode.stories import METHODS, PROVEN, Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = {"greedy": "#d1495b", "beam-5": "#edae49", "beam-20": "#00798c"}


def proofs(groups: dict[str, Sequence[Record]], path: Path) -> None:
    """Draw the expansions of each proof, sorted, and below them who found the mode.

    Args:
        groups: records by their heading.
        path: of the file; its ending says the format.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an optional framework

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(
        2,
        len(groups),
        figsize=(5.5 * len(groups), 5.2),
        squeeze=False,
        sharex="col",
        height_ratios=(3, 1.2),
        layout="constrained",
    )
    for column, (heading, records) in enumerate(groups.items()):
        above, below = axes[0, column], axes[1, column]
        order = sorted(records, key=lambda one: (one.status not in PROVEN, one.expansions))
        for proven, color, label in (
            (True, "#30323d", "of the search"),
            (False, "#bbbbbb", "stopped"),
        ):
            places = [x for x, one in enumerate(order) if (one.status in PROVEN) == proven]
            if places:
                heights = [order[x].expansions for x in places]
                above.bar(places, heights, 0.8, color=color, label=label)
        least = [(x, one.verified_by) for x, one in enumerate(order) if one.verified]
        above.scatter(
            [x for x, _ in least],
            [count for _, count in least],
            s=14,
            marker="_",
            color="#e07a5f",
            label="of the verifier",
        )
        above.set_yscale("log")
        above.yaxis.set_major_formatter("{x:,.0f}")
        above.yaxis.set_minor_formatter("")
        above.set_title(heading)
        above.set_ylabel("expansions to proof")
        above.legend(loc="upper left", fontsize="small")
        for line, name in enumerate(METHODS):
            for mark, face, wanted in (("o", _COLORS[name], True), ("o", "white", False)):
                places = [x for x, one in enumerate(order) if one.tried[name].found is wanted]
                below.scatter(
                    places,
                    [-line] * len(places),
                    s=22,
                    marker=mark,
                    facecolor=face,
                    edgecolor=_COLORS[name],
                    linewidth=0.9,
                )
        below.set_yticks([-line for line in range(len(METHODS))], list(METHODS))
        below.set_ylim(-len(METHODS) + 0.4, 0.6)
        below.set_xlabel("prompts, by expansions   (full: found the mode)")
        below.set_xlim(-0.8, len(order) - 0.2)
    _save(figure, path)
    plt.close(figure)


def shortfalls(groups: dict[str, Sequence[Record]], path: Path) -> None:
    """Draw how far below the mode each method's outputs are, sorted.

    Args:
        groups: records by their heading.
        path: of the file; its ending says the format.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an optional framework

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(
        1, len(groups), figsize=(5.5 * len(groups), 3.6), squeeze=False, layout="constrained"
    )
    for axis, (heading, records) in zip(axes[0], groups.items(), strict=True):
        proven = [record for record in records if record.status in PROVEN]
        for name in METHODS:
            tried = [(record.lower, record.tried[name]) for record in proven]
            short = sorted(
                0.0 if one.found else max(lower - one.logprob, 0.0)
                for lower, one in tried
                if one.logprob is not None
            )
            cut = len(tried) - len(short)
            label = f"{name}, {cut} cut" if cut else name
            axis.step(range(len(short)), short, where="mid", color=_COLORS[name], label=label)
        axis.set_title(heading)
        axis.set_xlabel("prompts, by nats")
        axis.set_ylabel("log Pr(mode) − log Pr(output)")
        axis.legend(fontsize="small")
    _save(figure, path)
    plt.close(figure)


def _save(figure: Figure, path: Path) -> None:
    """Write a picture whose bytes depend on nothing but what it shows."""
    import matplotlib as mpl  # noqa: PLC0415 - as above

    with mpl.rc_context({"svg.hashsalt": path.name}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
