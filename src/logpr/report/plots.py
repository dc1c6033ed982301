"""Pictures of an explanation or a decoding as PNG or SVG, drawn by matplotlib without a screen.

Equal values give equal bytes: nothing of the day, the machine's settings or the user's style goes
into a file. A user's text is data: no formula is read in it, and what the font of a PNG lacks is
written as an escape. The number stands beside every bar, so nothing is said by colour alone.
"""

from __future__ import annotations

import functools
import io
import math
import os
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from logpr._values import Curve, Decoding, Explanation
from logpr.errors import MissingExtraError, QueryError
from logpr.report.numbers import fixed, signed
from logpr.report.scales import FIRST, SECOND
from logpr.report.texts import clipped, isolated, prose, visible
from logpr.report.words import decoding as decoding_words
from logpr.report.words import explanation as words
from logpr.report.words.certificate import maximised
from logpr.report.words.parts import Quoted, Sentence

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    _msg = f'pictures are drawn by matplotlib ({error}): pip install "logpr[plot]"'
    raise MissingExtraError(_msg) from error

__all__ = ["curves", "decoding_bounds", "explanation_plot", "waterfall"]

_Path: TypeAlias = str | os.PathLike[str]
_Say: TypeAlias = Callable[..., str]

_WIDTH = 9.0
_DPI = 160
_TITLE_CHARACTERS = 104
_MOST_NAME, _MOST_LABEL, _MOST_LEGEND = 60, 24, 32
"""Characters of the texts of a sentence, of a bar's label, of a line's."""
_MOST_MARKED = 60
_SUM, _INK, _FAINT = "#4d4d4d", "#1a1a1a", "#b8b8b8"
_FONT = "DejaVu Sans"
"""The font that comes with matplotlib, so that no machine draws another picture."""
_SETTINGS: Any = {
    "font.family": [_FONT, "sans-serif"],
    "font.sans-serif": [_FONT],
    "font.size": 10.0,
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "svg.hashsalt": "logpr",
    "text.parse_math": False,
    "text.usetex": False,
    "axes.unicode_minus": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "axes.labelcolor": _INK,
}


def waterfall(value: Explanation, path: _Path) -> None:
    """Write the waterfall: what is shared, the fork, the largest tokens, the others, the gap.

    Raises:
        QueryError: the path ends with neither .png nor .svg.
        OSError: the file cannot be written.
    """
    _draw(value, path, (_waterfall,))


def curves(value: Explanation, path: _Path) -> None:
    """Write the cumulative log-probability of both candidates against their bytes.

    Raises:
        QueryError: the path ends with neither .png nor .svg, or no bytes are known of the tokens.
        OSError: the file cannot be written.
    """
    if not value.curves:
        msg = (
            "there are no curves: no bytes are known of these candidates' tokens (they were given "
            "as numbers or scored over all spellings); draw the waterfall alone"
        )
        raise QueryError(msg)
    _draw(value, path, (_curves,))


def explanation_plot(value: Explanation, path: _Path) -> None:
    """Write the waterfall, and under it the curves where bytes are known of the tokens.

    Raises:
        QueryError: the path ends with neither .png nor .svg.
        OSError: the file cannot be written.
    """
    _draw(value, path, (_waterfall, _curves) if value.curves else (_waterfall,))


def decoding_bounds(value: Decoding, path: _Path) -> None:
    """Write the best score so far and the bound that no output exceeds, against seconds.

    Raises:
        QueryError: the path ends with neither .png nor .svg, or fewer than two moments of the
            search were noted.
        OSError: the file cannot be written.
    """
    if len(value.history) < 2:  # noqa: PLR2004 - no line
        msg = (
            f"there are no bounds over time: {len(value.history)} moments of this search were "
            f"noted; method='exact' (--method exact) notes them"
        )
        raise QueryError(msg)

    def part(axes: Axes, _say: _Say) -> None:
        _bounds(value, axes)

    _save(path, ((decoding_words.verdict(value),),), ((part, 3.2),))


