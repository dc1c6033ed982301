"""What numbers show by themselves, and what correct ones never show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from logpr import Query
from logpr.auditing.claims.fingerprints import fingerprints
from logpr.auditing.claims.grid import grid_of
from logpr.auditing.claims.printed import printed
from logpr.auditing.claims.values import Claim, ClaimRow, Declares
from logpr.numerics import log_softmax

Number = float | str | None
LOGS = ("nats", "bits", "log10")


def row(
    scores: Sequence[Number],
    *,
    tokens: Sequence[Sequence[Number]] | None = None,
    texts: Sequence[str] | None = None,
    fields: dict[str, Any] | None = None,
    extra: dict[str, Sequence[Any]] | None = None,
    **declares: Any,  # noqa: ANN401 - of Declares
) -> ClaimRow:
    """Return a record whose candidates have these claims."""
    candidates = [
        {
            "text": f" y{place}" if texts is None else texts[place],
            **{name: values[place] for name, values in (extra or {}).items()},
        }
        for place in range(len(scores))
    ]
    claims = tuple(
        Claim(
            score=None if score is None else printed(score),
            token_scores=None
            if tokens is None
            else tuple(printed(one) for one in tokens[place] if one is not None),
        )
        for place, score in enumerate(scores)
    )
    return ClaimRow(
        query=Query.of("x", candidates),
        claims=claims,
        where="here",
        declares=Declares(**declares),
        fields=fields or {},
    )


def ids(*rows: ClaimRow, counts: Sequence[int | None] | None = None) -> list[str]:
    """Return the ids found."""
    return [finding.id for finding in fingerprints(rows, counts=counts)]


def one(name: str, *rows: ClaimRow, counts: Sequence[int | None] | None = None) -> Any:  # noqa: ANN401 - a Finding
    """Return the only finding of this id."""
    (found,) = [f for f in fingerprints(rows, counts=counts) if f.id == name]
    return found


ORDINARY = [-2.4031, -7.1193, -13.0227, -4.5508, -9.9012]


def test_ordinary_numbers_show_nothing() -> None:
    """Five log-probabilities of four decimals."""
    assert ids(row(ORDINARY), row([-3.3017, -1.2284]), counts=[2, 3, 4, 3, 5, 1, 2]) == []


def test_no_claims_show_nothing() -> None:
    """An empty file, a row without candidates, candidates without a claim."""
    assert ids() == []
    assert ids(row([])) == []
    assert ids(row([None, None, None])) == []


# laws


SCORERS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "unit": st.sampled_from([*LOGS, "probability"]),
        "rule": st.sampled_from(["logprob", "per_token", "per_char", "length_penalty(0.7)"]),
        "decimals": st.integers(1, 8),
        "spread": st.sampled_from([0.5, 3.0, 20.0]),
        "sizes": st.lists(st.integers(1, 6), min_size=1, max_size=4),
    }
)


def correct(
    *, seed: int, unit: str, rule: str, decimals: int, spread: float, sizes: list[int]
) -> tuple[list[ClaimRow], list[int]]:
    """Return claims of a correct scorer over random rows, and the tokens' counts."""
    rng = np.random.default_rng(seed)
    by = {"nats": 1.0, "bits": math.log(2), "log10": math.log(10), "probability": 1.0}[unit]
    rows, counts = [], []
    for candidates in sizes:
        scores: list[str] = []
        tokens: list[list[str]] = []
        for _ in range(candidates):
            n = int(rng.integers(1, 6))
            u = (rng.normal(size=(n, 7)) * spread).astype(np.float32)
            steps = np.asarray(log_softmax(u), dtype=np.float32)[:, 0].astype(np.float64)
            size = {"logprob": 1, "per_token": n, "per_char": 3 * n}.get(rule, n**0.7)
            total = steps.sum() / size / by
            if unit == "probability":
                total, steps = math.exp(total), np.exp(steps)
            scores.append(f"{total:.{decimals}f}")
            tokens.append([f"{step / by:.{decimals}f}" for step in steps])
            counts.append(n)
        rows.append(row(scores, tokens=tokens, unit=unit, rule=rule))
    return rows, counts


@given(SCORERS)
def test_a_correct_scorer_is_never_accused(scorer: dict[str, Any]) -> None:
    """Whatever its unit, its rule and its digits."""
    rows, counts = correct(**scorer)
    assert not [found for found in fingerprints(rows, counts=counts) if found.accuses]


