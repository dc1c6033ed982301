"""Draw the tree of a decoding, for its page of the documentation.

    python scripts/make_decoding_picture.py          # writes docs/pictures/decoding.svg
    python scripts/make_decoding_picture.py --check  # exits 1 where it would be drawn otherwise

It is the tree that `logpr decode --html` draws, of the first example of `docs/decode.md` that runs
on the built-in model, with fewer of its beginnings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

import logpr
from logpr.report.decoding.tree import Tree, tree
from logpr.report.words import decoding as words

TARGET = Path(__file__).parents[1] / "docs" / "pictures" / "decoding.svg"
PROMPT, FULL_STOP, MOST = "The cat sat on the", 15, 22

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .token { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
  .token, .figure, .ours { dominant-baseline: central; white-space: pre; }
  .ours { font-style: italic; }
  .figure { font-size: 12px; fill: #59636e; }
  .head { font-size: 15px; font-weight: 600; }
  .card { fill: #f6f8fa; stroke: #d1d9e0; }
  .edge { stroke: #c4c4c4; stroke-linecap: round; fill: none; }
  .edge.pruned { stroke-dasharray: 5 3; }
  .edge.more { stroke-dasharray: 2 3; }
  .shape { fill: #1f2328; stroke: #1f2328; stroke-width: 1.8; }
  .shape.finished { fill: #00795a; stroke: #00795a; }
  .shape.pruned { fill: none; stroke: #7a7a7a; }
  .track { fill: none; stroke-width: 2.4; stroke-linejoin: round; }
  .track.n0 { stroke: #0072b2; }
  .track.n1 { stroke: #c65000; stroke-dasharray: 8 3; }
  .track.n2 { stroke: #8a3f8f; stroke-dasharray: 2.5 2.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .figure { fill: #9198a1; }
    .card { fill: #151b23; stroke: #3d444d; }
    .edge { stroke: #555a60; }
    .shape { fill: #f0f6fc; stroke: #f0f6fc; }
    .shape.finished { fill: #3fcf9f; stroke: #3fcf9f; }
    .shape.pruned { stroke: #9a9a9a; }
    .track.n0 { stroke: #56b4e9; }
    .track.n1 { stroke: #ff8a3d; }
    .track.n2 { stroke: #d58ad9; }
  }
"""

LEFT, TOP, BELOW = 16.0, 50.0, 74.0


def drawing() -> str:
    """Return the SVG."""
    found = logpr.decode(PROMPT, model="builtin", end_ids=[FULL_STOP])
    picture = tree(found, MOST)
    if picture is None:
        msg = "the decoding has no tree"
        raise SystemExit(msg)
    title = f"After “{PROMPT}”. {words.verdict(found)}".replace("-", "−")
    width, height = picture.width + 2 * LEFT, picture.height + TOP + BELOW
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'role="img" aria-label="{escape(title)}">'
        ),
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        (
            f'<rect class="card" x="2" y="2" width="{width - 4:.0f}" height="{height - 4:.0f}" '
            f'rx="10"/>'
        ),
        f'<text class="head" x="20" y="30">{escape(title)}</text>',
        f'<g transform="translate({LEFT:g} {TOP:g})">',
        *_tree(picture),
        "</g>",
        *_legend(picture, height - BELOW + 24),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _tree(picture: Tree) -> Iterator[str]:
    for edge in picture.edges:
        yield f'<path class="edge {edge.shape}" stroke-width="{edge.width}" d="{edge.path}"/>'
    for track in reversed(picture.tracks):
        yield f'<path class="track n{track.slot}" d="{track.path}"/>'
    for node in picture.nodes:
        yield _shape(node.shape, node.x, node.y)
        yield _text("ours" if node.ours else "token", node.label_at, node.y, node.label)
        if node.figure:
            yield _text("figure", node.figure_at, node.y, node.figure)


def _legend(picture: Tree, y: float) -> Iterator[str]:
    x = 20.0
    for track in picture.tracks:
        yield f'<path class="track n{track.slot}" d="M{x:g} {y:g}h34"/>'
        yield _text("ours", x + 42, y, track.name)
        x += 130
    x, y = 24.0, y + 26
    for shape in picture.shapes:
        said = f"{shape}: {words.KINDS[shape]}"
        yield _shape(shape, x, y)
        yield _text("figure", x + 14, y, said)
        x += 40 + 6.6 * len(said)
    yield _text("figure", x, y, "%: Pr of the beginning up to there, at END of the output")


def _shape(shape: str, x: float, y: float) -> str:
    if shape == "more":
        return ""
    if shape == "finished":
        return (
            f'<rect class="shape finished" x="{x - 4.5:g}" y="{y - 4.5:g}" width="9" height="9"/>'
        )
    if shape == "pruned":
        return f'<path class="shape pruned" d="M{x - 4:g} {y - 4:g}l8 8m0 -8l-8 8"/>'
    return f'<circle class="shape" cx="{x:g}" cy="{y:g}" r="4.5"/>'


def _text(name: str, x: float, y: float, text: str) -> str:
    return f'<text class="{name}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


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
