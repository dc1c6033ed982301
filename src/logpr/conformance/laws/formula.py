"""Laws of the formula: what u[y] − logsumexp(u) is, and what leaves it unchanged."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from logpr.conformance.bench import Bench, CannotJudgeError, Compared
from logpr.conformance.case import OWN, Case
from logpr.conformance.laws._law import Draw, Drawing, Law, equal, require_room, stands_apart
from logpr.conformance.toy.variants import TENTH

_UPCAST = 1e-5
"""Nats a token: what float32 gives, whatever the model's own precision."""


_LONG = 2_000
"""Tokens of a long sequence."""

_HALF = 0.1
"""Nats a token that a log-softmax of these logits is off at most in bfloat16."""


def _oracle_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    # Without the letter of id 0 and without spaces at either end: other laws look at those.
    for longest in (1, 2, 4, 4, 4, 4, 8, 20):
        yield Case("oracle", "toy", _spaceless(bench, draw, (1, 6), (1, longest), (1, longest)))
    rare = bench.toy("toy").pieces.names.index(b"z")
    for parts in (_spaceless(bench, draw, (2, 4), (1, 2), (1, 3)) for _ in range(2)):
        yield Case("oracle", "toy", (parts[0], (*parts[1], rare), parts[2]))


def _spaceless(bench: Bench, draw: Drawing, *sizes: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
    alphabet = bench.alphabet("toy")
    for _ in range(1000):
        parts = draw.several("toy", *sizes, without=(0,))
        texts = [alphabet.candidate(part) for part in parts[1:]]
        if not any(isinstance(text, str) and _spaced(text) for text in texts):
            return parts
    msg = "no parts without spaces were found"
    raise AssertionError(msg)


def _spaced(text: str) -> bool:
    return text.startswith(" ") or "  " in text


def check_oracle(bench: Bench, case: Case) -> Iterator[Compared]:
    """s is the closed form's log Pr(y | x), token by token where the scorer gives tokens."""
    prompt, *candidates = case.parts
    scored = bench.score(case.model, prompt, *candidates)
    for asked, (part, each) in enumerate(zip(candidates, scored, strict=True)):
        truth = bench.truth(case.model, prompt, part)
        steps = len(truth.token_ids) + 1
        what = bench.words(case.model, prompt, *candidates)
        if len(candidates) > 1:
            what = f"candidate {asked} of {what}"
        yield equal(bench, case.model, what, each.total, truth.logprob, steps)
        if each.tokens is not None and len(each.tokens) == len(truth.token_logprobs):
            for place, (found, expected) in enumerate(
                zip(each.tokens, truth.token_logprobs, strict=True)
            ):
                yield equal(bench, case.model, f"token {place} of {what}", found, expected, 1)


def _unit_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    for _ in range(2):
        yield Case("unit", "toy", _spaceless(bench, draw, (2, 4), (1, 2), (2, 3), (3, 4), (2, 5)))


def check_unit(bench: Bench, case: Case) -> Iterator[Compared]:
    """The ratio of s to the closed form is 1 wherever it is the same for all candidates."""
    prompt, *candidates = case.parts
    scored = bench.score(case.model, prompt, *candidates)
    truths = [bench.truth(case.model, prompt, part) for part in candidates]
    size = max(len(truth.token_ids) + 1 for truth in truths)
    tolerance = bench.tolerance(case.model, size)
    pairs = [(each.total, truth.logprob) for each, truth in zip(scored, truths, strict=True)]
    ratios = [found / expected for found, expected in pairs]
    least = min(abs(expected) for _, expected in pairs)
    room = max(tolerance / least, 1e-6 if bench.declares.dtype == "float64" else 1e-4)
    if not max(ratios) - min(ratios) <= room:
        msg = "its numbers are no constant multiple of the closed form's: see `oracle`"
        raise CannotJudgeError(msg, blocked=True)
    middle = float(np.median(ratios))
    said = {1 / math.log(2): " (bits)", 1 / math.log(10): " (log10)", -1.0: " (the sign)"}
    near = [text for ratio, text in said.items() if abs(middle - ratio) < room]
    yield Compared(
        f"s ÷ log Pr(y | x) over {len(ratios)} candidates{near[0] if near else ''}",
        middle,
        1.0,
        room,
    )


def check_shift_invariance(bench: Bench, case: Case) -> Iterator[Compared]:
    """One vector added to all rows of the head changes no score: it adds c(x) to every logit."""
    prompt, part = case.parts
    plain = bench.score("toy", prompt, part)[0]
    moved = bench.score("shifted", prompt, part)[0]
    what = f"{bench.words('toy', prompt, part)} on logits + c(context)"
    yield equal(bench, "toy", what, moved.total, plain.total, 2 * len(part) + 2)


def check_dummy_vocabulary(bench: Bench, case: Case) -> Iterator[Compared]:
    """A new token of logit b takes exactly log(1 + exp(b − logZ)) from each step."""
    prompt, part = case.parts
    plain = bench.score("toy", prompt, part)[0]
    more = bench.score("dummy", prompt, part)[0]
    context, tokens = bench.read("dummy", prompt, part)
    steps = len(tokens) + (bench.declares.end == "stop")
    rows = bench.toy("dummy").rows([context + tokens[:place] for place in range(steps)])
    others, new = rows[:, :-1], rows[:, -1]
    logz = np.logaddexp.reduce(others, axis=1)
    expected = -float(np.log1p(np.exp(new - logz)).sum())
    what = f"Δ of {bench.words('toy', prompt, part)} as a token is added to the vocabulary"
    yield equal(bench, "toy", what, more.total - plain.total, expected, 2 * steps)


def _fork_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    del bench
    for _ in range(6):
        yield Case("fork_identity", "toy", draw.several("toy", (1, 5), (1, 1), (1, 1)))


def check_fork_identity(bench: Bench, case: Case) -> Iterator[Compared]:
    """Two single tokens after one prompt differ by their logits: the normaliser cancels."""
    prompt, first, second = case.parts
    one, other = bench.score(case.model, prompt, first, second)
    context, a = bench.read(case.model, prompt, first)
    b = bench.read(case.model, prompt, second)[1]
    row = bench.toy(case.model).rows([context])[0]
    words = bench.words(case.model, prompt, first), bench.words(case.model, prompt, second)
    what = f"{words[0]} − {words[1]}"
    yield equal(bench, case.model, what, one.total - other.total, float(row[a[0]] - row[b[0]]), 2)


def _finite_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    if not bench.target.factory:
        for _ in range(4):
            yield Case("nonpositive_finite", OWN, draw.parts(OWN, (2, 6), (1, 12)))
        return
    for _ in range(4):
        yield Case("nonpositive_finite", "toy", draw.parts("toy", (1, 4), (1, 6)))
    if bench.declares.unit != "probability":
        # So improbable that a product of probabilities is 0 in float64, which no such unit can say.
        rare = bench.toy("toy").pieces.names.index(b"z")
        (prompt,) = draw.parts("toy", (2, 3))
        yield Case("nonpositive_finite", "toy", (prompt, (rare,) * 40))


def check_nonpositive_finite(bench: Bench, case: Case) -> Iterator[Compared]:
    """A log-probability is at most 0, and finite wherever the model gives no zero."""
    prompt, part = case.parts
    (each,) = bench.score(case.model, prompt, part)
    what = bench.words(case.model, prompt, part)
    yield from _finite(bench, case.model, what, each.level, len(part))
    for place, value in enumerate(each.tokens or ()):
        yield from _finite(bench, case.model, f"token {place} of {what}", value, 1)


def _finite(bench: Bench, model: str, what: str, value: float, tokens: int) -> Iterator[Compared]:
    if not math.isfinite(value):
        yield Compared(what, _named(value), "a finite number")
        return
    tolerance = bench.tolerance(model, tokens)
    yield Compared(what, value, 0.0, tolerance, relation="<=")


def _named(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "+inf" if value > 0 else "−inf"


def _long_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    del bench
    yield Case("long_sequence", "tenth", draw.parts("tenth", (1, 2)), (_LONG,))


def _shorter(case: Case) -> Iterator[Case]:
    (count,) = case.numbers
    for size in (count // 8, count // 2, count * 3 // 4, count * 9 // 10):
        if size:
            yield Case(case.check, case.model, case.parts, (size,))


def check_long_sequence(bench: Bench, case: Case) -> Iterator[Compared]:
    """n tokens of probability 0.1 have log-probability n ln 0.1, and no product of n numbers."""
    require_room(bench)
    (prompt,), (count,) = case.parts, case.numbers
    part = (TENTH,) * count
    (each,) = bench.score(case.model, prompt, part)
    truth = bench.truth(case.model, prompt, part)
    expected = count * math.log(0.1) + (truth.end_logprob or 0.0)
    what = bench.words(case.model, prompt, part)
    yield equal(bench, case.model, what, each.total, expected, count + 1)


def _upcast_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    del bench
    for _ in range(3):
        (prompt,) = draw.parts("halves", (1, 4), without=(0,))
        yield Case("upcast", "halves", (prompt, (0,), (1,)))


def check_upcast(bench: Bench, case: Case) -> Iterator[Compared]:
    """On a bfloat16 model whose logits are exact, s is the float32 log-softmax of these logits.

    The two candidates differ by 1/16 in their logit, less than half precision tells apart.
    """
    prompt, *candidates = case.parts
    scored = bench.score(case.model, prompt, *candidates)
    for part, each in zip(candidates, scored, strict=True):
        truth = bench.truth(case.model, prompt, part)
        what = f"{bench.words(case.model, prompt, part)} on a bfloat16 model of exact logits"
        if abs(each.total - truth.logprob) > _HALF * (len(part) + 1):
            msg = "its numbers are further off than half precision takes them: see `oracle`"
            raise CannotJudgeError(msg, blocked=True)
        yield Compared(what, each.total, truth.logprob, _UPCAST * (len(part) + 1))


def _two(law: str, count: int) -> Draw:
    def cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
        del bench
        for _ in range(count):
            yield Case(law, "toy", draw.parts("toy", (1, 5), (1, 4)))

    return cases


FORMULA = (
    Law(
        id="oracle",
        statement="s equals the closed form: Σ_i u[y_i] − logsumexp(u), summed over y alone",
        catches="anything that shows in ordinary input",
        check=check_oracle,
        cases=_oracle_cases,
        needs=("factory",),
        valid=stands_apart,
    ),
    Law(
        id="unit",
        statement="the ratio of s to the closed form is 1",
        catches="bits, log10, the wrong sign",
        check=check_unit,
        cases=_unit_cases,
        needs=("factory",),
        valid=lambda bench, case: len(case.parts) > 2 and stands_apart(bench, case),  # noqa: PLR2004 - a ratio of one says nothing
    ),
    Law(
        id="shift_invariance",
        statement="logits + c(context), one vector added to all head rows: s is unchanged",
        catches="raw logits, u ÷ Σu",
        check=check_shift_invariance,
        cases=_two("shift_invariance", 4),
        needs=("factory",),
        after=("repeat",),
        models=("toy", "shifted"),
        least=(1, 1),
    ),
    Law(
        id="dummy_vocabulary",
        statement="a new, never used token with logit b: Δs = −Σ log(1 + exp(b − logZ))",
        catches="shortlists, top-k renormalisation",
        check=check_dummy_vocabulary,
        cases=_two("dummy_vocabulary", 4),
        needs=("factory",),
        after=("repeat",),
        models=("toy", "dummy"),
        least=(1, 1),
    ),
    Law(
        id="nonpositive_finite",
        statement="every log-probability is at most 0 and finite",
        catches="logits as log-probabilities, underflow",
        check=check_nonpositive_finite,
        cases=_finite_cases,
        own=True,
        least=(1, 1),
    ),
    Law(
        id="long_sequence",
        statement="2,000 tokens of probability 0.1: s = 2000 × ln 0.1",
        catches="a product of probabilities, then its log",
        check=check_long_sequence,
        cases=_long_cases,
        needs=("factory",),
        after=("oracle",),
        models=("tenth",),
        least=(1,),
        numbers=((1, _LONG),),
        smaller=_shorter,
    ),
    Law(
        id="fork_identity",
        statement="single tokens a, b after one prompt: s(a) − s(b) = u_a − u_b",
        catches="a first token dropped, rows shifted, temperatures",
        check=check_fork_identity,
        cases=_fork_cases,
        applies=("open",),
        needs=("factory",),
        valid=lambda bench, case: len(case.parts) == 3 and stands_apart(bench, case),  # noqa: PLR2004 - x, a, b
    ),
    Law(
        id="upcast",
        statement="s equals the float32 log-softmax of the same logits",
        catches="half precision, spurious ties",
        check=check_upcast,
        cases=_upcast_cases,
        needs=("factory",),
        models=("halves",),
        valid=stands_apart,
    ),
)
"""Laws of the formula."""
