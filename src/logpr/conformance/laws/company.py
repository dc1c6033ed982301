"""Laws of company: what else is asked changes nothing, nor does the order, nor asking again."""

from __future__ import annotations

from collections.abc import Iterator

from logpr.conformance.bench import OWN_TOLERANCE, Ask, Bench, Compared, Scored
from logpr.conformance.case import OWN, Case
from logpr.conformance.laws._law import Draw, Drawing, Law, equal, stands_apart, toy_or_own

_MANY = 37
"""Candidates of a large call."""

_NOISE = OWN_TOLERANCE["bfloat16"]


def _several(law: str, count: int, *sizes: tuple[int, int]) -> Draw:
    def cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
        model = toy_or_own(bench)
        for _ in range(count):
            yield Case(law, model, draw.several(model, (1, 5), *sizes))

    return cases


def _valid_pair(bench: Bench, case: Case) -> bool:
    return len(case.parts) > 2 and stands_apart(bench, case)  # noqa: PLR2004 - a prompt and two


def _scores(bench: Bench, case: Case) -> tuple[tuple[Scored, ...], str]:
    prompt, *candidates = case.parts
    words = bench.words(case.model, prompt, *candidates)
    return bench.score(case.model, prompt, *candidates), words


def _same(  # noqa: PLR0917 - what is compared, then how many tokens are in it
    bench: Bench, model: str, what: str, found: Scored, expected: Scored, tokens: int
) -> Iterator[Compared]:
    """Yield a candidate's score against another of its own, and each token's where there are."""
    yield equal(bench, model, what, found.level, expected.level, 2 * tokens + 2)
    pairs = zip(found.tokens or (), expected.tokens or (), strict=False)
    for place, (one, other) in enumerate(pairs):
        yield equal(bench, model, f"token {place} of {what}", one, other, 2)


def check_repeat(bench: Bench, case: Case) -> Iterator[Compared]:
    """The same call twice gives the same numbers. On a scorer's own model it measures its noise."""
    first, words = _scores(bench, case)
    again, _ = _scores(bench, case)
    for place, part in enumerate(case.parts[1:]):
        one, other = first[place].level, again[place].level
        size = len(part) + 1
        if case.model == OWN and abs(other - one) < float("inf"):
            bench.noise = max(bench.noise or 0.0, abs(other - one) / size)
        # On a model of the scorer's own, what half precision on a GPU gives is noise, not a fault.
        tolerance = _NOISE * size if case.model == OWN else bench.tolerance(case.model, size)
        what = f"candidate {place} of {words}, the second time"
        yield Compared(what, other, one, tolerance)


def _alone_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    yield from _several("candidate_independence", 4, (1, 3), (1, 3), (2, 5))(bench, draw)
    # More than fill a usual batch, and no multiple of one.
    model = toy_or_own(bench)
    many = draw.several(model, (1, 3), *[(1, 5)] * _MANY)
    yield Case("candidate_independence", model, many)


def check_candidate_independence(bench: Bench, case: Case) -> Iterator[Compared]:
    """s(y) is the same alone and among other candidates."""
    prompt, *candidates = case.parts
    together, words = _scores(bench, case)
    for place, part in enumerate(candidates):
        (alone,) = bench.score(case.model, prompt, part)
        what = f"candidate {place} of {words}, against {bench.words(case.model, prompt, part)}"
        yield from _same(bench, case.model, what, together[place], alone, len(part))


def check_permutation(bench: Bench, case: Case) -> Iterator[Compared]:
    """Requests in another order give the same numbers in that order."""
    prompt, *candidates = case.parts
    asks = [Ask(prompt, tuple(candidates))]
    longer = candidates[-1]
    if bench.together and len(longer) > 1:
        # Of equal length in all, cut elsewhere: what shares rows by text mistakes one for another.
        asks += [Ask(prompt + longer[:1], (longer[1:],)), Ask(prompt, (longer[:1],))]
        asks = [ask for ask in asks if bench.alphabet(case.model).clean((ask.prompt,))]
    forwards = bench.ask(case.model, asks)
    for way, turned in (("reversed", slice(None, None, -1)), ("rotated", None)):
        orders = [
            list(range(len(ask.candidates)))[turned]
            if turned is not None
            else [*range(1, len(ask.candidates)), 0]
            for ask in asks
        ]
        places = list(range(len(asks)))
        places = places[::-1] if turned is not None else [*places[1:], places[0]]
        moved = [
            Ask(asks[place].prompt, tuple(asks[place].candidates[i] for i in orders[place]))
            for place in places
        ]
        answers = bench.ask(case.model, moved)
        for place, ask, answer in zip(places, moved, answers, strict=True):
            for at, original in enumerate(orders[place]):
                one, other = forwards[place][original], answer[at]
                what = (
                    f"{bench.words(case.model, ask.prompt, ask.candidates[at])}, "
                    f"with the requests {way}"
                )
                yield from _same(bench, case.model, what, other, one, len(ask.candidates[at]))


