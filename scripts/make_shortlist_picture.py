"""Draw the picture of the shortlist case: what its claims are off by, and what its lists cover.

    python scripts/make_shortlist_picture.py          # writes docs/pictures/shortlist-drift.svg
    python scripts/make_shortlist_picture.py --check  # exits 1 where it would be drawn otherwise

Every point is a reply, or a step, of `examples/shortlist_case.py` as it runs by default.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import logpr

ROOT = Path(__file__).parents[1]
CASE = ROOT / "examples" / "shortlist_case.py"
TARGET = ROOT / "docs" / "pictures" / "shortlist-drift.svg"
PROMPTS = 120

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #59636e; }
  .head { font-size: 15px; font-weight: 600; fill: #1f2328; }
  .end { text-anchor: end; }
  .middle { text-anchor: middle; }
  .card { fill: #f6f8fa; stroke: #d1d9e0; }
  .grid { stroke: #d1d9e0; fill: none; }
  .dots { stroke: #d55e00; stroke-width: 4.5; stroke-linecap: round; opacity: .45; fill: none; }
  .line { stroke: #1f2328; stroke-width: 2; fill: none; }
  .wide { stroke: #0072b2; stroke-width: 2; opacity: .5; fill: none; }
  .half { stroke: #0072b2; stroke-width: 8; opacity: .5; fill: none; }
  .median { stroke: #0072b2; stroke-width: 8; stroke-linecap: round; fill: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .head { fill: #f0f6fc; }
    .card { fill: #151b23; stroke: #3d444d; }
    .grid { stroke: #3d444d; }
    .dots { stroke: #ff9a4d; }
    .line { stroke: #f0f6fc; }
    .wide, .half, .median { stroke: #58b4f0; }
  }
"""

TOP, BOTTOM = 78.0, 280.0
LEFT = (52.0, 378.0)
RIGHT = (470.0, 778.0)
LOWEST = -5


def drawing() -> str:
    """Return the SVG."""
    program = runpy.run_path(str(CASE))
    found = program["case"](logpr.load("builtin"), "lengths", PROMPTS)
    drift = found.report.damage.drifts[0]
    title = (
        f"Claimed − true changes by {drift.slope:+.2f} nats with each further token; the list of "
        f"the first step covers little of the later ones"
    )
    parts = [
        (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 330" role="img" '
            f'aria-label="{title}">'
        ),
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
        '<rect class="card" x="4" y="4" width="390" height="322" rx="10"/>',
        '<rect class="card" x="406" y="4" width="390" height="322" rx="10"/>',
        *_replies(drift),
        *_steps(found.masses),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _replies(drift: Any) -> list[str]:  # noqa: ANN401 - a value of the report
    tokens, off = (np.array(column) for column in zip(*drift.points, strict=True))
    last, high = float(tokens.max()), 20 * float(np.ceil(off.max() / 20))
    low = 20 * float(np.floor(off.min() / 20))
    parts = [
        '<text class="head" x="20" y="32">Claimed − true, nats</text>',
        f'<text x="20" y="52">each point a reply; {drift.slope:+.2f} nats a token</text>',
    ]
    for level in np.arange(low, high + 1, 20):
        y = _down(level, low, high)
        parts.append(f'<path class="grid" d="M{LEFT[0]:.0f} {y:.1f}H{LEFT[1]:.0f}"/>')
        name = f"{level:.0f}".replace("-", "−")
        parts.append(f'<text class="end" x="{LEFT[0] - 6:.0f}" y="{y + 4:.1f}">{name}</text>')
    for size in range(2, int(last) + 1, 2):
        x = _across(size, last, LEFT)
        parts.append(f'<text class="middle" x="{x:.1f}" y="{BOTTOM + 18:.0f}">{size}</text>')
    parts.append(f'<text class="middle" x="{sum(LEFT) / 2:.0f}" y="316">tokens of the reply</text>')
    spots = "".join(
        f"M{_across(x, last, LEFT):.1f} {_down(y, low, high):.1f}h0"
        for x, y in sorted(drift.points)
    )
    parts.append(f'<path class="dots" d="{spots}"/>')
    middle_x, middle_y = tokens.mean(), off.mean()
    ends = [
        f"{_across(x, last, LEFT):.1f} "
        f"{_down(middle_y + drift.slope * (x - middle_x), low, high):.1f}"
        for x in (float(tokens.min()), last)
    ]
    parts.append(f'<path class="line" d="M{ends[0]}L{ends[1]}"/>')
    return parts


def _steps(masses: dict[tuple[int, int, int], float]) -> list[str]:
    by_step: dict[int, list[float]] = defaultdict(list)
    for (_, _, step), mass in masses.items():
        by_step[step].append(np.log10(mass))
    last = max(by_step) + 1
    parts = [
        '<text class="head" x="422" y="32">Share that the list covers</text>',
        '<text x="422" y="52">by step: median, half and 90 % of the steps</text>',
    ]
    for level in range(LOWEST, 1):
        y = _down(level, LOWEST, 0)
        name = "1" if level == 0 else f"10<tspan dy='-4' font-size='10'>−{-level}</tspan>"
        parts.append(f'<path class="grid" d="M{RIGHT[0]:.0f} {y:.1f}H{RIGHT[1]:.0f}"/>')
        parts.append(f'<text class="end" x="{RIGHT[0] - 6:.0f}" y="{y + 4:.1f}">{name}</text>')
    shapes: dict[str, str] = {"wide": "", "half": "", "median": ""}
    for step, logs in sorted(by_step.items()):
        x = _across(step + 1, last, RIGHT)
        at = [
            _down(max(float(value), LOWEST), LOWEST, 0)
            for value in np.quantile(logs, [0.05, 0.25, 0.5, 0.75, 0.95])
        ]
        shapes["wide"] += f"M{x:.1f} {at[0]:.1f}V{at[4]:.1f}"
        shapes["half"] += f"M{x:.1f} {at[1]:.1f}V{at[3]:.1f}"
        shapes["median"] += f"M{x:.1f} {at[2]:.1f}h0"
        if step % 2 == 0 or last <= 7:  # noqa: PLR2004 - room for that many
            parts.append(
                f'<text class="middle" x="{x:.1f}" y="{BOTTOM + 18:.0f}">{step + 1}</text>'
            )
    parts += [f'<path class="{name}" d="{path}"/>' for name, path in shapes.items()]
    parts.append(f'<text class="middle" x="{sum(RIGHT) / 2:.0f}" y="316">step of the reply</text>')
    return parts


def _across(value: float, last: float, frame: tuple[float, float]) -> float:
    left, right = frame
    return left + (right - left) * (value - 0.25) / (last + 0.25)


def _down(value: float, low: float, high: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)


def main() -> int:
    """Write the picture, or check that it is fresh."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare with the file")
    given = parser.parse_args()
    if given.check:
        fresh = TARGET.exists() and TARGET.read_text(encoding="utf-8") == drawing()
        if not fresh:
            print(f"{TARGET.name} is stale: run python {Path(__file__).name}", file=sys.stderr)
        return 0 if fresh else 1
    TARGET.write_text(drawing(), encoding="utf-8")
    print(TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