@given(SCORERS, st.integers(0, 100), st.floats(0.6, 40.0))
def test_one_positive_logarithm_is_always_seen(
    scorer: dict[str, Any], place: int, value: float
) -> None:
    """Half a unit of the coarsest digits above 0, anywhere in the file."""
    rows, _ = correct(**scorer)
    unit, rule = rows[0].declares.unit, rows[0].declares.rule
    scores = [claim.score for claim in rows[0].claims]
    texts: list[Number] = [None if score is None else score.text for score in scores]
    texts[place % len(texts)] = f"{value:.1f}"
    changed = [row(texts, unit=unit, rule=rule), *rows[1:]]
    found = [one for one in fingerprints(changed) if one.accuses]
    if unit == "probability":
        assert [one.id for one in found] == (["above_one"] if round(value, 1) > 1.051 else [])
    else:
        assert [(one.id, one.rows) for one in found] == [("positive_value", 1)]


# bounds


def test_positive_values() -> None:
    """Mixed signs suggest raw logits; all positive a sign turned, and more."""
    mixed = one("positive_value", row(["-1.20", "3.40", "0.10"]))
    assert (mixed.rows, mixed.accuses) == (2, True)
    assert mixed.suggests[0] == "raw_logit_sum"
    assert "negated" not in mixed.suggests
    assert "' y1'" in mixed.says
    assert one("positive_value", row(["1.20", "3.40", "9.10"])).suggests[:2] == (
        "perplexity",
        "negated",
    )
    assert one("positive_value", row(["0.20", "3.40"])).suggests[0] == "negated"
    assert one("positive_value", row(["0.20", "0.40"])).suggests[0] == "probability"


@pytest.mark.parametrize("text", ["0.00", "0", "0.0009", "-0.0", "1e-7"])
def test_what_rounds_to_zero_is_not_positive(text: str) -> None:
    """A token of probability 1 may be printed so, and float32 may carry it over."""
    assert "positive_value" not in ids(row([text, "-3.1234"]))


def test_positive_token_scores() -> None:
    """One step above 0 is enough; the candidate is counted once."""
    found = one("positive_value", row([-1.5, -2.5], tokens=[[-3.19, 1.69], [-1.25, -1.25]]))
    assert (found.rows, found.accuses) == (1, True)
    assert "1.69" in found.says


@pytest.mark.parametrize(
    "declares", [{"rule": "pmi"}, {"rule": "bits_per_byte"}, {"unit": "perplexity"}]
)
def test_what_may_be_positive(declares: dict[str, str]) -> None:
    """Some numbers are rightly above 0."""
    assert not [f for f in fingerprints([row(["1.71", "3.42", "2.13"], **declares)]) if f.accuses]


def test_probabilities() -> None:
    """All in [0, 1]; declared as such they are nothing to remark."""
    scores = ["0.2541", "0.0012", "0.5119"]
    found = one("looks_like_probability", row(scores))
    assert (found.rows, found.accuses) == (3, False)
    assert "probability" in found.suggests
    assert ids(row(scores, unit="probability")) == []
    assert ids(row(scores, rule="choice_prob")) == []
    assert "looks_like_probability" not in ids(row(["0.2541", "-0.0012", "0.5119"]))
    assert "looks_like_probability" not in ids(row(["0.25", "0.12"], rule="bits_per_byte"))


def test_probabilities_out_of_bounds() -> None:
    """Above 1 and below 0, declared; above 1 among nothing but probabilities, not declared."""
    rows = row(["0.25", "1.31", "-0.07", "0.51"], unit="probability")
    above, below = one("above_one", rows), one("negative_probability", rows)
    assert (above.rows, above.accuses, above.suggests[0]) == (1, True, "linear_normalisation")
    assert (below.rows, below.accuses, below.suggests) == (1, True, ("linear_normalisation",))
    assert "above_one" not in ids(row(["0.25", "1.00", "1.0"], unit="probability"))
    logs = row(["-2.5", "-1.3"], unit="probability")
    assert one("negative_probability", logs).suggests == ("nats",)
    undeclared = one("above_one", row(["0.25", "0.11", "0.77", "0.31", "1.62"]))
    assert (undeclared.rows, undeclared.accuses) == (1, False)