_Part: TypeAlias = Callable[[Explanation, Axes, _Say], None]
_Panel: TypeAlias = tuple[Callable[[Axes, _Say], None], float]
"""What draws into a frame, and how many inches high that is."""


def _draw(value: Explanation, path: _Path, parts: Sequence[_Part]) -> None:
    sentences = (words.verdict(value), words.parting(value), _otherwise(value))
    panels = [(functools.partial(part, value), _height(part, value)) for part in parts]
    _save(path, sentences, panels)


def _save(path: _Path, sentences: Sequence[Sentence], panels: Sequence[_Panel]) -> None:
    kind = Path(path).suffix.lower()
    if kind not in (".png", ".svg"):
        msg = f"{os.fspath(path)!r} is no picture that is written here: end it with .png or .svg"
        raise QueryError(msg)
    say = functools.partial(_said, vector=kind == ".svg")
    title = _wrapped(*map(say, sentences))
    heights = [height for _, height in panels]
    out = io.BytesIO()
    with _settings(), warnings.catch_warnings():
        if kind == ".svg":
            # Its texts stay text, and a viewer has fonts of its own.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
        size = (_WIDTH, sum(heights) + 0.35 + 0.24 * (title.count("\n") + 1))
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        grid = figure.subplots(len(panels), height_ratios=heights, squeeze=False)
        for (part, _), axes in zip(panels, grid[:, 0], strict=True):
            part(axes, say)
        # Neither the day nor the library's version; the writer of the format needs no screen.
        known = {"Date": None, "Creator": None} if kind == ".svg" else {"Software": None}
        figure.savefig(out, format=kind[1:], dpi=_DPI, metadata=known)
    # At once, so that a failure leaves no half of a picture.
    Path(path).write_bytes(out.getvalue())


def _height(part: _Part, value: Explanation) -> float:
    return 0.8 + 0.3 * (len(words.largest(value)) + 1) if part is _waterfall else 3.2


