"""Worked examples 3 and 6: logits become probabilities by exp, never by u / Σu."""

from __future__ import annotations

import math
from collections.abc import Sequence

import logpr
from logpr.auditing import faulty_scorer
from logpr.cli.demos._tell import Picked, best, known, logprobs, plainly, shares, table
from logpr.report.demo import Panel, Picture, Row, Step, Story, Table
from logpr.report.numbers import fixed, percent

NAMES = ("A", "B", "C")
PLAIN = (2.0, 1.0, 0.1)
PEAKED = (6.0, 3.0, 0.5, 0.5)
SHIFT = 10.0
RAISED = (4.0, 4.0, 2.0), (4.0, 4.0, 12.0)
SURE = (1.0, 0.004, 0.004)
NEGATIVE = (-3.0, -1.0, -1.0)
PAIR = (3.0, -1.0, 0.0), (2.0, -0.8, 0.4)
TWICE, OTHER = "B B", "B A"


def story() -> Story:
    """Return the story, computed."""
    plain, peaked, sure, negative = map(_both, (PLAIN, PEAKED, SURE, NEGATIVE))
    moved = _both([u + SHIFT for u in PLAIN])
    low, high = map(_both, RAISED)
    lm = table(NAMES, {"": PAIR[0], "B": PAIR[1]})
    scores = faulty_scorer("linear_normalisation", form="product", model=lm)("", [TWICE, OTHER])
    claimed = [math.exp(value) for value in scores]
    ranking = logpr.rank("", [TWICE, OTHER], model=lm)
    true = [math.exp(known(score.logprob)) for score in ranking.candidates]
    factors = [_both(row)[0] for row in PAIR]
    found = logpr.audit(
        [
            _claims([SURE], ["A", "B"]),
            _claims(PAIR, [TWICE, OTHER]),
            _claims([NEGATIVE], ["A", "B"]),
        ]
    )
    most, real = max(sure[0]), sure[1][best(sure[0])]
    told = (
        Step(
            "What is asked",
            (f"A row of logits, {_list(PLAIN)}. What are the probabilities of {_list(NAMES)}?",),
        ),
        Step(
            "What the wrong way computes",
            ("It divides each logit by the sum of the row, Σu.",),
            _table(PLAIN, plain),
            (
                (
                    "Both columns lie in [0, 1] and sum to 1, and the order is the same. So "
                    "nobody looks closer. But the exponential is missing: softmax of "
                    f"{_list(PLAIN)} is {_list([fixed(p, 3) for p in plain[1]])}."
                ),
            ),
        ),
        Step(
            "What log Pr says: a shift changes nothing",
            (
                (
                    f"Add {plainly(SHIFT)} to every logit. Softmax divides out what all have in "
                    "common; u / Σu sees another row."
                ),
            ),
            _table([u + SHIFT for u in PLAIN], moved),
        ),
        Step(
            "What log Pr says: a raised logit costs all others alike",
            (
                (
                    f"Raise C from {plainly(RAISED[0][2])} to {plainly(RAISED[1][2])}. Softmax "
                    "crushes A and B alike, and their ratio stays. u / Σu leaves them "
                    f"{percent(high[0][0])} each."
                ),
            ),
            _table(RAISED[1], high),
            (
                (
                    f"Before, A had {percent(low[1][0])} by softmax. A lead counts as exp of it: "
                    f"of {_list(PEAKED)} the first has {percent(peaked[1][0])}, by u / Σu "
                    f"{percent(peaked[0][0])}."
                ),
            ),
        ),
        Step(
            "Over 0.99, and no reason for it",
            ("Where all other logits lie near 0, the largest takes nearly all of the sum.",),
            _table(SURE, sure),
            (f"{fixed(most, 4)} is claimed where softmax says {fixed(real, 4)}.",),
        ),
        Step(
            "A negative sum turns the order round",
            (
                (
                    f"{_list(NEGATIVE)} sum to {plainly(math.fsum(NEGATIVE))}. Divided by that, "
                    "the smallest logit gets the largest share."
                ),
            ),
            _table(NEGATIVE, negative),
        ),
        Step(
            "Multiplied, and only then the log",
            (
                (
                    f"Two steps, with the rows {_list(PAIR[0])} and {_list(PAIR[1])}. Each "
                    "quotient of B is negative."
                ),
            ),
            Table(
                ("reply", "u / Σu", "and again", "product's log", "exp of it", "Pr"),
                tuple(
                    Row(
                        reply,
                        (
                            *(
                                fixed(row[place])
                                for row, place in zip(factors, at_of(reply), strict=True)
                            ),
                            fixed(scores[at]),
                            fixed(claimed[at]),
                            fixed(true[at]),
                        ),
                        mark="wrong" if at == 0 else "right",
                        note="picked" if at == 0 else "log Pr picks this",
                    )
                    for at, reply in enumerate((TWICE, OTHER))
                ),
            ),
            (
                (
                    "Two negative factors make a product that looks valid. One makes a number "
                    "without a logarithm, and NaN is dropped from the log unseen."
                ),
            ),
        ),
        Step(
            "What the audit says of such numbers",
            ("Two numbers of each of the last three tables, with their rows of logits:",),
            after=(found.sentence,),
        ),
    )
    return Story(
        name="linear",
        title=f"u / Σu claims {fixed(most, 3)} where softmax says {fixed(real, 3)}",
        steps=told,
        lesson="exp before dividing, or better, subtract logsumexp: then every probability lies in "
        "[0, 1], a shift changes nothing, and what one token gains all others lose alike.",
        commands=(
            "logpr next --logits 2,1,0.1 --names A,B,C",
            "logpr next --logits 4,4,2 --names A,B,C --set C=12",
            "logpr audit claims.jsonl --model ./my-model",
        ),
        picture=Picture(
            title=(
                f"Of logits {_list(SURE)}, u / Σu gives the first {fixed(most, 3)}, softmax "
                f"{fixed(real, 3)}"
            ),
            head=f"A logit for {', '.join(NAMES)}",
            lines=tuple((name, ("", "", plainly(u))) for name, u in zip(NAMES, SURE, strict=True)),
            asks=("How probable is A,", "by these logits?"),
            wrong=_panel("u / Σu", sure[0], f"says {fixed(most, 3)}: wrong", "no exponential"),
            right=_panel(
                "softmax", sure[1], f"says {fixed(real, 3)}", "exp(u) over the sum of exp(u)"
            ),
        ),
        numbers={
            "linear": list(plain[0]),
            "softmax": list(plain[1]),
            "linear_moved": list(moved[0]),
            "softmax_moved": list(moved[1]),
            "softmax_peaked": list(peaked[1]),
            "softmax_raised": [list(low[1]), list(high[1])],
            "linear_raised": [list(low[0]), list(high[0])],
            "linear_sure": list(sure[0]),
            "softmax_sure": list(sure[1]),
            "negative_sum": math.fsum(NEGATIVE),
            "linear_negative": list(negative[0]),
            "softmax_negative": list(negative[1]),
            "factors": [row[at] for row, at in zip(factors, at_of(TWICE), strict=True)],
            "product": claimed[0],
            "product_log_of_other": scores[1],
            "probs": true,
            "verdict": found.verdict,
            "faults": [fault.id for fault in found.faults],
            "explained_rows": found.explained_rows,
            "rows_total": found.rows_total,
        },
    )


