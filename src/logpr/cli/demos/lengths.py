"""Worked example 4: log-probabilities add up; per token is another question."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import logpr
from logpr._types import End
from logpr._values import Ranking
from logpr.cli.demos._tell import Picked, best, known, logprobs, odds, plainly, signs
from logpr.report.demo import Picture, Row, Step, Story, Table
from logpr.report.numbers import fixed

SHORT, LONG = "red bus", "red old bus"
TOKENS = {SHORT: (-0.7, -0.4), LONG: (-1.5, -0.9, -1.2)}
CHEAP = -0.05
"""A token that the model is nearly sure of, as there are many in a text that rambles."""
ENDS = {SHORT: -4.0, LONG: -0.1}


def story() -> Story:
    """Return the story, computed."""
    plain = _ranking(TOKENS[LONG])
    totals, means = _totals(plain)
    # As many more tokens as it takes for the mean to prefer the longer reply.
    more = next(number for number in count(1) if _by_mean(_longer(number)) == 1)
    rambling = _totals(_longer(more))
    stopped = logpr.rank(None, _candidates(TOKENS[LONG], ENDS), end="stop")
    whole = [known(score.logprob) for score in stopped.candidates]
    lines = [(number, *_totals(_longer(number))) for number in (0, 1, more - 1, more, 3 * more)]
    names = (SHORT, f"{LONG} + {more}")
    right = Picked(odds(rambling[0]), logprobs(rambling[0], 3), best(rambling[0]))
    wrong = Picked(odds(rambling[1]), logprobs(rambling[1], 3), best(rambling[1]))
    steps = (
        Step(
            "What is asked",
            ("Two replies, with the log-probability of each token after those before it.",),
            Table(
                ("reply", "token 1", "token 2", "token 3"),
                tuple(
                    Row(name, (*logprobs(values, 1), *[""] * (3 - len(values))))
                    for name, values in TOKENS.items()
                ),
            ),
        ),
        Step(
            "What log Pr says",
            ("Probabilities of tokens multiply, so their logarithms add up.",),
            _table(("reply", "log Pr", "per token"), TOKENS, totals, means),
            (
                (
                    "No log-probability is above 0, so each further token makes a reply less "
                    "probable, never more. That is no bias: it is what more words mean."
                ),
            ),
        ),
        Step(
            "What dividing by the length computes",
            (
                (
                    "log Pr / tokens is the mean of the token log-probabilities. It asks how "
                    "likely a token of this reply is, not how likely the reply is."
                ),
                f"Let ‘{LONG}’ ramble on, with tokens of {plainly(CHEAP)} each.",
            ),
            Table(
                ("further tokens", "log Pr", "per token", f"‘{SHORT}’ per token"),
                tuple(
                    Row(
                        str(number),
                        (fixed(sums[1], 2), fixed(ratios[1]), fixed(ratios[0])),
                        mark="wrong" if ratios[1] > ratios[0] else "",
                        note="per token prefers it" * (ratios[1] > ratios[0]),
                    )
                    for number, sums, ratios in lines
                ),
            ),
            (
                (
                    f"After {more} more tokens the mean prefers it. Its log Pr has gone from "
                    f"{fixed(totals[1], 2)} to {fixed(rambling[0][1], 2)}: it was bought with "
                    "words that say nothing."
                ),
            ),
        ),
        Step(
            "Where length belongs: the end",
            (
                (
                    "Whether a reply is long enough is the model's to say: with Pr(END) after "
                    "it. Under --end stop that is one more factor. Here the model expects more "
                    f"words after ‘{SHORT}’, and hardly any after ‘{LONG}’."
                ),
            ),
            Table(
                ("reply", "log Pr of its tokens", "log Pr(END)", "log Pr under stop"),
                tuple(
                    Row(
                        name,
                        (fixed(totals[at]), fixed(ENDS[name]), fixed(whole[at])),
                        odds(whole)[at],
                        "right" if at == stopped.best else "",
                        "picked" * (at == stopped.best),
                    )
                    for at, name in enumerate(TOKENS)
                ),
            ),
            (
                (
                    f"The longer reply wins by {fixed(known(stopped.margin))} nats, and nothing "
                    "was divided by anything."
                ),
            ),
        ),
    )
    margin = rambling[0][0] - rambling[0][1]
    return Story(
        name="lengths",
        title=f"Per token, ‘{LONG}’ and {more} more tokens beat ‘{SHORT}’; log Pr says otherwise",
        steps=steps,
        lesson="Rank by log Pr. Where replies are to end where they end, add log Pr(END) with "
        "--end stop. Per token is another question, and prefers what is easy to go on with.",
        commands=(
            "logpr rank --token-logprobs=-0.7,-0.4 --token-logprobs=-1.5,-0.9,-1.2 a b",
            "logpr rank questions.jsonl --model ./my-model --rule per_token",
            "logpr rank questions.jsonl --model ./my-model --end stop",
        ),
        picture=Picture(
            title=(
                f"Per token prefers {LONG} with {more} more tokens, {fixed(rambling[1][1], 3)} "
                f"over {fixed(rambling[1][0], 3)}; log Pr prefers {SHORT}"
            ),
            head="log Pr of each token",
            lines=(
                ("short", tuple(signs(plainly(v)) for v in TOKENS[SHORT])),
                ("long", tuple(signs(plainly(v)) for v in TOKENS[LONG])),
                ("and on, long", (f"{more} × {signs(plainly(CHEAP))}",)),
            ),
            asks=("Which reply is more probable,", "the short one or the long one?"),
            wrong=wrong.panel(
                ("short", "long"),
                "log Pr per token",
                "picks long: another question",
                f"{signs(wrong.figures[1])} over {signs(wrong.figures[0])} a token",
            ),
            right=right.panel(
                ("short", "long"),
                "log Pr(y | x)",
                f"picks short by {fixed(margin, 1)} nats",
                "each further token costs",
            ),
        ),
        numbers={
            "replies": list(names),
            "logprobs": totals,
            "per_token": means,
            "further_tokens": more,
            "further_token": CHEAP,
            "logprobs_further": rambling[0],
            "per_token_further": rambling[1],
            "end_logprobs": list(ENDS.values()),
            "logprobs_stop": whole,
            "pick_stop": stopped.best,
            "margin_stop": stopped.margin,
        },
    )


def _candidates(
    longer: Sequence[float], ends: dict[str, float] | None = None
) -> list[dict[str, object]]:
    pair = {SHORT: TOKENS[SHORT], LONG: tuple(longer)}
    return [
        {"text": name, "token_logprobs": values}
        | ({} if ends is None else {"end_logprob": ends[name]})
        for name, values in pair.items()
    ]


def _ranking(longer: Sequence[float], end: End = "open") -> Ranking:
    return logpr.rank(None, _candidates(longer), end=end)


def _longer(number: int) -> Ranking:
    return _ranking((*TOKENS[LONG], *[CHEAP] * number))


def _totals(ranking: Ranking) -> tuple[list[float], list[float]]:
    """Return log Pr and log Pr per token of the short reply and of the long one."""
    scores = ranking.candidates
    return [known(each.logprob) for each in scores], [known(each.per_token) for each in scores]


def _by_mean(ranking: Ranking) -> int:
    return dict(ranking.winners)["per_token"] or 0


def _table(
    headers: tuple[str, ...],
    names: Sequence[str] | dict[str, tuple[float, ...]],
    totals: list[float],
    means: list[float],
) -> Table:
    bars = odds(totals)
    rows = zip(names, logprobs(totals), logprobs(means), bars, strict=True)
    return Table(headers, tuple(Row(name, (one, two), bar) for name, one, two, bar in rows))
