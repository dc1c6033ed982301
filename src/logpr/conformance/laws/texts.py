"""Laws of text: which tokens a text becomes, at the boundary and inside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from logpr.conformance.alphabet import Words
from logpr.conformance.bench import Bench, Compared
from logpr.conformance.case import OWN, Case, Part
from logpr.conformance.laws._law import MOVED, Drawing, Law, equal
from logpr.conformance.targets.base import ScorerError
from logpr.conformance.toy import Policy

_SIGNS = (
    ("caf", "é"),
    ("na", "ïve café"),
    ("caf", "e\u0301 e\u0301"),
    ("I", " 😀 ok"),
    ("👩", "\u200d👩\u200d👧"),
    ("日本", "語"),
    ("שלום", " ab\u200f"),
    ("a", "b\r\nc\td"),
)
"""Prompts and candidates: letters of several bytes, signs that combine, tokens inside a letter,
ends of lines."""


def _compared(bench: Bench, case: Case) -> Iterator[Compared]:
    """Yield each candidate against the closed form of its text."""
    prompt, *candidates = case.parts
    for part in candidates:
        what = bench.words(case.model, prompt, part)
        truth = bench.truth(case.model, prompt, part)
        try:
            (each,) = bench.score(case.model, prompt, part)
        except ScorerError as error:
            if not error.refusal:
                raise
            if truth.token_ids:
                yield Compared(what, f"refused: {error.message}"[:300], f"{truth.logprob:.6g}")
            continue  # else a declared policy that leaves y no token, said openly
        if not truth.token_ids:
            yield Compared(
                f"{what}: tok(x + y) is no longer than tok(x)",
                f"{each.total:.6g} for no token at all",
                "a score of at least one token, or an error",
            )
            continue
        size = len(truth.token_ids) + 1
        compared = equal(bench, case.model, what, each.total, truth.logprob, size)
        if not compared.kept:
            what += _meant(bench, case.model, prompt, part, each.total)
        yield replace(compared, what=what)


def _meant(bench: Bench, model: str, prompt: Part, part: Part, found: float) -> str:
    """Return which other boundary policy gives a number, in words; "" where none does."""
    alphabet = bench.alphabet(model)
    before, after = alphabet.prompt(prompt), alphabet.candidate(part)
    if not isinstance(before, str) or not isinstance(after, str):
        return ""
    fits = []
    for policy in get_args(Policy):
        read = bench.toy(model).read(before, after, policy=policy, bos=bench.declares.bos)
        truth = bench.toy(model).truth(*read, bench.declares.end) if all(read) else None
        near = bench.tolerance(model, len(read[1]) + 1)
        if truth is not None and abs(truth.logprob - found) <= near:
            fits.append(policy)
    declared = bench.declares.boundary
    if not fits or declared in fits:
        return ""
    return f" (boundary={declared} is declared, and this is the number of {' and '.join(fits)})"


def _boundary_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    encode = bench.toy("toy").pieces.encode
    # Merged: a+b, c+d; the second leaves tok(x + y) with no token after tok(x).
    for before, after in (("ca", "bd"), ("da", "b"), ("bc", "d"), ("dbc", "dab")):
        (more,) = draw.parts("toy", (1, 2))
        prompt = bench.toy("toy").pieces.decode(more) + before
        yield Case("boundary", "toy", (encode(prompt), encode(after)))


def _valid_boundary(bench: Bench, case: Case) -> bool:
    if len(case.parts) != 2 or not all(case.parts):  # noqa: PLR2004 - x and y
        return False
    pieces = bench.toy(case.model).pieces
    x, y = case.parts
    own = all(pieces.spells(part) and set(part) <= set(pieces.ordinary) for part in case.parts)
    return own and not pieces.spells(x, y) and not pieces.decode(x).endswith(" ")


def check_boundary(bench: Bench, case: Case) -> Iterator[Compared]:
    """Where prompt and candidate merge, s is that of the declared policy, and of some token."""
    yield from _compared(bench, case)


def _space_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    if not bench.target.factory:
        return
    encode = bench.toy("toy").pieces.encode
    for after in ("c", "cab", "d", "ab"):
        (more,) = draw.parts("toy", (1, 3))
        yield Case(
            "trailing_space",
            "toy",
            (encode(bench.toy("toy").pieces.decode(more) + " "), encode(after)),
        )


def _valid_space(bench: Bench, case: Case) -> bool:
    pieces = bench.toy(case.model).pieces
    texts = [pieces.decode(part) for part in case.parts]
    return (
        len(texts) == 2  # noqa: PLR2004 - x and y
        and all(map(pieces.spells, case.parts))
        and texts[0].endswith(" ")
        and len(texts[0]) > 1
        and bool(texts[1])
    )


def check_trailing_space(bench: Bench, case: Case) -> Iterator[Compared]:
    """A space at the prompt's end is read as the declared policy says."""
    yield from _compared(bench, case)


def _round_trip_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    if not bench.target.factory:
        empty = Words.cased[-1]
        for _ in range(2):
            x, y = draw.parts(OWN, (2, 4), (1, 2))
            yield Case("byte_round_trip", OWN, (x, y, (empty, *y)))
            yield Case("byte_round_trip", OWN, (x, (Words.plain[0],), (Words.cased[0],)))
        return
    pieces = bench.toy("toy").pieces
    for texts in ((" cab", "  cab"), (" ab", "  d"), ("b  a", "ab d "), (" c c", "a   c")):
        (prompt,) = draw.parts("toy", (1, 3), without=(0,))
        yield Case("byte_round_trip", "toy", (prompt, *map(pieces.encode, texts)))


