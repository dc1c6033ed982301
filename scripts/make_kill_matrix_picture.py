"""Draw the kill matrix that is kept: a line for each scorer, a column for each check.

python scripts/make_kill_matrix_picture.py          # writes docs/pictures/kill-matrix.svg
python scripts/make_kill_matrix_picture.py --check  # exits 1 where it would be drawn otherwise
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from generate_check_pages import kills, stored, wrong

from logpr.auditing.faults import FAULTS, STAGES
from logpr.conformance.laws import LAWS
from logpr.conformance.matrix import CORRECT, MatrixRow

TARGET = Path(__file__).parents[1] / "docs" / "pictures" / "kill-matrix.svg"
LEFT, TOP, CELL, GAP, EDGE = 172.0, 156.0, 17.0, 22.0, 12.0
MIDDLE = CELL / 2
INSET, SIZE = 3.0, 11.0
RIGHT = LEFT + CELL * len(LAWS)

STYLE = """
  text { font: 11px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .stage, .count { fill: #59636e; }
  .stage { font-weight: 600; }
  .end { text-anchor: end; }
  .middle { text-anchor: middle; }
  .card { fill: #f6f8fa; stroke: #d1d9e0; }
  .grid { stroke: #d1d9e0; fill: none; }
  .killed { fill: #d55e00; opacity: .75; }
  .alone { fill: #d55e00; stroke: #1f2328; stroke-width: 1.5; }
  .passed { stroke: #8c959f; stroke-width: 2.4; stroke-linecap: round; }
  .blocked { stroke: #afb8c1; stroke-width: 1.5; fill: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .stage, .count { fill: #9198a1; }
    .card { fill: #151b23; stroke: #3d444d; }
    .grid { stroke: #3d444d; }
    .killed { fill: #ff9a4d; }
    .alone { fill: #ff9a4d; stroke: #f0f6fc; }
    .passed, .blocked { stroke: #656c76; }
  }
"""


def groups(rows: Sequence[MatrixRow]) -> Iterator[tuple[str, list[MatrixRow]]]:
    """Yield the rows by the stage that a fault is in; the correct scorer first, habits last."""
    yield "", [row for row in rows if row.mutant.id == CORRECT.id]
    for stage in STAGES:
        held = [row for row in rows if row.mutant.zoo and FAULTS[row.mutant.id].stage == stage]
        yield stage, held
    yield "habits", [row for row in wrong(rows) if not row.mutant.zoo]


def line(row: MatrixRow, y: float) -> Iterator[str]:
    """Yield one scorer's line: its name, its outcomes, by how many it is killed."""
    base = y + MIDDLE + 4
    yield f'<text class="end" x="{LEFT - 6:g}" y="{base:g}">{row.mutant.id}</text>'
    dots, dashes = "", ""
    for place, name in enumerate(LAWS):
        x, outcome = LEFT + CELL * place, row.outcomes[name]
        if outcome in ("failed", "error"):
            kind = "alone" if row.killed_by == (name,) else "killed"
            yield (
                f'<rect class="{kind}" x="{x + INSET:g}" y="{y + INSET:g}" width="{SIZE:g}" '
                f'height="{SIZE:g}" rx="2"/>'
            )
        elif outcome == "passed":
            dots += f"M{x + MIDDLE:g} {y + MIDDLE:g}h0"
        elif outcome != "not_applicable":
            dashes += f"M{x + 5:g} {y + MIDDLE:g}h7"
    yield f'<path class="passed" d="{dots}"/>'
    yield f'<path class="blocked" d="{dashes}"/>' if dashes else ""
    yield f'<text class="count" x="{RIGHT + 8:g}" y="{base:g}">{len(row.killed_by)}</text>'


def heads() -> Iterator[str]:
    """Yield the checks' names, upright."""
    for place, name in enumerate(LAWS):
        x = LEFT + CELL * place + MIDDLE + 4
        yield f'<text transform="translate({x:g} {TOP - 6:g}) rotate(-90)">{name}</text>'


def legend(y: float) -> Iterator[str]:
    """Yield what the signs mean."""
    x = LEFT
    signs = (
        (f'<rect class="killed" x="{{x:g}}" y="{y:g}" width="11" height="11" rx="2"/>', "killed"),
        (
            f'<rect class="alone" x="{{x:g}}" y="{y:g}" width="11" height="11" rx="2"/>',
            "by it alone",
        ),
        (f'<path class="blocked" d="M{{x:g}} {y + 6:g}h8"/>', "blocked"),
        (f'<path class="passed" d="M{{x:g}} {y + 6:g}h0"/>', "passed"),
    )
    for sign, word in signs:
        yield sign.format(x=x)
        yield f'<text class="count" x="{x + 18:g}" y="{y + 10:g}">{word}</text>'
        x += 34 + 6.2 * len(word)
    yield f'<text class="count" x="{x:g}" y="{y + 10:g}">blank: does not apply</text>'


def drawing() -> str:
    """Return the SVG."""
    rows = stored()
    every = wrong(rows)
    title = (
        f"{sum(bool(row.killed_by) for row in every)} of {len(every)} faulty scorers are killed, "
        f"by {sum(bool(kills(name, rows)) for name in LAWS)} of {len(LAWS)} checks"
    )
    parts, y = list(heads()), TOP
    for stage, held in groups(rows):
        if stage:
            y += GAP
            parts.append(f'<text class="stage" x="{EDGE + 8:g}" y="{y - 6:g}">{stage}</text>')
        parts.append(f'<path class="grid" d="M{LEFT - 4:g} {y:g}H{RIGHT + 4:g}"/>')
        for row in held:
            parts += line(row, y)
            y += CELL
    parts.append(f'<text class="count end" x="{LEFT - 6:g}" y="{y + 18:g}">kills</text>')
    for place, name in enumerate(LAWS):
        x = LEFT + CELL * place + MIDDLE
        count = len(kills(name, rows))
        parts.append(f'<text class="count middle" x="{x:g}" y="{y + 18:g}">{count}</text>')
    parts += legend(y + 34)
    width, height = RIGHT + 36, y + 62
    box = f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{title}"'
    size = f'width="{width - 8:g}" height="{height - 8:g}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="4" y="4" {size} rx="10"/>',
    )
    return "\n".join([*head, *filter(None, parts), "</svg>\n"])


def main() -> int:
    """Write the picture, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    fresh = drawing()
    if not check:
        TARGET.write_text(fresh, encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == fresh:
        return 0
    print(f"docs/pictures/{TARGET.name} is stale; run: make check-pages", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