def test_not_a_number() -> None:
    """NaN accuses, in a score or a token's."""
    assert one("nan_values", row(["nan", "-1.5"])).accuses
    assert one("nan_values", row(["-2.5", "-1.5"], tokens=[["nan"], ["-1.5"]])).rows == 1


def test_infinite_numbers() -> None:
    """+inf accuses of a logarithm, not of a perplexity; −inf accuses of nothing."""
    up = one("infinite_values", row(["inf", "-1.5"]))
    assert (up.accuses, up.rows) == (True, 1)
    assert not one("infinite_values", row(["inf", "1.5"], unit="perplexity")).accuses
    down = one("infinite_values", row(["-inf", "-800.5", "-3.1"]))
    assert (down.accuses, down.suggests) == (False, ("vocab_rows_masked",))


@pytest.mark.parametrize(
    ("unit", "least", "dtype"),
    [
        ("nats", -103.2, "float32"),
        ("nats", -103.4, "float64"),
        ("nats", -745.1, "float64"),
        ("nats", -745.3, None),
        ("bits", -148.9, "float32"),
        ("bits", -149.1, "float64"),
        ("log10", -44.8, "float32"),
        ("log10", -323.5, "float64"),
    ],
)
def test_underflow(unit: str, least: float, dtype: str | None) -> None:
    """The threshold is that of the smallest float above 0, in any unit."""
    found = ids(row([-3.25, least, "-inf", "-inf"], unit=unit))
    assert ("underflow" in found) == (dtype is not None)
    assert ("infinite_values" in found) == (dtype is None)
    if dtype is not None:
        finding = one("underflow", row([-3.25, least, "-inf", "-inf"], unit=unit))
        assert finding.rows == 2
        assert finding.suggests[0] == "product_then_log"
        assert dtype in finding.says


def test_underflow_far_above_its_floor() -> None:
    """A −inf among small numbers is as likely a masked token; a mean underflows elsewhere."""
    assert one("underflow", row([-3.25, "-inf"])).suggests[0] == "vocab_rows_masked"
    assert "underflow" not in ids(row([-90.25, "-inf"], rule="per_token"))


def test_the_floors_are_those_of_the_floats() -> None:
    """What is below the floor is 0 in that dtype, and what is a little above is not."""
    for dtype, floor in ((np.float32, -103.28), (np.float64, -745.14)):
        smallest = float(np.log(np.float64(np.nextafter(dtype(0), dtype(1)))))
        assert floor <= smallest + 0.7
        assert smallest - 0.71 < floor <= smallest


def test_percentages() -> None:
    """They are read as shares, and said to be such."""
    found = one("percent", row(["12.5%", "30.1%"]))
    assert (found.rows, found.accuses) == (2, False)
    assert found.suggests == ("probability", "choice_prob")
    assert one("percent", row(["12.5%", "30.1%"], unit="probability")).suggests == ()


# meetings


@given(
    st.lists(st.lists(st.floats(-5.0, 5.0), min_size=3, max_size=6), min_size=1, max_size=3),
    st.integers(3, 6),
)
def test_softmax_over_the_candidates_is_seen(numbers: list[list[float]], decimals: int) -> None:
    """choice_prob sums to 1, and its logarithms after exp."""
    shares = [np.exp(np.asarray(log_softmax(np.array(scores)))) for scores in numbers]
    plain = [row([f"{p:.{decimals}f}" for p in record]) for record in shares]
    assert one("sums_to_one", *plain).suggests == ("choice_prob",)
    meant = [row([f"{p:.6f}" for p in record], rule="choice_prob") for record in shares]
    assert "sums_to_one" not in ids(*meant)
    logs = [row([f"{math.log(p):.{decimals}f}" for p in record]) for record in shares]
    assert one("sums_to_one", *logs).suggests[0] == "candidates_softmax"


@pytest.mark.parametrize(
    "scores",
    [
        [["0.30", "0.69"]],
        [["0.3012", "0.6988"]],
        [["0.3012", "0.6951", "0.0137"], ["0.31", "0.6951", "0.2137"]],
        [["0", "1", "0"]],
        [["1.9", "-0.9", "0.0"]],
        [["0.30", "0.70"], ["0.40", None]],
    ],
)
def test_what_does_not_sum_to_one(scores: list[list[Number]]) -> None:
    """Too few, too coarse, not everywhere, or no probabilities."""
    assert "sums_to_one" not in ids(*map(row, scores))