@contextmanager
def _settings() -> Iterator[None]:
    """Draw with the library's own settings, whatever a user's style file says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def _waterfall(value: Explanation, axes: Axes, say: _Say) -> None:
    bars = words.largest(value)
    start = 0.0
    rows = [(say(bar.label, _MOST_LABEL), bar.contribution) for bar in bars]
    ends: list[float] = [0.0]
    for place, (_, step) in enumerate(rows):
        size = _finite(step)
        axes.barh(place, size, left=start, height=0.72, color=FIRST if step > 0 else SECOND)
        if size == 0:
            axes.plot([start, start], [place - 0.36, place + 0.36], color=_SUM)
        edge = max(start, start + size)
        _number(axes, edge, place, signed(step))
        start += size
        # What a bar ends at is where the next one begins.
        axes.plot([start, start], [place + 0.36, place + 0.64], color=_FAINT, linewidth=0.8)
        ends.append(start)
    last = len(rows)
    gap = _finite(value.gap)
    axes.barh(last, gap, height=0.72, color=_SUM)
    _number(axes, max(0.0, gap), last, signed(value.gap))
    low, high = min(*ends, gap), max(*ends, gap)
    room = (high - low) or 1.0
    axes.set_xlim(low - 0.02 * room, high + 0.14 * room)
    axes.set_ylim(last + 0.6, -0.6)
    axes.set_yticks(range(last + 1), [*(label for label, _ in rows), "gap"])
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_xlabel("nats; above 0 (blue) speaks for A, below (orange) for B")


def _number(axes: Axes, x: float, y: float, text: str) -> None:
    # On a ground of its own, so that the line at 0 does not strike it through.
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    axes.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", va="center", bbox=ground)


def _curves(value: Explanation, axes: Axes, say: _Say) -> None:
    kinds = (("A", FIRST, "-", "o"), ("B", SECOND, "--", "s"))
    pairs = zip(words.names(value), words.pair(value), kinds, strict=True)
    known = {curve.index: curve for curve in value.curves}
    for name, score, (letter, colour, line, marker) in pairs:
        if score.index not in known:
            continue
        curve = known[score.index]
        xs, ys = _known(curve)
        logprob = f"log Pr {fixed(score.logprob, 3)}"
        if len(ys) < len(curve.logprob):
            logprob += " (impossible further on)"
        axes.plot(
            xs,
            ys,
            color=colour,
            linestyle=line,
            marker=marker if len(xs) <= _MOST_MARKED else "",
            markersize=4,
            label=f"{letter} {say(name, _MOST_LEGEND)}: {logprob}",
        )
    if value.fork is not None:
        at = value.curves[0].bytes[value.fork.position]
        axes.axvline(at, color=_FAINT, linestyle=":")
        axes.text(at, 1, " fork", transform=axes.get_xaxis_transform(), va="top", color=_SUM)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("bytes of the candidate")
    axes.set_ylabel("log Pr so far, in nats")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False, ncols=1)


def _bounds(value: Decoding, axes: Axes) -> None:
    moments = value.history
    xs = [each.seconds for each in moments]
    for label, ys, colour, line in (
        ("no output exceeds this", [each.upper for each in moments], SECOND, "--"),
        ("the best so far", [each.lower for each in moments], FIRST, "-"),
    ):
        # Before an output has ended there is no best: the line begins where there is one.
        kept = [y if math.isfinite(y) else math.nan for y in ys]
        ends = f"{label}: ends at {fixed(ys[-1])}"
        axes.plot(xs, kept, color=colour, linestyle=line, drawstyle="steps-post", label=ends)
    axes.set_xlabel("seconds")
    called = maximised(value.certificate)
    axes.set_ylabel(f"{called}, in nats" if value.objective == "logprob" else called)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False, ncols=1)


def _known(curve: Curve) -> tuple[list[int], list[float]]:
    points = zip(curve.bytes, curve.logprob, strict=True)
    kept = [(at, logprob) for at, logprob in points if math.isfinite(logprob)]
    return [at for at, _ in kept], [logprob for _, logprob in kept]


def _otherwise(value: Explanation) -> Sentence:
    """Return what sums of raw logits say where they pick the other one, else ()."""
    sums = [split.logit for split in value.splits]
    if None in sums or len(sums) != 2:  # noqa: PLR2004 - a pair
        return ()
    one, two = (each or 0.0 for each in sums)
    return words.raw(value) if (one - two) * value.gap < 0 else ()


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _wrapped(*sentences: str) -> str:
    lines = (textwrap.wrap(sentence, _TITLE_CHARACTERS) for sentence in sentences)
    return "\n".join(line for found in lines for line in found)


def _said(parts: Sentence, most: int = _MOST_NAME, *, vector: bool) -> str:
    """Return a sentence whose texts share `most` characters, and have at least 10 each."""
    quoted = sum(isinstance(part, Quoted) for part in parts)
    each = max(10, most // max(1, quoted))
    return "".join(
        f"‘{_drawn(part.text, each, vector=vector)}’" if isinstance(part, Quoted) else prose(part)
        for part in parts
    )


def _drawn(text: str, most: int, *, vector: bool) -> str:
    text = visible(clipped(text, most))
    if vector:
        # A viewer has fonts of its own, and turns what is written from right to left.
        return isolated(clipped(text, most))
    known = _glyphs()
    return clipped(
        "".join(
            char if ord(char) in known else char.encode("ascii", "backslashreplace").decode()
            for char in text
        ),
        most,
    )


@functools.cache
def _glyphs() -> frozenset[int]:
    """Return the characters that the font of a PNG has."""
    return frozenset(get_font(findfont(FontProperties(family=_FONT))).get_charmap())