def _batch_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    model = toy_or_own(bench)
    for company in ((6, 9), (1, 1), (6, 9)):
        parts = draw.several(model, (2, 5), (2, 4), company, company)
        yield Case("batch_composition", model, parts)


def check_batch_composition(bench: Bench, case: Case) -> Iterator[Compared]:
    """s(y) is the same alone and with longer and shorter company, of other prompts too."""
    prompt, part, *company = case.parts
    (alone,) = bench.score(case.model, prompt, part)
    among = bench.score(case.model, prompt, part, *company)[0]
    words = bench.words(case.model, prompt, part)
    sizes = " and ".join(str(len(each)) for each in company)
    what = f"{words} beside candidates of length {sizes}"
    yield from _same(bench, case.model, what, among, alone, len(part))
    if bench.together:
        longer, shorter = max(company, key=len), min(company, key=len)
        others = [Ask(prompt[:1], (shorter,)), Ask(prompt + longer, (shorter,))]
        others = [each for each in others if bench.alphabet(case.model).clean((each.prompt,))]
        asks = [Ask(prompt, (part,)), *others]
        beside = bench.ask(case.model, asks)[0][0]
        what = f"{words} beside prompts of other lengths"
        yield from _same(bench, case.model, what, beside, alone, len(part))


def check_duplicates(bench: Bench, case: Case) -> Iterator[Compared]:
    """Equal candidates of one call have equal scores."""
    prompt, part, *others = case.parts
    scored = bench.score(case.model, prompt, part, *others, part)
    words = bench.words(case.model, prompt, part, *others, part)
    what = f"the last of {words}, against the first"
    size = 2 * len(part) + 2
    yield equal(bench, case.model, what, scored[-1].level, scored[0].level, size)


def check_pad_side(bench: Bench, case: Case) -> Iterator[Compared]:
    """A tokenizer that pads on the left gives the scores of one that pads on the right."""
    prompt, *candidates = case.parts
    right = bench.score("toy", prompt, *candidates)
    left = bench.score("padded_left", prompt, *candidates)
    words = bench.words("toy", prompt, *candidates)
    for place, part in enumerate(candidates):
        what = f"candidate {place} of {words}, padded on the left, against on the right"
        yield equal(bench, "toy", what, left[place].total, right[place].total, 2 * len(part) + 2)


def check_sampling_neutral(bench: Bench, case: Case) -> Iterator[Compared]:
    """What generation_config.json says of sampling changes no score."""
    prompt, *candidates = case.parts
    plain = bench.score("toy", prompt, *candidates)
    sampled = bench.score("sampling", prompt, *candidates)
    for place, part in enumerate(candidates):
        what = f"{bench.words('toy', prompt, part)} where the model's generation config samples"
        yield equal(bench, "toy", what, sampled[place].total, plain[place].total, 2 * len(part) + 2)


COMPANY = (
    Law(
        id="candidate_independence",
        statement="s(y) is the same alone and among others",
        catches="softmax over candidates, scores that depend on the batch",
        check=check_candidate_independence,
        cases=_alone_cases,
        after=("repeat",),
        own=True,
        valid=_valid_pair,
    ),
    Law(
        id="permutation",
        statement="requests in another order give the same numbers in that order",
        catches="state, rows mixed up",
        check=check_permutation,
        cases=_several("permutation", 4, (1, 3), (1, 2), (4, 6), (2, 4)),
        after=("repeat",),
        own=True,
        valid=_valid_pair,
    ),
    Law(
        id="batch_composition",
        statement="s(y) is the same alone and with longer and shorter company",
        catches="padding, positions, masks",
        check=check_batch_composition,
        cases=_batch_cases,
        after=("repeat",),
        own=True,
        valid=_valid_pair,
    ),
    Law(
        id="pad_side",
        statement="padding on the left and on the right give the same",
        catches="position ids, masks",
        check=check_pad_side,
        cases=_several("pad_side", 3, (1, 2), (3, 6)),
        needs=("factory",),
        after=("repeat",),
        models=("toy", "padded_left"),
        valid=_valid_pair,
    ),
    Law(
        id="duplicates",
        statement="equal candidates of one call have equal scores",
        catches="results indexed by text",
        check=check_duplicates,
        cases=_several("duplicates", 3, (1, 3), (1, 3)),
        after=("repeat",),
        own=True,
        valid=stands_apart,
    ),
    Law(
        id="repeat",
        statement="the same call twice gives the same numbers",
        catches="dropout, sampling",
        check=check_repeat,
        cases=_several("repeat", 3, (1, 3), (1, 3), (2, 5), (3, 6)),
        own=True,
        valid=stands_apart,
    ),
    Law(
        id="sampling_neutral",
        statement="temperature, top-p and penalties of the generation config change nothing",
        catches="processed log-probabilities",
        check=check_sampling_neutral,
        cases=_several("sampling_neutral", 3, (1, 3), (2, 4)),
        needs=("factory",),
        after=("repeat",),
        models=("toy", "sampling"),
        valid=stands_apart,
    ),
)
"""Laws of company."""
