"""What every terminal view draws with: words of ours, texts of the users' as data, and bars.

A view is drawn anew for each console, because only then its width and its characters are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.text import Text

from logpr.report.texts import ISOLATE, POP, in_ascii, isolated, pieces, pieces_in_ascii, prose
from logpr.report.words.parts import Sentence

BAR_CELLS = 10
_BAR = "#3b8ec2"
"""A blue that stands out on dark and on light grounds."""
_EIGHTHS = " ▏▎▍▌▋▊▉"
GAP = 2
_NAME_CELLS = 32
LINES = 3


@dataclass(frozen=True, slots=True)
class Pen:
    """The width and the characters that one console has."""

    width: int
    ascii_only: bool
    colour: bool = False

    def words(self, text: str, style: str = "") -> Text:
        """Return words of ours, or names that came with the value, on a line of their own."""
        text = prose(text)
        return Text(in_ascii(text) if self.ascii_only else text, style)

    def pieces(self, text: str) -> list[str]:
        """Return a user's text as drawn here, a piece for each character."""
        return pieces_in_ascii(text) if self.ascii_only else pieces(text)

    def data(
        self, text: str, cells: int = _NAME_CELLS, style: str = "", *, keep_end: bool = False
    ) -> Text:
        """Return a user's text on one line of at most `cells`."""
        return self.wrapped(text, cells, style, lines=1, keep_end=keep_end)

    def sentence(self, parts: Sentence, style: str = "", *, cells: int = _NAME_CELLS) -> Text:
        """Return a sentence with the user's texts in it in quotation marks and in bold.

        Each text takes at most `cells`.
        """
        out = Text(style=style)
        for part in parts:
            if isinstance(part, str):
                out.append_text(self.words(part))
                continue
            quotes = ("", "") if self.ascii_only else ("‘", "’")
            out.append(quotes[0])
            out.append_text(self.data(part.text, cells, "bold"))
            out.append(quotes[1])
        return out

    def broken(self, text: Text, cells: int | None = None) -> list[Text]:
        """Return the lines that `text` takes, without the spaces at which it was broken."""
        rows: list[Text] = []
        opened = False
        for row in text.wrap(_RULER, max(2, cells or self.width), overflow="fold"):
            row.rstrip()
            # An isolate that is broken over lines is closed on each and opened again on the next.
            line = Text.assemble(ISOLATE, row) if opened else row
            opened = line.plain.count(ISOLATE) > line.plain.count(POP)
            line.append(POP if opened else "")
            line.no_wrap, line.overflow = True, "crop"
            rows.append(line)
        return rows

    def flowing(self, items: Iterable[Text], cells: int) -> Text:
        """Return items one after the other, each whole on its line, two spaces between them."""
        rows = [Text()]
        for item in items:
            if rows[-1].plain and rows[-1].cell_len + GAP + item.cell_len > cells:
                rows.append(Text())
            rows[-1].append(" " * GAP if rows[-1].plain else "")
            rows[-1].append_text(item)
        return Text("\n").join(rows)

    def hanging(self, head: Text, body: Text) -> Text:
        """Return `head` and after it `body`, its further lines indented as far as it is long."""
        indent = head.cell_len
        if indent > self.width // 2:
            return Text().append_text(head).append_text(body)
        rows = self.broken(body, self.width - indent)
        # A style of `head` as a whole would go on over `body`.
        return Text().append_text(head).append_text(Text("\n" + " " * indent).join(rows))

    def wrapped(
        self, text: str, cells: int, style: str = "", *, lines: int = LINES, keep_end: bool = False
    ) -> Text:
        """Return a user's text on at most `lines` lines of `cells`, with … where it was cut."""
        cells = max(1, cells)
        # A prompt may be megabytes long; a character takes a cell, but for marks.
        limit = 4 * cells * (lines + 1)
        kept = text[-limit:] if keep_end else text[:limit]
        rows = _rows(self.pieces(kept), cells)
        if len(rows) > lines or len(kept) < len(text):
            rows = _cut(rows, cells, lines, self.ellipsis, keep_end=keep_end)
        # A row is set on its own: a right-to-left text must not take its neighbours along.
        return Text("\n".join(isolated("".join(row)) for row in rows), style)

    def title(self, text: str, cells: int, style: str = "") -> Text:
        """Return words of ours, or a name that came with the value, on one line of `cells`."""
        rows = _rows(list(self.words(text).plain), cells)
        if len(rows) > 1:
            rows = _cut(rows, cells, 1, self.ellipsis, keep_end=False)
        return Text(isolated("".join(rows[0])), style)

    def cropped(self, line: Text) -> Text:
        """Return a line of a table within the width, with what it isolates closed."""
        if line.cell_len > self.width:
            line.truncate(self.width, overflow="crop")
            line.append(POP * (line.plain.count(ISOLATE) - line.plain.count(POP)))
        return line

    @property
    def ellipsis(self) -> str:
        """Return the mark of a text that goes on."""
        return "..." if self.ascii_only else "…"

    def bar(self, fraction: float | None, style: str = _BAR) -> Text:
        """Return a bar of up to `BAR_CELLS` cells; nothing for null."""
        share = min(1.0, max(0.0, fraction or 0.0))
        if self.ascii_only:
            return Text("#" * round(share * BAR_CELLS), style)
        eighths = round(share * BAR_CELLS * 8)
        if share > 0 and eighths == 0:
            eighths = 1  # something is never drawn as nothing
        whole, part = divmod(eighths, 8)
        return Text("█" * whole + (_EIGHTHS[part] if part else ""), style)


