"""Worked example 2: the best first token does not begin the best reply."""

from __future__ import annotations

import math

import logpr
from logpr._values import NextToken
from logpr.cli.demos._tell import Picked, best, known, logprobs, odds, signs, table
from logpr.models.table import TableModel
from logpr.report.demo import Picture, Row, Step, Story, Table
from logpr.report.numbers import fixed, percent, probability, signed, times

PROMPT = "the"
ROWS = {
    "the": {"warm": -0.9, "plush": -1.2, "floor": -2.0},
    "the warm": {"mat": -1.5, "rug": -1.6},
    "the plush": {"rug": -1.1, "mat": -2.5},
}
TOKENS = ("the", "warm", "plush", "floor", "mat", "rug")
REPLIES = ("warm mat", "warm rug", "plush rug", "plush mat")
LENGTH = 2


def story() -> Story:
    """Return the story, computed."""
    lm = table(TOKENS, ROWS, kind="logprobs")
    path = _greedy(lm)
    taken = " ".join(step.outcomes[0].text for step in path)
    spaced = [f" {reply}" for reply in REPLIES]
    all_four = logpr.rank(PROMPT, spaced, model=lm)
    totals = [known(score.logprob) for score in all_four.candidates]
    right = Picked(odds(totals), logprobs(totals), best(totals))
    winner = REPLIES[right.best]
    ranking = logpr.rank(PROMPT, [f" {winner}", f" {taken}"], model=lm, evidence=True)
    why = logpr.explain(ranking, model=lm)
    assert why.fork is not None, "they part at their first token"
    fork = why.fork.gap_at_fork
    firsts = [
        known(score.token_logprobs[0]) for score in ranking.candidates if score.token_logprobs
    ]
    walked = totals[REPLIES.index(taken)]
    steps = (
        Step(
            "What is asked",
            (f"What would the model most probably say after ‘{PROMPT}’, in {LENGTH} words?",),
            Table(
                ("after", "next word", "log Pr"),
                tuple(
                    Row(context, (word, fixed(value, 1)))
                    for context, row in ROWS.items()
                    for word, value in row.items()
                ),
            ),
            ("What a row leaves is the share of other words.",),
        ),
        Step(
            "What the wrong way computes",
            ("It takes the most probable word, feeds it back, and takes the next one: greedy.",),
            Table(
                ("step", "word taken", "Pr", "log Pr"),
                tuple(
                    Row(
                        f"{number}",
                        (step.outcomes[0].text, percent(step.outcomes[0].prob),
                         fixed(step.outcomes[0].logprob)),
                        step.outcomes[0].prob,
                        "wrong",
                    )
                    for number, step in enumerate(path, 1)
                ),
            ),
            (f"It says ‘{taken}’. Each step was the best one there was.",),
        ),
        Step(
            "What log Pr says",
            ("It scores whole replies: the sum over all of their words, each after those before.",),
            Table(
                ("reply", "word 1", "word 2", "log Pr", "Pr"),
                tuple(
                    Row(
                        reply,
                        (*logprobs(score.token_logprobs or ()), right.figures[at],
                         probability(score.logprob)),
                        right.shares[at],
                        "right" if at == right.best else "wrong" if reply == taken else "",
                        "log Pr picks this" if at == right.best else "greedy" * (reply == taken),
                    )
                    for at, (reply, score) in enumerate(
                        zip(REPLIES, all_four.candidates, strict=True)
                    )
                ),
            ),
            (
                (
                    f"Of these four ‘{winner}’ is the best, {fixed(max(totals), 1)} over "
                    f"{fixed(walked, 1)}."
                ),
            ),
        ),
        Step(
            "Where the gap comes from",
            (
                (f"‘{winner}’ beats ‘{taken}’ by {fixed(why.gap)} nats ({times(why.gap)}): "
                f"{signed(fork)} at the fork, {signed(why.gap - fork)} after it."),
                ("It loses at the first word, and more than makes up for it at the second. Greedy "
                "never sees the second word of a reply whose first it has not taken."),
            ),
        ),
    )  # fmt: skip
    names = ("first word", "", "after warm", "after plush")
    shown = ("the", "the", "the warm", "the plush")
    words = ("warm", "plush", "mat", "rug")
    pair = [winner, taken]
    both = [known(score.logprob) for score in ranking.candidates]
    return Story(
        name="greedy",
        title=f"Greedy says ‘{taken}’; ‘{winner}’ is more probable",
        steps=steps,
        lesson="Greedy decoding is bound by its first token. It finds the most probable text only "
        "where that begins with the most probable token. Compare whole replies by log Pr.",
        commands=(
            "logpr rank --prompt 'The cat sat on the' ' warm mat' ' plush rug'",
            "logpr explain --prompt 'The cat sat on the' ' warm mat' ' plush rug'",
            "logpr next 'The cat sat on the'",
        ),
        picture=Picture(
            title=(
                f"Greedy takes {taken.split()[0]} and ends at {taken}, log Pr {fixed(walked, 1)}; "
                f"{winner} has {fixed(max(totals), 1)}"
            ),
            head="log Pr of the next word",
            lines=tuple(
                (name, ("", word, signs(fixed(ROWS[context][word], 1))))
                for name, context, word in zip(names, shown, words, strict=True)
            ),
            asks=("Which reply is the model’s,", f"“{taken}” or “{winner}”?"),
            wrong=Picked(odds(firsts), logprobs(firsts, 1), best(firsts)).panel(
                pair,
                "First word alone (greedy)",
                f"picks {taken}: wrong",
                f"‘{taken.split()[0]}’ is the best first word",
            ),
            right=Picked(odds(both), logprobs(both, 1), best(both)).panel(
                pair,
                "log Pr(y | x)",
                f"picks {winner} by {fixed(why.gap, 1)} nats",
                f"{math.exp(why.gap):.2f} times as probable",
            ),
        ),
        numbers={
            "replies": list(REPLIES),
            "logprobs": totals,
            "greedy": taken,
            "greedy_logprobs": [step.outcomes[0].logprob for step in path],
            "greedy_total": walked,
            "pick": winner,
            "pick_total": max(totals),
            "gap": why.gap,
            "gap_at_fork": fork,
            "gap_after": why.gap - fork,
        },
        explanation=why,
    )


def _greedy(lm: TableModel) -> list[NextToken]:
    """Return the steps of the path that takes the most probable word each time."""
    text, steps = PROMPT, []
    for _ in range(LENGTH):
        steps.append(logpr.next(text, model=lm, k=1))
        text = f"{text} {steps[-1].outcomes[0].text}"
    return steps
