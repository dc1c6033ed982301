"""Laws of the prompt: it is conditioned on, whole, with its start token, and never scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from logpr.conformance.bench import Ask, Bench, CannotJudgeError, Compared
from logpr.conformance.case import OWN, Case, Part
from logpr.conformance.laws._law import MOVED, Drawing, Law, equal, require_room, toy_or_own
from logpr.conformance.targets.base import ScorerError
from logpr.conformance.toy.weights import CONTEXT

_SEEN = 0.05
"""Nats by which the last prompt token has to move a score of the toy to make a case."""


_SEEDS = (0, 1 << 31)
"""Of long texts."""


def _excluded_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    alphabet = bench.alphabet("order1")
    found = 0
    while found < 4:  # noqa: PLR2004 - cases
        first, last, y = draw.parts("order1", (1, 3), (1, 1), (1, 4))
        (second,) = draw.parts("order1", (1, 6))
        if first != second and alphabet.clean((second, last, y)):
            found += 1
            yield Case("prompt_excluded", "order1", (first, second, last, y))


def _valid_excluded(bench: Bench, case: Case) -> bool:
    if len(case.parts) != 4 or not case.parts[2] or not case.parts[3]:  # noqa: PLR2004 - as drawn
        return False
    first, second, last, y = case.parts
    alphabet = bench.alphabet(case.model)
    return first != second and all(alphabet.clean((each, last, y)) for each in (first, second))


def check_prompt_excluded(bench: Bench, case: Case) -> Iterator[Compared]:
    """Where only the last token matters, editing the prompt before it leaves s."""
    first, second, last, y = case.parts
    scored = bench.ask(case.model, [Ask(first + last, (y,)), Ask(second + last, (y,))])
    words = [bench.words(case.model, part + last, y) for part in (first, second)]
    what = f"{words[1]}, against {words[0]}, on a model that sees one token"
    size = 2 * len(y) + 2
    yield equal(bench, case.model, what, scored[1][0].total, scored[0][0].total, size)


def _used_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    model = toy_or_own(bench)
    alphabet = bench.alphabet(model)
    found = 0
    while found < 4:  # noqa: PLR2004 - cases
        x, first, y = draw.parts(model, (1, 4), (1, 1), (1, 3))
        (second,) = draw.parts(model, (1, 1))
        if first == second or not alphabet.clean((x, second, y)):
            continue
        if model != OWN:
            truths = [bench.truth(model, x + last, y).logprob for last in (first, second)]
            if abs(truths[0] - truths[1]) < _SEEN * (len(y) + 1):
                continue
        found += 1
        yield Case("prompt_used", model, (x, first, second, y))


def check_prompt_used(bench: Bench, case: Case) -> Iterator[Compared]:
    """Editing the prompt's last token moves s."""
    x, first, second, y = case.parts
    scored = bench.ask(case.model, [Ask(x + first, (y,)), Ask(x + second, (y,))])
    words = [bench.words(case.model, x + last, y) for last in (first, second)]
    size = 2 * len(y) + 2
    floor = bench.floor(case.model, size)
    # What does not see the prompt gives the same number to the bit, in half precision too; and a
    # trained model may hardly look at a rare token. All that is more than noise is a difference.
    least = min(bench.tolerance(case.model, size), max(floor, MOVED * size))
    yield Compared(
        f"{words[1]}, which is to differ from {words[0]}",
        scored[1][0].level,
        scored[0][0].level,
        least,
        relation="!=",
        effect=0.01 * size,
        floor=floor,
    )


def _fixed(bench: Bench, case: Case) -> bool:
    """Such cases are shrunk by their numbers alone."""
    return case.model == bench.toy(case.model).name


def _long(bench: Bench, model: str, length: int, seed: int) -> Part:
    """Return so many tokens drawn by lot, always the same for the same seed."""
    # No space but within words: folded spaces are another law's.
    space = bench.toy(model).pieces.names.index(b" ")
    (part,) = Drawing(bench, "long", seed).parts(model, (length, length), without=(space,))
    return part


def _chunk_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    del bench, draw
    yield Case("chunking", "toy", (), (1200, 200, 1))
    yield Case("chunking", "toy", (), (150, 1250, 2))
    # With the start token, as long as the context: nothing has to be cut.
    yield Case("chunking", "toy", (), (CONTEXT - 61, 60, 3))


