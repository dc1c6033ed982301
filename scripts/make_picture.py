"""Draw the picture of the README: worked example 1, raw logits against log Pr.

    python scripts/make_picture.py            # writes docs/pictures/raw-logits.svg
    python scripts/make_picture.py --check    # exits 1 where the file is not what would be drawn

Every figure in it is computed here by logpr from the three rows of logits.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import logpr

TARGET = Path(__file__).parents[1] / "docs" / "pictures" / "raw-logits.svg"
ROWS = {"start": [10.0, 9.0, 0.0], "after A": [0.0, 0.0, 0.0], "after B": [8.0, 7.0, 0.0]}
CANDIDATES = [
    {"text": "A A", "token_ids": [0, 0], "logits": [ROWS["start"], ROWS["after A"]]},
    {"text": "B B", "token_ids": [1, 1], "logits": [ROWS["start"], ROWS["after B"]]},
]

STYLE = """
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


def drawing() -> str:
    """Return the SVG."""
    ranking = logpr.rank("", CANDIDATES, evidence=True)
    raw = [math.fsum(u for u in score.logit or () if u is not None) for score in ranking.candidates]
    names = [score.text or "" for score in ranking.candidates]
    logprobs = [score.logprob for score in ranking.candidates if score.logprob is not None]
    loser = max(range(len(raw)), key=raw.__getitem__)
    margin = ranking.margin or 0.0
    title = (
        f"Summing raw logits picks {names[loser]}, {raw[loser]:g} over {min(raw):g}; "
        f"log Pr(y|x) picks {names[ranking.best]} by {margin:.3f} nats"
    )
    parts = [
        (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 250" role="img" '
            f'aria-label="{title}">'
        ),
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
        '<rect class="card" x="4" y="4" width="226" height="242" rx="10"/>',
        '<text class="head" x="20" y="36">Logits over A, B, C</text>',
    ]
    for line, (name, row) in enumerate(ROWS.items()):
        y = 72 + 30 * line
        parts.append(f'<text class="small" x="20" y="{y}">{name}</text>')
        parts.append(
            f'<text class="mono" x="100" y="{y}">'
            + "".join(
                f'<tspan x="{118 + 42 * column}" text-anchor="end">{value:g}</tspan>'
                for column, value in enumerate(row)
            )
            + "</text>"
        )
    parts.append('<text class="small" x="20" y="198">Which reply is the model’s,</text>')
    parts.append('<text class="small" x="20" y="222">“A A” or “B B”?</text>')
    raw_bars = _bars(names, raw, [f"{value:g}" for value in raw], loser, "wrong")
    parts += _panel(
        248,
        "Sum of raw logits",
        (f"picks {names[loser]}: wrong", f"{raw[loser]:g} over {min(raw):g}"),
        raw_bars,
        "wrong",
    )
    # Bars of probabilities, so that longer is better in both panels; the figures are nats.
    shares = [math.exp(value) for value in logprobs]
    log_bars = _bars(names, shares, [_nats(value) for value in logprobs], ranking.best, "right")
    parts += _panel(
        530,
        "log Pr(y | x)",
        (
            f"picks {names[ranking.best]} by {margin:.3f} nats",
            f"{math.exp(margin):.2f} times as probable",
        ),
        log_bars,
        "right",
    )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _nats(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


Bar = tuple[str, float, str, str]


def _bars(
    names: list[str], sizes: list[float], labels: list[str], best: int, colour: str
) -> list[Bar]:
    top = max(sizes)
    return [
        (name, size / top, label, colour if index == best else "pale")
        for index, (name, size, label) in enumerate(zip(names, sizes, labels, strict=True))
    ]


def _panel(x: int, title: str, verdict: tuple[str, str], bars: list[Bar], colour: str) -> list[str]:
    parts = [
        f'<rect class="card" x="{x}" y="4" width="266" height="242" rx="10"/>',
        f'<text class="head" x="{x + 16}" y="36">{title}</text>',
    ]
    for line, (name, share, label, fill) in enumerate(bars):
        y = 66 + 56 * line
        parts.append(f'<text class="mono" x="{x + 16}" y="{y + 22}">{name}</text>')
        parts.append(
            f'<rect class="{fill}" x="{x + 56}" y="{y}" width="{130 * share:.1f}" height="34" '
            f'rx="4"/>'
        )
        parts.append(f'<text x="{x + 64 + 130 * share:.1f}" y="{y + 22}">{label}</text>')
    parts.append(f'<text class="head {colour}" x="{x + 16}" y="198">{verdict[0]}</text>')
    parts.append(f'<text class="small" x="{x + 16}" y="222">{verdict[1]}</text>')
    return parts


def main() -> int:
    """Write the picture, or check that it is fresh."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare with the file")
    given = parser.parse_args()
    if given.check:
        fresh = TARGET.exists() and TARGET.read_text(encoding="utf-8") == drawing()
        if not fresh:
            print(f"{TARGET.name} is stale: run python scripts/make_picture.py", file=sys.stderr)
        return 0 if fresh else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(drawing(), encoding="utf-8")
    print(TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
