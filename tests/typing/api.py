"""The public API as its users call it: checked by mypy, never run.

An ignore here states that the call is an error; mypy fails where it no longer is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import logpr
from logpr._values.check import Severity
from logpr.conformance import Check, Declares, toy_scorer
from logpr.models.base import Model

assert_type(logpr.__version__, str)

lm = logpr.load("builtin")
assert_type(lm, Model)
logpr.load(Path("folder"), dtype="bfloat16", device="cuda")
assert_type(lm.vocab_size, int)
assert_type(lm.end_ids, tuple[int, ...])
assert_type(lm.provenance, logpr.ModelProvenance)

# score
s = logpr.score("The cat sat on the", " warm mat", model=lm)
assert_type(s, logpr.Score)
assert_type(s.logprob, float | None)  # None: dropped by top
assert_type(s.per_token, float | None)
assert_type(s.token_logprobs, tuple[float, ...] | None)
logpr.score(prompt_ids=[1, 5], candidate_ids=[7], model="builtin", end="stop", bos="never")
logpr.score(messages=[{"role": "user", "content": "Hi"}], candidate="Hello!", model=lm)
logpr.score("x", {"token_logprobs": [-0.9, -1.5]})
logpr.score("x", "y", model=lm, evidence=True, joint=True, boundary="marginal", truncate="left")
logpr.score("x", "y", model=lm, end="shut")  # type: ignore[arg-type]
logpr.score("x", "y", model=lm, boundary="none")  # type: ignore[arg-type]
logpr.score("x", "y", lm)  # type: ignore[arg-type, call-arg]
logpr.score("x", 3, model=lm)  # type: ignore[arg-type]

# rank
r = logpr.rank("The cat sat on the", [" warm mat", " plush rug"], model=lm)
assert_type(r, logpr.Ranking)
assert_type(r.best, int)
assert_type(r.order, tuple[int, ...])
assert_type(r.margin, float | None)
assert_type(r.tie, bool)
assert_type(r.winner, logpr.Score)
assert_type(r.candidates, tuple[logpr.Score, ...])
assert_type(r.fork, logpr.Fork | None)
logpr.rank("x", ["a", [1, 2], {"text": "c"}, logpr.Candidate(text="d")], model=lm, rule="per_byte")
logpr.rank("x", ["a", "b"], model=lm, rule=logpr.length_penalty(0.6))
logpr.rank("x", ["a", "b"], model=lm, rule=logpr.pmi("neutral"))
logpr.rank("x", ["a", "b"], model=lm, rule=logpr.vocab_subset(["A", 4]))
logpr.rank("x", ["a"], model=lm, rule=0.6)  # type: ignore[arg-type]


def longest(totals: logpr.Totals) -> float | None:
    """Return a number of one's own."""
    return None if totals.tokens is None else float(totals.tokens)


logpr.rank("x", ["a", "b"], model=lm, rule=logpr.Rule(name="longest", value=longest))

# many
queries = [logpr.Query.of("x", ["a", "b"], label=0), logpr.Query.of(prompt_ids=[1])]
assert_type(queries[0], logpr.Query)
assert_type(logpr.rank_many(queries, model=lm), Iterator[logpr.Ranking])
assert_type(logpr.score_many(iter(queries), model=lm), Iterator[tuple[logpr.Score, ...]])
tally = logpr.AccuracyTally(by="subject")
for ranking in logpr.rank_many(queries, model=lm, settings=logpr.Settings(evidence=True)):
    tally.add(ranking, "physics")
assert_type(tally.report(), logpr.AccuracyReport | None)

# next
n = logpr.next("The cat sat on the", model=lm, k=5, among=[" mat", 7], draw=3, grad=" mat")
assert_type(n, logpr.NextToken)
assert_type(n.entropy, float)
assert_type(n.outcomes, tuple[logpr.Outcome, ...])
logpr.next(logits=[6, 3, 0.5, 0.5], names=["mat", "rug", "floor", "chair"], set={"mat": 12.0})

# values
assert_type(r.to_json(), str)
assert_type(logpr.Ranking.from_json(r.to_json()), logpr.Ranking)
s.logprob = 0.0  # type: ignore[misc]

# errors
try:
    logpr.rank("x", [])
except logpr.errors.QueryError as error:
    assert_type(error, logpr.errors.QueryError)
except ValueError:
    pass


# checks as tests
@logpr.parametrize_with_checks(
    [lambda _, candidates: [-1.0 for _ in candidates]],
    factories={"toy": toy_scorer},
    declares=Declares(unit="bits"),
    expected_failures=lambda _: {"chain_rule": "issue 12"},
    should="fail",
)
def test_scorer(check: Check) -> None:
    """Run one check."""
    assert_type(check.law.severity, Severity)
    check()


logpr.parametrize_with_checks([], should="skip")  # type: ignore[arg-type]
logpr.parametrize_with_checks([], expected_failures=["oracle"])  # type: ignore[arg-type]
