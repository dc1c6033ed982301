"""Worked example 1: the reply with the larger sum of logits is not the more probable one."""

from __future__ import annotations

import math

import logpr
from logpr.auditing import faulty_scorer
from logpr.cli.demos._tell import Picked, best, known, logprobs, odds, plainly, shares, table
from logpr.report.demo import Picture, Row, Step, Story, Table
from logpr.report.numbers import fixed, signed, times

TOKENS = ("A", "B", "C")
ROWS = {"": (10.0, 9.0, 0.0), "A": (0.0, 0.0, 0.0), "B": (8.0, 7.0, 0.0)}
REPLIES = ("A A", "B B")
SHIFT = 10.0


def story() -> Story:
    """Return the story, computed."""
    lm = table(TOKENS, ROWS)
    moved = table(TOKENS, ROWS | {"A": tuple(u + SHIFT for u in ROWS["A"])})
    ranking = logpr.rank("", REPLIES, model=lm, evidence=True)
    why = logpr.explain(ranking, model=lm)
    raw, raw_moved = (faulty_scorer("raw_logit_sum", model=m)("", REPLIES) for m in (lm, moved))
    true, true_moved = (
        [known(score.logprob) for score in logpr.rank("", REPLIES, model=m).candidates]
        for m in (lm, moved)
    )
    assert why.fork is not None, "they part at their first token"
    fork = why.fork.gap_at_fork
    assert why.gap_split is not None, "the ranking has its evidence"
    farther, unsure = why.gap_split
    wrong = Picked(shares(raw), tuple(map(plainly, raw)), best(raw))
    right = Picked(odds(true), logprobs(true), ranking.best)
    winner, loser = REPLIES[right.best], REPLIES[wrong.best]
    names = [f"after {context}" if context else "start" for context in ROWS]
    rows = [tuple(map(plainly, row)) for row in ROWS.values()]
    steps = (
        Step(
            "What is asked",
            (
                (
                    f"A model has three tokens, {', '.join(TOKENS)}. Before each token it gives "
                    "one row of logits, a number a token."
                ),
                f"Which reply is more probable, ‘{REPLIES[0]}’ or ‘{REPLIES[1]}’?",
            ),
            Table(("logits", *TOKENS), tuple(map(Row, names, rows))),
        ),
        Step(
            "What the wrong way computes",
            ("It adds up the logits of the reply's own tokens, as the model gave them.",),
            Table(
                ("reply", "token 1", "token 2", "sum of logits"),
                tuple(
                    Row(
                        score.text or "",
                        (*map(plainly, map(known, score.logit or ())), wrong.figures[at]),
                        wrong.shares[at],
                        wrong.mark(at, "wrong"),
                        wrong.note(at),
                    )
                    for at, score in enumerate(ranking.candidates)
                ),
            ),
            (f"‘{loser}’ is picked, {plainly(max(raw))} over {plainly(min(raw))}.",),
        ),
        Step(
            "Why that means nothing",
            (
                (
                    f"Add {plainly(SHIFT)} to every logit of one row, that after A. Softmax does "
                    "not see it: each probability stays. The sum of logits moves by "
                    f"{plainly(SHIFT)}."
                ),
            ),
            Table(
                ("reply", "sum of logits", "row moved", "log Pr", "row moved"),
                tuple(
                    Row(reply, (*map(plainly, (old, new)), *logprobs(pair)))
                    for reply, old, new, *pair in zip(
                        REPLIES, raw, raw_moved, true, true_moved, strict=True
                    )
                ),
            ),
            (
                (
                    f"Now the sums pick ‘{REPLIES[best(raw_moved)]}’. The model has not changed "
                    "its mind: the rows say the same as before."
                ),
            ),
        ),
        Step(
            "What log Pr says",
            (
                (
                    "From each logit it takes its row's log-normaliser, logz = log of the sum of "
                    "exp(logit) over the whole row. Then it adds up."
                ),
            ),
            Table(
                ("token", "logit", "logz", "log Pr"),
                tuple(
                    Row(f"token {at + 1} of {score.text}", logprobs(parts))
                    for score in ranking.candidates
                    for at, parts in enumerate(
                        zip(
                            map(known, score.logit or ()),
                            map(known, score.logz or ()),
                            score.token_logprobs or (),
                            strict=True,
                        )
                    )
                ),
            ),
            tuple(
                f"log Pr(‘{reply}’) = {fixed(value)}, Pr = {fixed(math.exp(value))}"
                + (": picked." if at == right.best else ".")
                for at, (reply, value) in enumerate(zip(REPLIES, true, strict=True))
            ),
        ),
        Step(
            "Where the gap comes from",
            (
                (
                    f"‘{winner}’ beats ‘{loser}’ by {fixed(why.gap)} nats ({times(why.gap)}): "
                    f"{signed(fork)} at the fork, {signed(why.gap - fork)} after it."
                ),
                (
                    "At the fork both read the same row, so the difference of logits is the "
                    "difference of log Pr. After it each has a row and a normaliser of its own, "
                    "and logits of two rows do not compare."
                ),
                (
                    f"In parts that no shift moves: {signed(farther)} since the tokens of "
                    f"‘{loser}’ are farther from the model's favourites, {signed(unsure)} since "
                    f"the model was less sure on the way of ‘{winner}’."
                ),
            ),
        ),
    )
    return Story(
        name="raw-logits",
        title=f"Sums of raw logits pick ‘{loser}’; log Pr picks ‘{winner}’",
        steps=steps,
        lesson="A logit compares only with the others of its row. Take logsumexp of the row from "
        "it, and it is a log-probability: these add up over the tokens of a reply.",
        commands=(
            "logpr rank --prompt 'The cat sat on the' ' warm mat' ' plush rug'",
            "logpr explain --prompt 'The cat sat on the' ' warm mat' ' plush rug'",
            "logpr audit claims.jsonl --model ./my-model",
        ),
        picture=Picture(
            title=(
                f"Summing raw logits picks {loser}, {plainly(max(raw))} over {plainly(min(raw))}; "
                f"log Pr(y|x) picks {winner} by {why.gap:.3f} nats"
            ),
            head=f"Logits over {', '.join(TOKENS)}",
            lines=tuple(zip(names, rows, strict=True)),
            asks=("Which reply is the model’s,", f"“{REPLIES[0]}” or “{REPLIES[1]}”?"),
            wrong=wrong.panel(
                REPLIES,
                "Sum of raw logits",
                f"picks {loser}: wrong",
                f"{plainly(max(raw))} over {plainly(min(raw))}",
            ),
            right=Picked(right.shares, logprobs(true, 3), right.best).panel(
                REPLIES,
                "log Pr(y | x)",
                f"picks {winner} by {why.gap:.3f} nats",
                f"{math.exp(why.gap):.2f} times as probable",
            ),
        ),
        numbers={
            "replies": list(REPLIES),
            "raw_sums": raw,
            "raw_sums_moved": raw_moved,
            "logprobs": true,
            "logprobs_moved": true_moved,
            "raw_pick": loser,
            "pick": winner,
            "gap": why.gap,
            "gap_at_fork": fork,
            "gap_after": why.gap - fork,
            "gap_in_logit_gap": farther,
            "gap_in_top_surprisal": unsure,
        },
        explanation=why,
    )
