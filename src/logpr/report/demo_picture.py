"""The picture of a worked example as SVG: its numbers, the wrong way's pick, log Pr's pick.

One of them heads the README: `logpr demo raw-logits --picture FILE.svg` draws it.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from logpr.report.demo import Panel, Picture

_STYLE = """
  text { font: 15px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .small { font-size: 13px; fill: #59636e; }
  .head { font-weight: 600; }
  .mono { font-family: ui-monospace, Consolas, monospace; font-size: 13px; }
  .wrong { fill: #d55e00; }
  .right { fill: #0072b2; }
  .pale { fill: #c8d1da; }
  .card { fill: #f6f8fa; stroke: #d1d9e0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .small { fill: #9198a1; }
    .wrong { fill: #ff9a4d; }
    .right { fill: #58b4f0; }
    .pale { fill: #4a525c; }
    .card { fill: #151b23; stroke: #3d444d; }
  }
"""
_DEPTH = 112
"""What the bars of a panel take from top to bottom."""
_ROOM = 186
"""What a name and its longest bar take from left to right; the figure stands behind."""
_LETTER = 8
"""The width of a monospaced letter of 13 px."""
_SHORT = 56


def svg(picture: Picture) -> str:
    """Return the picture, for light and dark grounds, its title as the text for who cannot see."""
    title = escape(picture.title)
    parts = [
        (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 250" role="img" '
            f'aria-label="{title}">'
        ),
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        *_numbers(picture),
        *_panel(248, picture.wrong, "wrong"),
        *_panel(530, picture.right, "right"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _numbers(picture: Picture) -> Iterator[str]:
    yield '<rect class="card" x="4" y="4" width="226" height="242" rx="10"/>'
    yield f'<text class="head" x="20" y="36">{escape(picture.head)}</text>'
    for line, (name, figures) in enumerate(picture.lines):
        y = 72 + 30 * line
        if name:
            yield f'<text class="small" x="20" y="{y}">{escape(name)}</text>'
        # They end at the same place, however many there are.
        ends = range(202 - 42 * (len(figures) - 1), 203, 42)
        yield (
            f'<text class="mono" x="100" y="{y}">'
            + "".join(
                f'<tspan x="{end}" text-anchor="end">{escape(figure)}</tspan>'
                for end, figure in zip(ends, figures, strict=True)
            )
            + "</text>"
        )
    for line, words in enumerate(picture.asks):
        yield f'<text class="small" x="20" y="{198 + 24 * line}">{escape(words)}</text>'


def _panel(x: int, panel: Panel, colour: str) -> Iterator[str]:
    yield f'<rect class="card" x="{x}" y="4" width="266" height="242" rx="10"/>'
    yield f'<text class="head" x="{x + 16}" y="36">{escape(panel.title)}</text>'
    pitch = _DEPTH // len(panel.bars)
    height = round(0.61 * pitch)
    start = max(_SHORT, 24 + _LETTER * max(len(bar.name) for bar in panel.bars))
    for line, bar in enumerate(panel.bars):
        y = 66 + pitch * line
        middle = y + height // 2 + 5
        size = (_ROOM - start) * bar.share
        fill = colour if line == panel.best else "pale"
        yield f'<text class="mono" x="{x + 16}" y="{middle}">{escape(bar.name)}</text>'
        yield (
            f'<rect class="{fill}" x="{x + start}" y="{y}" width="{size:.1f}" height="{height}" '
            f'rx="4"/>'
        )
        yield f'<text x="{x + start + 8 + size:.1f}" y="{middle}">{escape(bar.figure)}</text>'
    yield f'<text class="head {colour}" x="{x + 16}" y="198">{escape(panel.verdict)}</text>'
    yield f'<text class="small" x="{x + 16}" y="222">{escape(panel.detail)}</text>'