HALVES = st.sampled_from(["bfloat16", "float16"])


@given(st.lists(st.floats(-40.0, -4.0), min_size=8, max_size=20), HALVES, st.integers(4, 7))
def test_half_precision_is_seen(values: list[float], dtype: str, decimals: int) -> None:
    """Numbers of such a float, printed with digits that it does not have."""
    numbers = torch.tensor(values).to(getattr(torch, dtype)).double().unique()
    if len(numbers) < 5 or (numbers == numbers.round()).all():
        return
    found = grid_of([printed(f"{value:.{decimals}f}") for value in numbers.tolist()])
    coarse = bool((numbers.to(torch.bfloat16).double() == numbers).all())
    assert found == ("are bfloat16 numbers" if coarse else "are float16 numbers")


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.floats(-900.0, -2.0))
def test_float32_numbers_are_on_no_grid(seed: int, decimals: int, low: float) -> None:
    """Random float32 numbers of any size and digits."""
    values = np.random.default_rng(seed).uniform(low, low / 2, 20).astype(np.float32)
    assert grid_of([printed(f"{value:.{decimals}f}") for value in values]) is None
    assert grid_of([printed(float(value)) for value in values]) is None


def test_grids() -> None:
    """bfloat16 numbers, sums of such, in scores or in tokens' scores; not whole numbers."""
    values = [-14.0625, -9.4375, -6.46875, -12.8125, -8.875, -11.1875, -5.90625, -7.34375]
    found = one("power_of_two_grid", row(values))
    assert (found.suggests, found.rows, found.accuses) == (("half_precision",), 8, False)
    assert "bfloat16" in found.says
    sums = [value - 100.15625 for value in values]
    assert "multiples of 1/32" in one("power_of_two_grid", row(sums)).says
    by_token = row([-2.123] * 2, tokens=[values[:4], values[4:]])
    assert one("power_of_two_grid", by_token).rows == 2
    assert "power_of_two_grid" not in ids(row([float(round(value)) for value in values]))
    whole = [f"{round(value * 20)}.0000" for value in values]
    assert "power_of_two_grid" not in ids(row(whole))
    # At one decimal nearly every number is near some point of the grid.
    assert "power_of_two_grid" not in ids(row([f"{value:.1f}" for value in values]))


def test_all_equal() -> None:
    """One number for different texts; the same text may have it twice."""
    found = one("all_equal", row([-2.125, -2.125], texts=["a", "b"]), row([-2.125], texts=["c"]))
    assert found.rows == 3
    assert "duplicates" not in ids(row([-2.125] * 4))
    assert "all_equal" not in ids(row([-2.125] * 4, texts=["a"] * 4))
    assert "all_equal" not in ids(row([-2.125, -2.125]))


def test_duplicates() -> None:
    """Equal numbers of six digits are no accident; of two digits they are, and of one text."""
    scores = ["-2.402133", "-7.118901", "-2.402133", "-9.023457"]
    found = one("duplicates", row(scores), row(["-5.123456", "-1.223456"]))
    assert (found.rows, found.accuses) == (2, False)
    assert "half_precision" in found.suggests
    assert "duplicates" not in ids(row(scores, texts=["a", "b", "a", "c"]))
    assert "duplicates" not in ids(row(["-2.4", "-7.1", "-2.4", "-9.0"]))
    # Equal numbers after different prompts are no tie.
    assert "duplicates" not in ids(row(scores[:2]), row(scores[2:]))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 30))
def test_random_numbers_rarely_meet(seed: int, decimals: int, size: int) -> None:
    """Ties that the digits explain are not remarked on."""
    rng = np.random.default_rng(seed % 500)
    scores = [f"{value:.{decimals}f}" for value in -rng.gamma(2.0, 5.0, size)]
    assert "duplicates" not in ids(row(scores))


def test_whole_numbers() -> None:
    """Rounded to integers, with or without a point."""
    assert one("integers", row(["-3", "-12"])).rows == 2
    assert one("integers", row([-3.0, -12.0, -7.0, -8.0])).rows == 4
    assert "integers" not in ids(row([-3.0, -12.0, -7.0]))
    assert "integers" not in ids(row(["-3", "-12", "-4.5"]))