def at_of(reply: str) -> list[int]:
    """Return which outcomes a reply takes."""
    return [NAMES.index(token) for token in reply.split()]


def _both(row: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return u / Σu and softmax of a row, an outcome each."""
    names = tuple(f"t{at}" for at in range(len(row)))
    scorer = faulty_scorer("linear_normalisation", form="product", model=table(names, {"": row}))
    sizes = [math.exp(steps[0]) for steps in scorer.tokens("", names)]
    # A negative quotient has no logarithm, and its score is NaN.
    odd = [math.isnan(score) for score in scorer("", names)]
    outcomes = logpr.next(logits=row, k=len(row)).outcomes
    probs = {outcome.id: outcome.prob for outcome in outcomes}
    return (
        [-size if negative else size for size, negative in zip(sizes, odd, strict=True)],
        [probs[at] for at in range(len(row))],
    )


def _claims(rows: Sequence[Sequence[float]], replies: Sequence[str]) -> dict[str, object]:
    """Return what such a scorer would print, to four digits, with the rows beside it."""
    after = {" ".join(replies[0].split()[:at]): row for at, row in enumerate(rows)}
    scorer = faulty_scorer("linear_normalisation", form="product", model=table(NAMES, after))
    candidates = [
        {"token_ids": at_of(reply), "logits": rows, "score": f"{score:.4f}"}
        for reply, score in zip(replies, scorer("", replies), strict=True)
    ]
    return {"prompt_ids": [0], "candidates": candidates}


def _list(values: Sequence[object]) -> str:
    return ", ".join(plainly(v) if isinstance(v, float) else str(v) for v in values)


def _table(row: Sequence[float], both: tuple[list[float], list[float]]) -> Table:
    linear, soft = both
    columns = zip(NAMES, row, logprobs(linear), logprobs(soft), soft, strict=True)
    return Table(
        ("outcome", "logit", "u / Σu", "softmax"),
        tuple(Row(name, (plainly(u), one, two), share) for name, u, one, two, share in columns),
    )


def _panel(title: str, values: list[float], verdict: str, detail: str) -> Panel:
    picked = Picked(shares(values), logprobs(values, 3), best(values))
    return picked.panel(NAMES, title, verdict, detail)
