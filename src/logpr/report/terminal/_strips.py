"""Two candidates under each other from the step at which they part, side by side by bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.text import Text

from logpr._values import Explanation, Score
from logpr.report.scales import CLAMP, shade
from logpr.report.terminal._pen import Pen
from logpr.report.words.explanation import pair
from logpr.report.words.tokens import leading, parted

_MOST_ROWS = 4
_CONTEXT_CELLS = 24
_HEAD_CELLS = 3
_MOST_TOKENS = 400

_Block = tuple[Text, Text]


def strips(value: Explanation, pen: Pen) -> Iterator[Text]:
    """Yield two lines for each row, and before them what both have seen, in grey.

    Segments begin where tokens of both begin, and so do the places where both lines meet: what
    stands there under each other has the same bytes before it. A segment that is longer than a
    line goes on in the next row.
    """
    if not value.segments:
        return
    room = max(1, pen.width - _HEAD_CELLS)
    before = leading(value)
    seen = pen.data(before, min(_CONTEXT_CELLS, room // 3), "dim", keep_end=True)
    if before:
        seen.append(_edge(pen), "dim")
    rows = _rows([(seen, seen), *_blocks(value, room, pen)], room)
    for row in rows[:_MOST_ROWS]:
        for name, line in zip("AB", row, strict=True):
            line.rstrip()
            out = Text.assemble((f"{name}  ", "dim"), line)
            out.no_wrap, out.overflow = True, "crop"
            yield out
    if pen.colour:
        yield pen.words(f"The shade is -log Pr of a token, from 0 to {CLAMP:g} nats.", "dim")
    if len(rows) > _MOST_ROWS:
        yield pen.words("… and more of them: --html", "dim")


def _rows(blocks: Sequence[_Block], room: int) -> list[_Block]:
    """Return the blocks in rows of at most `room` cells, both sides of each equally wide."""
    rows: list[_Block] = [(Text(), Text())]
    for block in blocks:
        size = max(side.cell_len for side in block)
        first, second = rows[-1]
        if first.cell_len and first.cell_len + size > room:
            first, second = Text(), Text()
            rows.append((first, second))
        for line, side in zip((first, second), block, strict=True):
            line.append_text(side).append(" " * (size - side.cell_len))
    return rows


def _blocks(value: Explanation, room: int, pen: Pen) -> Iterator[_Block]:
    begin = parted(value)
    one, two = pair(value)
    # Where END is what they part at, it stands there, and not under the other's END.
    ends = [_end(one, pen), _end(two, pen)]
    early = [len(score.token_logprobs or ()) <= begin for score in (one, two)]
    for segment in value.segments:
        sides = ((one, segment.first), (two, segment.second))
        left, right = (
            _fitting(score, range(max(start, begin), end), room, pen)
            for score, (start, end) in sides
        )
        for sides_here in zip_longest(left, right):
            drawn = [side or Text() for side in sides_here]
            for at, ended in enumerate(early):
                if ended and not drawn[at].cell_len:
                    drawn[at], ends[at] = ends[at], Text()
            yield drawn[0], drawn[1]
    yield ends[0], ends[1]


def _fitting(score: Score, places: range, room: int, pen: Pen) -> list[Text]:
    """Return tokens of a candidate one after the other, in as many lines as they need."""
    lines: list[Text] = []
    for place in places[:_MOST_TOKENS]:
        token = _drawn(score, place, room, pen)
        if not lines or lines[-1].cell_len + token.cell_len > room:
            lines.append(Text())
        lines[-1].append_text(token)
    return lines


def _end(score: Score, pen: Pen) -> Text:
    if score.end_logprob is None:
        return Text()
    return _token(Text("END", "italic"), score.end_logprob, pen)


def _drawn(score: Score, place: int, room: int, pen: Pen) -> Text:
    texts, logprobs = score.token_texts or (), score.token_logprobs or ()
    text = texts[place] if place < len(texts) else "?"
    return _token(pen.data(text, max(1, room - 1)), logprobs[place], pen)


def _token(text: Text, logprob: float, pen: Pen) -> Text:
    colours = shade(logprob)
    if colours is not None:
        text.stylize(f"{colours[1]} on {colours[0]}")
    return text.append(_edge(pen), "dim")


def _edge(pen: Pen) -> str:
    return "|" if pen.ascii_only else "│"