# ratios


@pytest.mark.parametrize(
    ("by", "suggests", "says"),
    [
        (1 / math.log(2), ("in_bits",), "1/ln 2"),
        (1 / math.log(10), ("in_log10",), "1/ln 10"),
        (-1.0, ("negated",), "−1 times"),
        (-1 / math.log(2), ("in_bits", "negated"), "−1/ln 2"),
        (1.0, (), "equal to"),
        (0.31, (), "0.31 times"),
    ],
)
@pytest.mark.parametrize("decimals", [3, 8])
@pytest.mark.parametrize("beside", [False, True])
def test_constant_ratio_to_a_column(
    by: float, suggests: tuple[str, ...], says: str, decimals: int, *, beside: bool
) -> None:
    """A field of the candidates, or a list beside them, as numbers or as text."""
    scores = [f"{value * by:.{decimals}f}" for value in ORDINARY]
    column: list[Any] = [str(value) if place % 2 else value for place, value in enumerate(ORDINARY)]
    given_ = (
        row(scores, fields={"logprob": column})
        if beside
        else row(scores, extra={"logprob": column})
    )
    found = one("constant_ratio", given_)
    assert (found.suggests, found.rows, found.accuses) == (suggests, 5, False)
    assert says in found.says
    assert "'logprob'" in found.says


def test_float32_columns() -> None:
    """Numbers that were float32 once agree to seven digits only, and are printed with more."""
    column = [float(np.float32(value)) for value in ORDINARY]
    scores = [float(np.float32(value / math.log(2))) for value in column]
    assert one("constant_ratio", row(scores, extra={"lp": column})).suggests == ("in_bits",)


def test_columns_that_are_no_ratio() -> None:
    """Other numbers, words, constants, too few, too coarse."""
    assert "constant_ratio" not in ids(row(ORDINARY, extra={"rank": [3, 1, 5, 2, 4]}))
    assert "constant_ratio" not in ids(row(ORDINARY, extra={"name": list("abcde")}))
    assert "constant_ratio" not in ids(row(ORDINARY, extra={"on": [True] * 5}))
    assert "constant_ratio" not in ids(row(ORDINARY[:3], extra={"lp": ORDINARY[:3]}))
    assert "constant_ratio" not in ids(row(["-1"] * 5, extra={"lp": [-1.0] * 5}))
    assert "constant_ratio" not in ids(
        row(["-1"] * 5, extra={"lp": [-1.1, -0.9, -1.2, -1.0, -0.8]})
    )
    constant = row(["-2.4031"] * 5, extra={"lp": [-1.2016] * 5})
    assert "constant_ratio" not in ids(constant)
    off = [*ORDINARY[:4], -9.8]
    assert "constant_ratio" not in ids(row(ORDINARY, extra={"lp": off}))


def test_a_column_divided_by_the_tokens() -> None:
    """The claims are the mean of a column that is a sum."""
    counts = [2, 3, 4, 3, 5]
    mean = [f"{value / n:.5f}" for value, n in zip(ORDINARY, counts, strict=True)]
    found = one("constant_ratio", row(mean, extra={"lp": ORDINARY}), counts=counts)
    assert found.suggests == ("mean",)
    assert "constant_ratio" not in ids(row(mean, extra={"lp": ORDINARY}))


@given(
    st.lists(st.integers(1, 30), min_size=5, max_size=9).filter(lambda n: len(set(n)) > 1),
    st.floats(0.5, 12.0),
)
def test_the_same_number_a_token(counts: list[int], each: float) -> None:
    """A score that is the tokens times a constant; one that is off is not."""
    scores = [f"{-each * n:.4f}" for n in counts]
    found = one("constant_per_token", row(scores), counts=counts)
    assert found.rows == len(counts)
    assert "double_softmax" in found.suggests
    scores[0] = f"{-each * counts[0] - 0.2:.4f}"
    assert "constant_per_token" not in ids(row(scores), counts=counts)


def test_what_accuses_comes_first() -> None:
    """Whatever else is seen."""
    found = fingerprints([row(["12.5%", "30.1%", "nan", "140%"], unit="probability")])
    assert [finding.accuses for finding in found] == sorted(
        [finding.accuses for finding in found], reverse=True
    )
    assert {"nan_values", "above_one", "percent"} <= {finding.id for finding in found}
