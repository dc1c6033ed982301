"""Laws of the sum: what it runs over, and that it can be cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from logpr.conformance.bench import Ask, Bench, CannotJudgeError, Compared
from logpr.conformance.case import Case
from logpr.conformance.laws._law import Draw, Drawing, Law, equal, toy_or_own


def _chain_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    model = toy_or_own(bench)
    ways = (0, 1) if bench.together else (0,)
    for round_ in range(5):
        parts = draw.parts(model, (1, 5), (1, 3), (1, 1) if round_ < 2 else (1, 3))  # noqa: PLR2004 - the first two of five
        for way in ways:
            yield Case("chain_rule", model, parts, (way,))


def check_chain_rule(bench: Bench, case: Case) -> Iterator[Compared]:
    """s(x, yz) = s(x, y) + s(xy, z): a sum of conditional log-probabilities can be cut anywhere.

    Number 1: the three requests in one call.
    """
    (x, y, z), (way,) = case.parts, case.numbers
    asks = [Ask(x, (y + z,)), Ask(x, (y,)), Ask(x + y, (z,))]
    (whole,), (first,), (second,) = bench.ask(case.model, asks, apart=not way)
    words = [bench.words(case.model, ask.prompt, *ask.candidates) for ask in asks]
    how = ", in one call" if way else ""
    what = f"{words[0]}, against {words[1]} + {words[2]}{how}"
    count = 2 * (len(y) + len(z))
    yield equal(bench, case.model, what, whole.total, first.total + second.total, count)


def _triples(law: str, count: int) -> Draw:
    def cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
        model = toy_or_own(bench)
        for _ in range(count):
            yield Case(law, model, draw.parts(model, (1, 5), (1, 3), (1, 4)))

    return cases


def check_prefix_monotone(bench: Bench, case: Case) -> Iterator[Compared]:
    """s(x, yz) ≤ s(x, y): what begins with yz begins with y."""
    x, y, z = case.parts
    shorter, longer = bench.score(case.model, x, y, y + z)
    what = (
        f"{bench.words(case.model, x, y + z)}, which is to be no more than "
        f"{bench.words(case.model, x, y)}"
    )
    tolerance = bench.tolerance(case.model, 2 * len(y) + len(z))
    yield Compared(
        what,
        longer.total,
        shorter.total,
        tolerance,
        relation="<=",
        effect=0.01 * (len(y) + len(z)),
        floor=bench.floor(case.model, len(y) + len(z)),
    )


def _count_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    model = toy_or_own(bench)
    for longest in (1, 2, 4, 8):
        yield Case("token_count", model, draw.parts(model, (1, 5), (longest, longest)))


def check_token_count(bench: Bench, case: Case) -> Iterator[Compared]:
    """As many token scores as y has tokens, and their sum is s (under `stop`: with END's)."""
    prompt, part = case.parts
    (each,) = bench.score(case.model, prompt, part)
    tokens = _tokens(each.tokens)
    stop = bench.declares.end == "stop"
    steps = bench.steps(case.model, prompt, part)
    what = bench.words(case.model, prompt, part)
    if steps is not None and not (stop and len(tokens) == steps):
        wanted = steps - stop
        yield Compared(f"token scores of {what}", float(len(tokens)), float(wanted))
    summed = sum(tokens)
    if stop and (steps is None or len(tokens) < steps):
        # END's own share is not in the list, and can only lower the sum.
        tolerance = bench.tolerance(case.model, len(tokens) + 1)
        yield Compared(
            f"{what}, against the sum of its token scores", each.total, summed, tolerance, "<="
        )
    else:
        words = f"{what}, against the sum of its token scores"
        yield equal(bench, case.model, words, each.total, summed, len(tokens))


def check_future_blind(bench: Bench, case: Case) -> Iterator[Compared]:
    """Editing what comes after token t leaves the scores up to t as they were."""
    x, y, *tails = case.parts
    alone, *longer = (
        each[0] for each in bench.ask(case.model, [Ask(x, (y + tail,)) for tail in ((), *tails)])
    )
    size = len(_tokens(alone.tokens))
    steps = bench.steps(case.model, x, y)
    if bench.declares.end == "stop" and steps in (None, size):
        size = max(0, size - 1)  # END's score, which may be the last, has a future of its own
    first, second = (_tokens(each.tokens)[:size] for each in longer)
    words = [bench.words(case.model, x, y + tail) for tail in tails]
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        what = f"token {place} of {words[1]}, against that of {words[0]}"
        yield equal(bench, case.model, what, other, one, 2)


def _future_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    model = toy_or_own(bench)
    alphabet = bench.alphabet(model)
    found = 0
    while found < 4:  # noqa: PLR2004 - cases
        x, y, first = draw.parts(model, (1, 4), (1, 3), (1, 3))
        (second,) = draw.parts(model, (1, 5))
        if first != second and alphabet.clean((x, y, second)):
            found += 1
            yield Case("future_blind", model, (x, y, first, second))


def _valid_futures(bench: Bench, case: Case) -> bool:
    if len(case.parts) != 4 or not all(case.parts):  # noqa: PLR2004 - x, y and two futures
        return False
    x, y, first, second = case.parts
    alphabet = bench.alphabet(case.model)
    return first != second and alphabet.clean((x, y, first)) and alphabet.clean((x, y, second))


def _tokens(tokens: tuple[float, ...] | None) -> tuple[float, ...]:
    if tokens is None:
        msg = "it gave no token scores"
        raise CannotJudgeError(msg)
    return tokens


SUMS = (
    Law(
        id="chain_rule",
        statement="s(x, yz) = s(x, y) + s(xy, z), within one call too",
        catches="off by one, mean, a start token again, shared rows",
        check=check_chain_rule,
        cases=_chain_cases,
        applies=("open",),
        after=("repeat",),
        own=True,
        least=(1, 1, 1),
        numbers=((0, 1),),
    ),
    Law(
        id="prefix_monotone",
        statement="s(x, yz) ≤ s(x, y)",
        catches="a mean sold as log Pr",
        check=check_prefix_monotone,
        cases=_triples("prefix_monotone", 8),
        applies=("open",),
        after=("repeat",),
        own=True,
        least=(1, 1, 1),
    ),
    Law(
        id="token_count",
        statement="as many token scores as y has tokens, and their sum is s",
        catches="a first or last token lost",
        check=check_token_count,
        cases=_count_cases,
        needs=("per_token",),
        own=True,
        least=(1, 1),
    ),
    Law(
        id="future_blind",
        statement="editing what follows token t leaves the scores up to t",
        catches="rows that see the answer, normalisers over positions",
        check=check_future_blind,
        cases=_future_cases,
        needs=("per_token",),
        after=("repeat",),
        own=True,
        valid=_valid_futures,
    ),
)
"""Laws of the sum."""
