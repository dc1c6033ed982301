"""The outputs of a decoding in a table: their ranks, how they end, and who came to them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from logpr._values import Decoded, Decoding
from logpr.report.numbers import count, fixed, plural, probability, times
from logpr.report.texts import ids_text
from logpr.report.words.certificate import LOG_PR, constrained, maximised
from logpr.report.words.parts import Sentence

_ALIKE = 1e-3
"""Probabilities that differ by less, in proportion, look the same, and may do so by rounding."""


@dataclass(frozen=True, slots=True)
class Row:
    """One output of the table: its rank as written, and the Pr of all rows up to it."""

    rank: str
    output: Decoded
    cumulative: float | None


def mass(outputs: Sequence[Decoded]) -> float:
    """Return the Pr of different finished outputs together."""
    found = {each.token_ids: each.logprob for each in outputs if each.finished}
    return math.fsum(math.exp(logprob) for logprob in found.values())


def rows(value: Decoding) -> tuple[Row, ...]:
    """Return the outputs of the table: the n best, then those of other ways to decode.

    What was cut before its end has no rank.
    """
    drawn = value.method in ("sample", "sample_without_replacement")
    out: list[Row] = []
    total = 0.0
    place = 0
    for each in value.nbest:
        place += each.finished
        total += math.exp(each.logprob) if each.finished else 0.0
        summed = total if each.finished and not drawn else None
        out.append(Row(f"{place}" if each.finished else "", each, summed))
    known = {_key(each) for each in value.nbest}
    others = [value.best, *value.compared, value.greedy]
    for other in others:
        if other is None or _key(other) in known:
            continue
        known.add(_key(other))
        out.append(Row(_rank(value, other), other, None))
    return tuple(out)


def _key(output: Decoded) -> tuple[tuple[int, ...], bool]:
    return output.token_ids, output.finished


def _rank(value: Decoding, output: Decoded) -> str:
    if output.token_ids or not output.finished or value.empty_rank is None:
        return ""
    least, most = value.empty_rank
    # An interval is said in a sentence below the table, which has no room for it.
    return count(least) if least == most else ""


def names_of(value: Decoding, output: Decoded) -> tuple[str, ...]:
    """Return who came to an output: mode (best where not proven), greedy, beam-5, sample."""
    found = [name for each in (*value.nbest, *value.compared) if _key(each) == _key(output)
             for name in each.names]  # fmt: skip
    if value.greedy is not None and _key(value.greedy) == _key(output):
        found.append("greedy")
    names = dict.fromkeys([*output.names, *found])
    drawn = value.method in ("sample", "sample_without_replacement")
    is_best = value.best is not None and _key(value.best) == _key(output)
    if is_best and output.finished and not drawn and not {"mode", "best"} & set(names):
        proven = value.certificate.status in ("optimal", "optimal_within")
        names = {"mode" if proven else "best": None} | names
    return tuple(names)


def ending(output: Decoded) -> str:
    """Return how an output ends, in a word or two: END, or where it was cut."""
    if not output.finished:
        return f"cut at {count(len(output.token_ids))}"
    return "END" if output.end_logprob is not None else ""


def ended(output: Decoded) -> str:
    """Return how an output ends, in full."""
    if not output.finished:
        return f"cut at {plural(len(output.token_ids), 'token')}, not ended"
    return "END" if output.end_logprob is not None else ""


def is_spelt_otherwise(output: Decoded) -> bool:
    """Return whether the Pr of the text is another one than that of these tokens."""
    alone = math.exp(output.logprob)
    return output.string_mass is not None and output.string_mass > alone * (1 + _ALIKE)


def ids_of(output: Decoded) -> str:
    """Return our words for an output of which no text is known."""
    return ids_text(output.token_ids) if output.token_ids else "(empty)"


def are_scored_apart(value: Decoding) -> bool:
    """Return whether the scores are other numbers than log Pr."""
    return maximised(value.certificate) != LOG_PR


def headline(value: Decoding) -> str:
    """Return what the table lists."""
    many = plural(len(value.nbest), "output")
    if not any(each.finished for each in value.nbest):
        return f"{many}, none of which ended" if value.nbest else "Outputs of other decoders"
    match value.method:
        case "sample":
            return f"{many}, as drawn"
        case "sample_without_replacement":
            return f"{many}, by log q + Gumbel noise"
        case "threshold":
            return f"{many} with Pr ≥ {value.certificate.threshold or 0:g}"
        case _:
            called = maximised(value.certificate)
            best = "best" if value.certificate.status in ("optimal", "optimal_within") else (
                "best of those found"
            )  # fmt: skip
            return f"The {best}, by {called}" if len(value.nbest) == 1 else (
                f"{many}, the {best} by {called}"
            )  # fmt: skip


def notes(value: Decoding) -> Iterator[Sentence]:
    """Yield what is said of the outputs of the table, a sentence each."""
    listed = rows(value)
    yield from _cut(value, listed)
    yield from _empty(value, listed)
    yield from _typical(value, listed)
    best = value.best
    if best is not None and best.logprob_given_constraint is not None:
        yield _given_constraint(value, best.logprob_given_constraint)
    if any(is_spelt_otherwise(row.output) for row in listed):
        yield (
            "text Pr: of the text, summed over those of its spellings that the search finished.",
        )
    if any(row.output.gumbel is not None for row in listed):
        yield ("gumbel: log q plus Gumbel noise; the largest are kept, each output once.",)


def _cut(value: Decoding, listed: Sequence[Row]) -> Iterator[Sentence]:
    """Yield one sentence for all that were cut: who came to them, and why they have no rank."""
    cut = [row.output for row in listed if not row.output.finished]
    if not cut:
        return
    named = [", ".join(found) for each in cut if (found := names_of(value, each))]
    others = len(cut) - len(named)
    if others:
        named.append(plural(others, "output" if others == len(cut) else "more output"))
    ends = ", ".join(dict.fromkeys(ended(each) for each in cut))
    its, it = ("Its", "it has") if len(cut) == 1 else ("Their", "they have")
    why = f"{its} log Pr is that of a beginning, so {it} no rank among finished outputs."
    yield (f"{'; '.join(named)}: {ends}. {why}",)


def _empty(value: Decoding, listed: Sequence[Row]) -> Iterator[Sentence]:
    empty = next((row.output for row in listed if not row.output.token_ids), None)
    if empty is None or not empty.finished:
        return
    rank = "" if value.empty_rank is None else f", {rank_words(value.empty_rank)}"
    written = f"log Pr {fixed(empty.logprob)}, Pr {probability(empty.logprob)}"
    yield (f"The empty output (END at once): {written}{rank}.",)


def rank_words(rank: tuple[int, int | None]) -> str:
    """Return a rank that may be known as an interval: rank 3, rank 3 to 41, rank at least 3."""
    least, most = rank
    if most is None:
        return f"rank at least {count(least)}"
    return f"rank {count(least)}" if least == most else f"rank {count(least)} to {count(most)}"


_FAR = math.log(2.0)
"""Nats from the best on which a sample is worth a sentence."""


def _typical(value: Decoding, listed: Sequence[Row]) -> Iterator[Sentence]:
    if value.method in ("sample", "sample_without_replacement") or value.best is None:
        return
    for row in listed:
        output = row.output
        below = value.best.logprob - output.logprob
        if "sample" in names_of(value, output) and output.finished and below > _FAR:
            why = "no single output stands for what sampling gives."
            figures = f"{probability(output.logprob)}, {times(below)} below the best"
            yield (f"A typical sample has Pr {figures}: {why}",)


def _given_constraint(value: Decoding, bounds: tuple[float, float]) -> Sentence:
    low, high = bounds
    kind = value.certificate.constraint
    of: Sentence = () if kind is None else (" (", *constrained(kind), ")")
    if fixed(low) == fixed(high):
        interval = f" log Pr(y | x, y in C) of the best is {fixed(low)} (Pr {probability(low)})."
    else:
        interval = (
            f" log Pr(y | x, y in C) of the best lies between {fixed(low)} and {fixed(high)} (Pr "
            f"{probability(low)} to {probability(high)}): what was not looked at leaves the rest "
            f"open."
        )
    return ("Under the constraint C", *of, ",", interval)
