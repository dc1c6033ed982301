"""A decoding in the terminal: the verdict first, then the outputs, then what is proven of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from logpr._values import Certificate, Decoded, Decoding, Moment, Verification
from logpr.report.numbers import count, decimals, fixed, percent, plural, probability
from logpr.report.terminal import _explanation
from logpr.report.terminal._columns import Column, TextColumn, columns, figures, labels
from logpr.report.terminal._ledger import ledger
from logpr.report.terminal._parts import prompt_line, titled, warning_lines
from logpr.report.terminal._pen import Pen
from logpr.report.words import certificate as certificate_words
from logpr.report.words import decoding as words
from logpr.report.words import outputs as output_words
from logpr.report.words.parts import Sentence, source

MOST_ROWS = 20
MOST_CLAIMS = 40
_FACT_CELLS = 48
_STYLES = {"good": "green", "bad": "red", "open": "yellow"}


def draw(value: Decoding, pen: Pen) -> Iterator[Text]:
    """Yield the lines of a decoding."""
    yield pen.words(words.verdict(value), "bold")
    for way in words.ways_out(value):
        yield pen.hanging(Text("  "), pen.words(f"Try {way}"))
    yield prompt_line(value.prompt, value.prompt_ids, pen)
    yield from _outputs(value, pen)
    yield Text()
    yield pen.words("What is proven" if _proven(value) else "What is known", "bold")
    yield from _claims(words.facts(value), value.certificate, pen)
    if value.explanation is not None:
        yield Text()
        yield pen.words("Why the greedy output lost to the best", "bold")
        yield from _explanation.draw(value.explanation, pen)
    yield from warning_lines(value.warnings, pen)
    yield Text()
    yield pen.words(words.meaning(value), "dim")
    yield pen.words(words.took(value), "dim")
    yield pen.words(source(value.provenance), "dim")


def draw_certificate(value: Certificate, pen: Pen) -> Iterator[Text]:
    """Yield what is claimed, of which outputs, and where the whole probability went."""
    yield from _claims(certificate_words.facts(value), value, pen)


def draw_verification(value: Verification, pen: Pen) -> Iterator[Text]:
    """Yield whether the certificate holds, then claim by claim how each came out."""
    tone = _STYLES[certificate_words.settled(value.verified).tone]
    yield pen.words(certificate_words.verified(value), f"bold {tone}")
    if value.subject:
        yield pen.words(value.subject)
    for claim in value.claims[:MOST_CLAIMS]:
        look = certificate_words.settled(claim.holds)
        sign = look.plain if pen.ascii_only else look.sign
        head = Text.assemble((f"{sign} {look.word:<9}  ", _STYLES[look.tone]))
        body = Text.assemble(pen.words(claim.id, "bold"), pen.words(f": {claim.detail}"))
        yield pen.hanging(head, body)
    hidden = len(value.claims) - MOST_CLAIMS
    if hidden > 0:
        yield pen.words(f"… and {plural(hidden, 'more claim')}", "dim")
    yield pen.words(certificate_words.NOT_LOOKED_AT, "dim")
    if value.counterexample is not None:
        yield Text()
        yield from _counterexample(value.counterexample, pen)


def draw_live(moment: Moment, pen: Pen) -> Iterator[Text]:
    """Yield the one line that says how far a search is."""
    line = pen.words(words.live_line(moment))
    line.no_wrap, line.overflow = True, "crop"
    yield line


def _counterexample(output: Decoded, pen: Pen) -> Iterator[Text]:
    yield pen.words("The certificate says that this output cannot be", "bold red")
    yield titled("Output", _named(output, pen), pen)
    ends = output_words.ended(output)
    said = f"log Pr {fixed(output.logprob)}, score {fixed(output.score)}"
    yield pen.words(f"{said}{', ' if ends else ''}{ends}")
    yield pen.words(output_words.ids_of(output), "dim")


def _claims(found: Sequence[tuple[str, Sentence]], value: Certificate, pen: Pen) -> Iterator[Text]:
    names = max(len(name) for name, _ in found)
    for name, said in found:
        head = Text(f"{name:<{names}}  ", "dim")
        yield pen.hanging(head, pen.sentence(said, cells=_FACT_CELLS))
    yield Text()
    yield pen.words("Where the probability of 1 went")
    yield from ledger(value.mass, pen)


def _proven(value: Decoding) -> bool:
    return value.certificate.status != "gap"


def _outputs(value: Decoding, pen: Pen) -> Iterator[Text]:
    listed = output_words.rows(value)
    if listed:
        yield Text()
        yield pen.words(output_words.headline(value))
        # The outputs of other ways to decode stand below, however many there are above them.
        others = [row for row in listed if row.output not in value.nbest]
        shown = [*[row for row in listed if row not in others][:MOST_ROWS], *others[:MOST_ROWS]]
        yield from columns(pen, _table(value, shown, pen))
        hidden = len(listed) - len(shown)
        if hidden > 0:
            yield pen.words(f"… and {plural(hidden, 'more output')}: --json lists them", "dim")
    for note in output_words.notes(value):
        yield pen.sentence(note, "dim")


def _table(
    value: Decoding, listed: Sequence[output_words.Row], pen: Pen
) -> list[Column | TextColumn]:
    outputs = [row.output for row in listed]
    places = decimals(each.logprob for each in outputs)
    drawn = value.method in ("sample", "sample_without_replacement")
    best = "" if drawn or not outputs or not outputs[0].finished else "bold"
    out: list[Column | TextColumn] = [
        figures(pen, "", [row.rank for row in listed], 95),
        TextColumn(
            "output",
            tuple(_named(each, pen) for each in outputs),
            (best, *[""] * (len(outputs) - 1)),
            lines=2,
        ),
        labels(pen, "end", [output_words.ending(each) for each in outputs]),
    ]
    if output_words.are_scored_apart(value):
        scores = [each.score for each in outputs]
        written = [fixed(score, decimals(scores)) for score in scores]
        out.append(figures(pen, "score", written))
    out.append(figures(pen, "log Pr", [fixed(each.logprob, places) for each in outputs], 97))
    out.append(figures(pen, "Pr", [probability(each.logprob) for each in outputs], 96))
    if sum(row.cumulative is not None for row in listed) > 1:
        sums = ["" if row.cumulative is None else percent(row.cumulative) for row in listed]
        out.append(figures(pen, "sum", sums, 60))
    if any(map(output_words.is_spelt_otherwise, outputs)):
        texts = [percent(each.string_mass) for each in outputs]
        out.append(figures(pen, "text Pr", texts, 55))
    for header, found, worth in (
        ("log q", [each.proposal_logprob for each in outputs], 90),
        ("gumbel", [each.gumbel for each in outputs], 85),
    ):
        if any(number is not None for number in found):
            written = [fixed(number, decimals(found)) for number in found]
            out.append(figures(pen, header, written, worth))
    out.append(figures(pen, "tokens", [count(len(each.token_ids)) for each in outputs], 40))
    names = [", ".join(output_words.names_of(value, each)) for each in outputs]
    if any(names):
        out.append(labels(pen, "who", names, 92))
    return out


def _named(output: Decoded, pen: Pen) -> str | Text:
    if output.text is not None:
        return output.text
    return pen.words(output_words.ids_of(output), "dim")
