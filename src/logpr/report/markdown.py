"""Values as Markdown, for a pull request: headings, sentences and tables that GitHub draws.

A user's text is data. It stands in code spans, where no mark of Markdown, no HTML, no link, no
mention and no formula is read; a pipe, which would end a table's cell there, stands between two
spans as a character reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from logpr._values import Explanation, Score
from logpr.report.numbers import NULL, count, figure, fixed, plural, signed
from logpr.report.texts import clipped, ids_text, isolated, prose, visible
from logpr.report.words import explanation as words
from logpr.report.words import ranking as ranking_words
from logpr.report.words import tokens
from logpr.report.words.parts import Quoted, Sentence, meaning, scored, source

__all__ = ["explanation"]

MOST_TOKENS = 40
MOST_PARTS = 40
MOST_PAIRS = 40
_MOST_TEXT = 400
_MOST_NAME = 60
_BAR_CELLS = 20

_HARMLESS = re.compile(r"[A-Za-z0-9 .,;:()'+%×|≥≤−–=_/-]*")
"""What words of ours are made of; words with anything else hold what came with the value."""


def explanation(value: Explanation) -> str:
    """Return why one candidate leads another: verdict, rules, waterfall, tokens, influence."""
    return "\n".join(_explanation(value)) + "\n"


def _explanation(value: Explanation) -> Iterator[str]:
    first, second = words.pair(value)
    yield f"### {_sentence(words.verdict(value))}"
    yield ""
    for line in (words.parting(value), words.raw(value), words.decided(value)):
        if line:
            yield from (_sentence(line), "")
    if value.ranking.prompt is not None:
        yield f"- Prompt: {_code(clipped(value.ranking.prompt, _MOST_TEXT, keep_end=True))}"
    yield f"- A: {_named(first)}"
    yield f"- B: {_named(second)}"
    yield from _rules(value)
    if words.ruled(value):
        yield from ("", _sentence(words.ruled(value)))
    yield from _waterfall(value)
    yield from _split(value)
    yield from _tokens(value)
    yield from _influence(value)
    yield from _pairs(value)
    for warning in words.warnings(value):
        yield from ("", f"> {_code(clipped(warning, _MOST_TEXT))}")
    yield ""
    given = scored((first, second), "the candidate")
    yield _words(f"{meaning(value.ranking.end, given)} {words.noise_words(value)}")
    if value.provenance is not None:
        yield from ("", _code(source(value.provenance)))


def _rules(value: Explanation) -> Iterator[str]:
    found = ranking_words.winners(value.ranking)
    rows = [
        (
            _sentence(winner.name),
            ", ".join(map(_code, winner.rules)),
            "flips" if winner.flip else "",
        )
        for winner in found
    ]
    yield from _table("Who is first under each rule", ("first", "under", ""), "ll", rows)


def _waterfall(value: Explanation) -> Iterator[str]:
    bars = words.largest(value)
    sizes = [abs(bar.contribution) for bar in bars] + [abs(value.gap)]
    most = max((size for size in sizes if size < float("inf")), default=0.0)
    rows = [
        (_sentence(bar.label), signed(bar.contribution), _bar(bar.contribution, most))
        for bar in bars
    ]
    rows.append(("**gap**", f"**{signed(value.gap)}**", _bar(value.gap, most)))
    title = "Where the gap comes from, in nats: above 0 speaks for A, below for B"
    yield from _table(title, ("part", "nats", ""), "lr", rows)


def _split(value: Explanation) -> Iterator[str]:
    if value.gap_split is None:
        return
    farther, unsure = value.gap_split
    rows = [
        (
            name,
            fixed(score.logprob),
            fixed(-split.logit_gap_sum),
            fixed(-split.top_surprisal_sum),
            fixed(split.logit),
            fixed(split.logz),
        )
        for name, score, split in zip("AB", words.pair(value), value.splits, strict=True)
    ]
    rows.append(("A - B", signed(value.gap, 4), signed(farther, 4), signed(unsure, 4), "", ""))
    heads = ("", "log Pr", "-logit_gap", "-top_surprisal", "logits", "logz")
    title = "What decides: log Pr = -logit_gap - top_surprisal, summed over tokens"
    yield from _table(title, heads, "lrrrrr", rows)


def _tokens(value: Explanation) -> Iterator[str]:
    for name, score in zip("AB", words.pair(value), strict=True):
        found = tokens.rows(value, score)
        begin = 0 if len(found) <= MOST_TOKENS else min(tokens.parted(value), len(found) - 1)
        shown = found[begin : begin + MOST_TOKENS]
        rows = [
            (
                f"{row.position + 1}",
                "END" if row.end else _code(row.text),
                NULL if row.id is None else f"{row.id}",
                fixed(row.logprob),
                fixed(row.logit_gap),
                fixed(row.top_surprisal),
                count(row.rank),
                NULL if row.favourite is None else _code(row.favourite),
            )
            for row in shown
        ]
        heads = ("", "token", "id", "log Pr", "logit_gap", "top_surprisal", "rank", "favourite")
        title = f"Tokens of {name}" + (f", from token {begin + 1} on" if begin else "")
        yield from _table(title, heads, "rlrrrrrl", rows)
        yield from _more(len(found) - begin - len(shown), "token")


def _influence(value: Explanation) -> Iterator[str]:
    shown = value.influence[:MOST_PARTS]
    rows = []
    for number, part in enumerate(shown, 1):
        text = _code(clipped(part.text, _MOST_NAME))
        if part.note is not None:
            text += f" {_words(part.note)}"
        moved = [part.moved[i] if part.moved else None for i in (value.first, value.second)]
        rows.append((f"{part.kind} {number}", text, *map(signed, moved), signed(part.gap)))
    title = "What each part of the prompt does: log Pr with it, less log Pr without it"
    yield from _table(title, ("", "text", "A", "B", "gap"), "llrrr", rows)
    yield from _more(len(value.influence) - len(shown), "part")
    strongest = words.strongest(value)
    if strongest:
        yield from ("", _sentence(strongest))


def _pairs(value: Explanation) -> Iterator[str]:
    if len(value.pairs) < 2:  # noqa: PLR2004 - the one pair is all above
        return
    scores = value.ranking.candidates
    shown = sorted(value.pairs, key=lambda pair: (pair.gap, pair.second))[:MOST_PAIRS]
    rows = [
        (
            _named(scores[pair.second]),
            signed(pair.gap) + (" (tie)" if pair.tie else ""),
            NULL if pair.fork is None else f"token {pair.fork.position + 1}",
            signed(None if pair.fork is None else pair.fork.gap_at_fork),
            signed(pair.tail_first - pair.tail_second),
            figure(pair.noise, 2),
        )
        for pair in shown
    ]
    heads = ("candidate", "gap", "forks at", "fork", "tails", "noise")
    title = "A against every other candidate, the smallest gap first"
    yield from _table(title, heads, "lrrrrr", rows)
    yield from _more(len(value.pairs) - len(shown), "candidate")


def _table(
    title: str, heads: Sequence[str], sides: str, rows: Iterable[Sequence[str]]
) -> Iterator[str]:
    """Yield a table after its title, or nothing where it has no rows; its cells are Markdown."""
    lines = [_row(row) for row in rows]
    if not lines:
        return
    yield from ("", f"**{_words(title)}**", "")
    yield _row(map(_words, heads))
    marks = {"l": ":--", "r": "--:"}
    yield _row(marks[side] for side in sides.ljust(len(heads), "l"))
    yield from lines


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _more(hidden: int, noun: str) -> Iterator[str]:
    if hidden > 0:
        yield from ("", f"… and {plural(hidden, f'more {noun}')}: --json or --html")


def _bar(value: float, most: float) -> str:
    """Return a bar whose shade tells its sign; what is infinite has none."""
    if not 0 < abs(value) <= most:
        return ""
    return ("█" if value > 0 else "░") * max(1, round(abs(value) / most * _BAR_CELLS))


def _named(score: Score) -> str:
    if score.text is not None:
        return _code(clipped(score.text, _MOST_TEXT)) if score.text else "(empty)"
    if score.token_ids:
        return clipped(ids_text(score.token_ids), _MOST_TEXT)
    return f"candidate {score.index}"


def _sentence(parts: Sentence) -> str:
    return "".join(
        _code(clipped(part.text, _MOST_NAME)) if isinstance(part, Quoted) else _words(part)
        for part in parts
    )


def _words(text: str) -> str:
    """Return words of ours; where they name what came with the value, in a code span."""
    if _HARMLESS.fullmatch(text) is None or "://" in text or "www." in text.lower():
        return _code(prose(text))
    return text.replace("_", "\\_").replace("|", "&#124;")


def _code(text: str) -> str:
    """Return a text as code: every character of it is shown, and none is read as a mark."""
    return "&#124;".join(_span(piece) for piece in isolated(visible(text)).split("|")) or "(empty)"


def _span(text: str) -> str:
    if not text:
        return ""
    # A fence that the text does not have; backticks at its ends would join it, and a space at
    # both ends would be taken off.
    longest = max(map(len, re.findall("`+", text)), default=0)
    padded = "`" in (text[0], text[-1]) or (text[0] == text[-1] == " " and text.strip() != "")
    space = " " if padded else ""
    return f"{'`' * (longest + 1)}{space}{text}{space}{'`' * (longest + 1)}"