def _valid_round_trip(bench: Bench, case: Case) -> bool:
    if len(case.parts) < 2 or not all(case.parts):  # noqa: PLR2004 - x and y
        return False
    if case.model == OWN:
        return len(case.parts) == 3 and case.parts[1] != case.parts[2]  # noqa: PLR2004 - two texts
    pieces = bench.toy(case.model).pieces
    ordinary = all(set(part) <= set(pieces.ordinary) for part in case.parts)
    return ordinary and bench.alphabet(case.model).clean((case.parts[0],))


def check_byte_round_trip(bench: Bench, case: Case) -> Iterator[Compared]:
    """What is fed is x + y to the byte: no space is dropped, doubled or folded, no letter changed.

    On the suite's models s is the closed form's; on a scorer's own, texts that differ by a space
    or by case differ in their score.
    """
    if case.model != OWN:
        yield from _compared(bench, case)
        return
    x, first, second = case.parts
    one, other = bench.score(case.model, x, first, second)
    words = [bench.words(case.model, x, part) for part in (first, second)]
    size = max(len(first), len(second)) + 1
    floor = bench.floor(case.model, size)
    yield Compared(
        f"{words[1]}, which is to differ from {words[0]} but where the tokenizer folds them",
        other.level,
        one.level,
        max(floor, MOVED * size),
        relation="!=",
        effect=0.01 * size,
        floor=floor,
    )


def _eos_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    pieces = bench.toy("toy").pieces
    held = [(0,), (0, 0)]
    if bench.declares.ids:
        held += [(pieces.end_id,), (pieces.start_id,), (pieces.vocab_size - 1,)]
    spaces = [token for token in pieces.ordinary if pieces.names[token].startswith(b" ")]
    for inside in held:
        parts = draw.parts("toy", (1, 4), (2, 4), without=(0, *spaces), holding=inside)
        yield Case("eos_inside", "toy", parts, inside[:1])


def _valid_eos(bench: Bench, case: Case) -> bool:
    return (
        len(case.parts) == 2  # noqa: PLR2004 - x and y
        and bool(case.parts[0])
        and set(case.numbers) <= set(case.parts[1])
        and bench.alphabet(case.model).clean(case.parts)
    )


def check_eos_inside(bench: Bench, case: Case) -> Iterator[Compared]:
    """A token of y counts whatever its id: the end token, and id 0, are tokens like others."""
    yield from _compared(bench, case)


def _unicode_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    del draw
    if not bench.target.factory:
        for sign in Words.signs:
            yield Case("unicode", OWN, (Words.plain[:2], (sign,)))
        return
    encode = bench.toy("bytes").pieces.encode
    for prompt, candidate in _SIGNS:
        yield Case("unicode", "bytes", (encode(prompt), encode(candidate)))


def _valid_unicode(bench: Bench, case: Case) -> bool:
    if len(case.parts) != 2 or not all(case.parts):  # noqa: PLR2004 - x and y
        return False
    if case.model == OWN:
        return bench.alphabet(case.model).clean(case.parts)
    pieces = bench.toy(case.model).pieces
    texts = [pieces.decode(part) for part in case.parts]
    return all(
        "\ufffd" not in text and pieces.encode(text) == part
        for text, part in zip(texts, case.parts, strict=True)
    )


def check_unicode(bench: Bench, case: Case) -> Iterator[Compared]:
    """Emoji, combining marks and tokens inside a letter are scored as their bytes are."""
    if case.model != OWN:
        yield from _compared(bench, case)
        return
    x, y = case.parts
    (each,) = bench.score(case.model, x, y)
    what = bench.words(case.model, x, y)
    if not math.isfinite(each.level):
        yield Compared(what, str(each.level), "a finite number")
        return
    yield Compared(what, each.level, 0.0, bench.tolerance(case.model, 8), relation="<=")


TEXTS = (
    Law(
        id="eos_inside",
        statement="a real end token, or id 0, inside y counts (of a scorer of texts: id 0 alone)",
        catches="masks by `== pad_id`",
        check=check_eos_inside,
        cases=_eos_cases,
        needs=("factory",),
        after=("oracle",),
        numbers=((0, 1 << 31),),
        valid=_valid_eos,
    ),
    Law(
        id="boundary",
        statement="a merging pair follows the declared policy, and is never empty",
        catches="'Ans' + 'wer': no token left to score",
        check=check_boundary,
        cases=_boundary_cases,
        needs=("factory", "text"),
        after=("oracle",),
        valid=_valid_boundary,
    ),
    Law(
        id="trailing_space",
        statement='("x ", "y") follows the declared policy',
        catches="white space that moves",
        check=check_trailing_space,
        cases=_space_cases,
        severity="SHOULD",
        needs=("factory", "text"),
        after=("oracle",),
        valid=_valid_space,
    ),
    Law(
        id="byte_round_trip",
        statement="what is fed decodes to x + y",
        catches="normalisation, dummy prefixes, spaces stripped",
        check=check_byte_round_trip,
        cases=_round_trip_cases,
        needs=("text",),
        after=("oracle",),
        own=True,
        valid=_valid_round_trip,
    ),
    Law(
        id="unicode",
        statement="emoji, combining marks and bytes that split tokens are scored as they are",
        catches="letters dropped or composed",
        check=check_unicode,
        cases=_unicode_cases,
        needs=("text",),
        after=("oracle",),
        models=("bytes",),
        own=True,
        valid=_valid_unicode,
    ),
)
"""Laws of text."""