def _shorter(case: Case) -> Iterator[Case]:
    first, second, seed = case.numbers
    for share in (8, 4, 2):
        yield Case(case.check, case.model, (), (first - first // share, second, seed))
        yield Case(case.check, case.model, (), (first, second - second // share, seed))


def check_chunking(bench: Bench, case: Case) -> Iterator[Compared]:
    """A long input has the closed form's score, however it is cut into windows."""
    require_room(bench)
    before, after, seed = case.numbers
    whole = _long(bench, case.model, before + after, seed)
    x, y = whole[:before], whole[before:]
    if not bench.alphabet(case.model).clean((x, y)):
        x, y = whole[: before - 1], whole[before - 1 :]
    try:
        (each,) = bench.score(case.model, x, y)
    except ScorerError as error:
        if error.kind == "raised" and before + after + 1 >= CONTEXT:
            return  # some leave room for a token to come, and say so
        raise
    truth = bench.truth(case.model, x, y)
    what = bench.words(case.model, x, y)
    yield equal(bench, case.model, what, each.total, truth.logprob, len(y) + 1)


def _truncation_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    del bench, draw
    yield Case("truncation", "toy", (), (CONTEXT + 4, 5, 3))


def check_truncation(bench: Bench, case: Case) -> Iterator[Compared]:
    """x + y over the context length is refused, or cut with a word about it and y whole."""
    total, after, seed = case.numbers
    whole = _long(bench, case.model, total, seed)
    x, y = whole[:-after], whole[-after:]
    if not bench.alphabet(case.model).clean((x, y)):
        x, y = whole[: -after - 1], whole[-after - 1 :]
    try:
        (each,) = bench.score(case.model, x, y)
    except ScorerError as error:
        if error.kind != "raised":
            raise
        return
    what = (
        f"{bench.words(case.model, x, y)}, {total - CONTEXT} tokens more than the model's context"
    )
    if each.tokens is not None and len(each.tokens) < len(y):
        yield Compared(what, f"{len(each.tokens)} token scores", f"{len(y)}, or an error")
        return
    if bench.last_said:
        return
    if bench.architecture == "llama":
        # Its positions go on beyond the context that it declares: nothing needs to be cut.
        whole_truth = bench.truth(case.model, x, y).logprob
        if abs(each.total - whole_truth) <= bench.tolerance(case.model, len(y) + 1):
            return
    yield Compared(what, f"{each.total:.6g}, and no word about it", "an error, or a warning")


def _start_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    del bench
    for model in ("toy", "startless"):
        for _ in range(2):
            yield Case("bos_once", model, draw.parts(model, (2, 4), (1, 3)))


def check_bos_once(bench: Bench, case: Case) -> Iterator[Compared]:
    """The start token is fed as often as declared: `auto`, where the tokenizer adds it."""
    prompt, part = case.parts
    toy = bench.toy(case.model)
    total, truths, fits = _starts_fed(bench, case)
    declared = bench.declares.bos
    wanted = int(toy.variant.adds_start if declared == "auto" else declared == "always")
    tolerance = bench.tolerance(case.model, len(part) + 1)
    if not fits and case.model != "toy" and _starts_fed(bench, replace(case, model="toy"))[2]:
        # Right with one kind of tokenizer, and with the other nothing that start tokens explain.
        what = f"{bench.words(case.model, prompt, part)} with a tokenizer that adds no start token"
        yield Compared(what, total, truths[wanted], tolerance)
        return
    if not fits:
        msg = "its numbers are those of no start tokens, of one, nor of two: see `oracle`"
        raise CannotJudgeError(msg, blocked=True)
    # Where the tolerance is wide, several counts fit.
    fed = wanted if wanted in fits else fits[0]
    counts = ("no start token", "one start token", "two start tokens")
    adds = "adds one" if toy.variant.adds_start else "adds none"
    what = (
        f"{bench.words(case.model, prompt, part)} with a tokenizer that {adds}, "
        f"bos declared {declared!r}: fed with {counts[fed]}"
    )
    yield Compared(what, truths[fed], truths[wanted], tolerance)


def _starts_fed(bench: Bench, case: Case) -> tuple[float, list[float], list[int]]:
    """Return s, what it is with 0, 1 and 2 start tokens, and which of these it equals."""
    prompt, part = case.parts
    toy = bench.toy(case.model)
    bare, tokens = bench.read(case.model, prompt, part, bos="never")
    (each,) = bench.score(case.model, prompt, part)
    start, end = (toy.pieces.start_id,), bench.declares.end
    truths = [toy.truth(start * count + bare, tokens, end).logprob for count in range(3)]
    tolerance = bench.tolerance(case.model, len(tokens) + 1)
    fits = [count for count, truth in enumerate(truths) if abs(each.total - truth) <= tolerance]
    return each.total, truths, fits


_PROMPT, _CANDIDATE = 0, 1


def _empty_cases(bench: Bench, draw: Drawing) -> Iterator[Case]:
    models = ("startless",) if bench.declares.ids else ("toy", "startless")
    if not bench.target.factory:
        yield Case("empty_inputs", OWN, (*draw.parts(OWN, (2, 4)), ()), (_CANDIDATE,))
        return
    for model in models:
        for _ in range(2):
            yield Case("empty_inputs", model, ((), *draw.parts(model, (1, 3))), (_PROMPT,))
    yield Case("empty_inputs", "toy", (*draw.parts("toy", (2, 4)), ()), (_CANDIDATE,))


def _valid_empty(bench: Bench, case: Case) -> bool:
    if len(case.parts) != 2:  # noqa: PLR2004 - x and y
        return False
    return bool(case.parts[1 - case.numbers[0]]) and bench.alphabet(case.model).clean(case.parts)


def check_empty_inputs(bench: Bench, case: Case) -> Iterator[Compared]:
    """An empty prompt or candidate has its defined value, or is refused with a clear error.

    An empty y: 0 under `open`, log Pr(END) under `stop`. An empty x: the start token alone stands
    before y; where none is to be fed, only a refusal is right.
    """
    x, y = case.parts
    what = bench.words(case.model, x, y)
    try:
        (each,) = bench.score(case.model, x, y)
    except ScorerError as error:
        if error.fatal or error.kind == "mutated_input":
            raise
        if not error.refusal:
            found = error.message
            yield Compared(what, found[:300], "a value, or a ValueError that says why")
        return
    if case.model == OWN:
        if bench.declares.end == "open":
            yield equal(bench, case.model, what, each.total, 0.0, 1)
        else:
            yield Compared(what, each.total, 0.0, bench.tolerance(case.model, 1), relation="<=")
        return
    toy = bench.toy(case.model)
    context, tokens = bench.read(case.model, x, y)
    if not context and bench.declares.bos == "never":
        yield Compared(what, f"{each.total:.6g}", "an error: nothing stands before y")
        return
    truth = toy.truth(context or (toy.pieces.start_id,), tokens, bench.declares.end)
    yield equal(bench, case.model, what, each.total, truth.logprob, len(tokens) + 1)


def _never_shrunk(case: Case) -> Iterator[Case]:
    del case
    yield from ()


PROMPTS = (
    Law(
        id="prompt_excluded",
        statement="where a model sees one token, editing the prompt before it leaves s",
        catches="the prompt in the sum",
        check=check_prompt_excluded,
        cases=_excluded_cases,
        needs=("factory",),
        after=("repeat",),
        models=("order1",),
        valid=_valid_excluded,
    ),
    Law(
        id="prompt_used",
        statement="editing the last prompt token moves s",
        catches="unconditional scores",
        check=check_prompt_used,
        cases=_used_cases,
        own=True,
        smaller=_never_shrunk,
        least=(1, 1, 0, 1),
        valid=lambda bench, case: (
            len(case.parts) == 4  # noqa: PLR2004 - as drawn
            and bench.alphabet(case.model).clean((*case.parts[:2], case.parts[3]))
        ),
    ),
    Law(
        id="chunking",
        statement="a long input scored in one or several windows has the same score",
        catches="cache faults, windows that start anew",
        check=check_chunking,
        cases=_chunk_cases,
        needs=("factory",),
        after=("oracle",),
        numbers=((2, CONTEXT), (2, CONTEXT), _SEEDS),
        valid=lambda bench, case: _fixed(bench, case) and sum(case.numbers[:2]) < CONTEXT,
        smaller=_shorter,
    ),
    Law(
        id="bos_once",
        statement="start tokens are fed as declared",
        catches="a start token missing or doubled",
        check=check_bos_once,
        cases=_start_cases,
        needs=("factory", "text"),
        models=("toy", "startless"),
        least=(1, 1),
    ),
    Law(
        id="empty_inputs",
        statement="an empty prompt or candidate: a defined value or a clear error",
        catches="silent zeros",
        check=check_empty_inputs,
        cases=_empty_cases,
        severity="SHOULD",
        after=("oracle",),
        models=("toy", "startless"),
        own=True,
        numbers=((_PROMPT, _CANDIDATE),),
        valid=_valid_empty,
    ),
    Law(
        id="truncation",
        statement="too long: raises or says so, y whole",
        catches="silent cuts",
        check=check_truncation,
        cases=_truncation_cases,
        needs=("factory",),
        after=("oracle",),
        numbers=((CONTEXT + 1, 2 * CONTEXT), (2, CONTEXT), _SEEDS),
        valid=_fixed,
        smaller=_never_shrunk,
    ),
)
"""Laws of the prompt."""