def cells_of(row: list[str]) -> int:
    """Return how many cells pieces take, each for itself: what is joined takes no more."""
    return sum(map(cell_len, row))


def _cut(
    rows: list[list[str]], cells: int, lines: int, dots: str, *, keep_end: bool
) -> list[list[str]]:
    """Return the first or the last `lines` rows, with dots where they were cut off."""
    dots = dots[:cells]
    rows = rows[-lines:] if keep_end else rows[:lines]
    edge = rows[0] if keep_end else rows[-1]
    while edge and cells_of(edge) + len(dots) > cells:
        edge.pop(0 if keep_end else -1)
    edge.insert(0 if keep_end else len(edge), dots)
    return rows


def _rows(drawn: list[str], cells: int) -> list[list[str]]:
    """Return the pieces in rows of at most `cells`, broken at spaces where there are any."""
    rows: list[list[str]] = [[]]
    width = after_space = 0
    for piece in drawn:
        # Only an escape can be wider than a row, and only of a very narrow column.
        for part in [piece] if cell_len(piece) <= cells else list(piece):
            size = cell_len(part)
            # The space at which a row ends is not drawn, so it may lie past the end.
            while rows[-1] and width + size > cells + (part == " "):
                cut = after_space or len(rows[-1])
                rest = rows[-1][cut:]
                del rows[-1][cut:]
                rows.append(rest)
                width, after_space = cells_of(rest), 0
            rows[-1].append(part)
            width += size
            after_space = len(rows[-1]) if part == " " else after_space
    return [row[:-1] if row[-1:] == [" "] else row for row in rows]


_RULER = Console(width=80, color_system=None, legacy_windows=False)
"""Wrapping asks for a console and looks at nothing in it."""


class View:
    """A picture of a value that is drawn when a console asks for it."""

    def __init__(self, draw: Callable[[Pen], Iterable[Text]]) -> None:
        self._draw = draw

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Draw for this console: its width, its characters, its colours."""
        pen = Pen(
            width=max(1, options.max_width),
            ascii_only=options.ascii_only,
            colour=console.color_system is not None and not console.no_color,
        )
        for text in self._draw(pen):
            yield from ((pen.cropped(text),) if text.no_wrap else pen.broken(text))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Take the width there is."""
        return Measurement(min(40, options.max_width), options.max_width)
