"""The oracle itself: worked examples and closed forms, so that what judges the audit is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import logpr
from logpr import Query
from logpr.models.base import Predictive
from logpr.models.table import TableModel
from tests.auditing.oracle import STAGE, Change, claims
from tests.auditing.oracle_numbers import half

ONE = {
    "tokens": ["A", "B", "C"],
    "end": [],
    "kind": "logits",
    "rows": {"": [10, 9, 0], "A": [0, 0, 0], "B": [8, 7, 0]},
}
"""Worked example 1."""

AB = [Query.of("", ["A A", "B B"])]


def _table(rows: dict[str, Any], **fields: Any) -> TableModel:  # noqa: ANN401 - a table file's keys
    data: dict[str, Any] = {
        "tokens": ["A", "B", "C"],
        "end": [],
        "kind": "logits",
        "rows": rows,
        **fields,
    }
    return TableModel.from_dict(data)


def _scores(
    queries: Sequence[Query],
    *changes: Change,
    model: Predictive,
    **options: Any,  # noqa: ANN401 - the oracle's own
) -> list[float]:
    found = claims(queries, list(changes), model=model, **options).scores
    return [score for record in found for score in record]


def _lse(*values: float) -> float:
    return math.log(math.fsum(math.exp(value) for value in values))


@pytest.fixture(scope="module")
def chain() -> TableModel:
    """Return a random model of five tokens that looks at the last two, with an end token."""
    rng = np.random.default_rng(5)
    names = ["<s>", "a", "b", "c", "</s>"]
    keys = ["", *names[1:], *(f"{x} {y}" for x in names[1:] for y in names[1:])]
    rows = {key: rng.normal(0.0, 2.0, 5).round(3).tolist() for key in keys}
    return TableModel.from_dict(
        {"tokens": names, "bos": "<s>", "end": ["</s>"], "kind": "logits", "order": 2, "rows": rows}
    )


TEXTS = [Query.of("a b", [" a", " b c", " c c a"]), Query.of("c", [" a b", " b b b b"])]


# the worked examples


def test_example_1() -> None:
    """Raw logits sum to 10 and 16 and pick B B; log Pr is −1.4119 and −2.6268, 1.2149 apart."""
    model = _table(ONE["rows"])  # type: ignore[arg-type]
    assert _scores(AB, ("raw_logit_sum", {}), model=model) == [10.0, 16.0]
    aa, bb = _scores(AB, model=model)
    assert aa == pytest.approx(10 - _lse(10, 9, 0) - math.log(3), abs=1e-12)
    assert (round(aa, 4), round(bb, 4), round(aa - bb, 4)) == (-1.4119, -2.6268, 1.2149)


def test_example_2() -> None:
    """The rug wins at −2.3 over −2.4, although the model's first choice is "warm"."""
    model = TableModel.from_dict(
        {
            "tokens": ["warm", "mat", "plush", "rug"],
            "end": [],
            "kind": "logprobs",
            "rows": {
                "": {"warm": -0.9, "plush": -1.2},
                "warm": {"mat": -1.5},
                "plush": {"rug": -1.1},
            },
        }
    )
    queries = [Query.of("", ["warm mat", "plush rug"])]
    assert _unnormalised(queries, model) == pytest.approx([-2.4, -2.3], abs=1e-12)
    first = claims(queries, [("first_token_only", {})], model=model).scores[0]
    assert first[0] > first[1]


def _unnormalised(queries: list[Query], model: TableModel) -> list[float]:
    # A table of log-probabilities names part of the mass only: its rows are taken as they stand.
    return _scores(queries, ("raw_logit_sum", {}), model=model)


def test_example_3() -> None:
    """(2, 1, 0.1) gives (0.659, 0.242, 0.099), (6, 3, 0.5, 0.5) first 0.945; shifts do nothing."""
    words = [Query.of("", ["A", "B", "C"])]
    three = _scores(words, model=_table({"": [2.0, 1.0, 0.1]}))
    assert [round(math.exp(v), 3) for v in three] == [0.659, 0.242, 0.099]
    four = {"tokens": ["A", "B", "C", "D"]}
    rows = [6.0, 3.0, 0.5, 0.5]
    plain = _scores(words, model=_table({"": rows}, **four))
    assert round(math.exp(plain[0]), 3) == 0.945
    moved = _scores(words, model=_table({"": [u + 1000 for u in rows]}, **four))
    assert moved == pytest.approx(plain, abs=1e-11)
    raw = _scores(
        words, ("raw_logit_sum", {}), model=_table({"": [u + 1000 for u in rows]}, **four)
    )
    assert raw == [1006.0, 1003.0, 1000.5]


def test_example_3_one_logit_crushes_the_others_alike() -> None:
    """Raising C from 2 to 12 takes A and B down together; their ratio stays."""
    words = [Query.of("", ["A", "B", "C"])]
    a, b, _ = _scores(words, model=_table({"": [4, 3, 2]}))
    c, d, _ = _scores(words, model=_table({"": [4, 3, 12]}))
    assert c < a - 7
    assert c - d == pytest.approx(a - b, abs=1e-12)


@pytest.mark.parametrize(("steps", "total"), [([-0.7, -0.4], -1.1), ([-1.5, -0.9, -1.2], -3.6)])
def test_example_4(steps: list[float], total: float) -> None:
    """Log-probabilities of steps add: −0.7, −0.4 → −1.1; −1.5, −0.9, −1.2 → −3.6."""
    rows = {" ".join("A" * i): [math.exp(v), 1 - math.exp(v), 0.0] for i, v in enumerate(steps)}
    model = _table(rows, kind="probs")
    query = [Query.of("", [" ".join("A" * len(steps))])]
    found = claims(query, [], model=model)
    assert found.tokens[0][0] == pytest.approx(steps, abs=1e-12)
    assert found.scores[0][0] == pytest.approx(total, abs=1e-12)


def test_example_5_a_step_can_gain() -> None:
    """u_y = 5 over the list {3, 2}, y not forced in, is worth +1.69."""
    model = _table({"": [5, 3, 2]})
    change = ("shortlist_without_target", {"lists": "given"})
    (score,) = _scores([Query.of("", ["A"])], change, model=model, shortlists=[[[[1, 2]]]])
    assert score == pytest.approx(5 - _lse(3, 2), abs=1e-12)
    assert round(score, 2) == 1.69


def test_example_5_the_excess_is_the_lists_mass() -> None:
    """Against log Pr a step of a shortlist scorer gains −log of the mass of its list."""
    model = _table({"": [5, 3, 2], "A": [0, 1, 2]})
    query = [Query.of("", ["A B"])]
    change = ("shortlist_without_target", {"k": 2, "per": "request"})
    got = claims(query, [change], model=model).tokens[0][0]
    true = claims(query, [], model=model).tokens[0][0]
    # The request's list is {A, B}, the two largest of the first row, also after A.
    masses = [(math.exp(5) + math.exp(3)), (math.exp(0) + math.exp(1))]
    wholes = [_lse(5, 3, 2), _lse(0, 1, 2)]
    excess = [whole - math.log(mass) for whole, mass in zip(wholes, masses, strict=True)]
    assert [g - t for g, t in zip(got, true, strict=True)] == pytest.approx(excess, abs=1e-12)
    per_step = ("shortlist_without_target", {"k": 2, "per": "step"})
    second = claims(query, [per_step], model=model).tokens[0][0][1]
    assert second == pytest.approx(1 - _lse(1, 2), abs=1e-12)


def test_example_6_two_negatives_look_like_a_probability() -> None:
    """u / Σu per step is NaN where negative; two negative factors multiply to a valid product."""
    model = _table({"": [-3, 2, 4], "A": [-1, 2, 3]})
    query = [Query.of("", ["A A", "A B", "C"])]
    per_step = _scores(query, ("linear_normalisation", {"form": "per_step"}), model=model)
    product = _scores(query, ("linear_normalisation", {"form": "product"}), model=model)
    assert math.isnan(per_step[0])
    assert math.isnan(per_step[1])
    assert per_step[2] == pytest.approx(math.log(4 / 3), abs=1e-12)
    assert product[0] == pytest.approx(math.log((-3 / 3) * (-1 / 4)), abs=1e-12)
    assert math.isnan(product[1])
    assert product[2] == per_step[2] > 0


# closed forms


def test_correct_is_what_logpr_says(chain: TableModel) -> None:
    """No change gives log Pr as the package has it, END and bos in and out."""
    for end in ("open", "stop"):
        queries = [Query.of(q.prompt, q.candidates, end=end) for q in TEXTS]
        want = [s.logprob for r in logpr.rank_many(queries, model=chain) for s in r.candidates]
        assert _scores(queries, model=chain, end=end) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        ("shortlist_softmax", {"k": 5}),
        ("shortlist_without_target", {"k": 5, "per": "step"}),
        ("shortlist_without_target", {"k": 99, "per": "request"}),
        ("nucleus_renormalised", {"p": 1.0}),
        ("temperature", {"T": 1.0}),
        ("logprob_over_temperature", {"T": 1.0}),
        ("log_epsilon", {"epsilon": 0.0}),
        ("vocab_rows_masked", {"ids": ()}),
        ("length_penalty", {"alpha": 0.0, "form": "power"}),
        ("product_then_log", {"dtype": "float64"}),
        ("truncated_context", {"keep": 3}),
        ("window_restart", {"window": 20, "start": "none"}),
        ("left_pad_unmasked", {"pad_id": 0, "company": 1}),
        ("pad_counted", {"pad_id": 0, "company": 1}),
        ("eos_as_pad_masked", {"pad_id": 0}),
        ("joint_boundary", {}),
        ("row_reused", {"representative": "first"}),
        ("logprob", {}),
        ("nats", {}),
    ],
    ids=lambda change: change[0],
)
def test_no_change_at_the_edge(chain: TableModel, change: Change) -> None:
    """At the end of its range, or where nothing is struck, an entry is the correct scorer."""
    want = claims(TEXTS, [], model=chain)
    got = claims(TEXTS, [change], model=chain)
    assert [s for r in got.scores for s in r] == pytest.approx(
        [s for r in want.scores for s in r], abs=1e-12
    )


def test_units(chain: TableModel) -> None:
    """Bits are nats / ln 2, log10 nats / ln 10; choice_prob sums to 1; perplexity exp(−Σ/N)."""
    nats = _scores(TEXTS, model=chain)
    assert _scores(TEXTS, ("in_bits", {}), model=chain) == pytest.approx(
        [v / math.log(2) for v in nats], abs=1e-12
    )
    assert _scores(TEXTS, ("in_log10", {}), model=chain) == pytest.approx(
        [v / math.log(10) for v in nats], abs=1e-12
    )
    assert _scores(TEXTS, ("negated", {}), model=chain) == [-v for v in nats]
    for record in claims(TEXTS, [("choice_prob", {})], model=chain).scores:
        assert math.fsum(record) == pytest.approx(1.0, abs=1e-12)
    want = [math.exp(-v / n) for v, n in zip(nats, [1, 2, 3, 2, 4], strict=True)]
    assert _scores(TEXTS, ("perplexity", {}), model=chain) == pytest.approx(want, abs=1e-9)
    both = _scores(TEXTS, ("perplexity", {}), ("mean", {}), model=chain)
    assert both == pytest.approx(want, abs=1e-9)


def test_aggregates(chain: TableModel) -> None:
    """Each aggregate is its closed form of the step scores."""
    tokens = [v for r in claims(TEXTS, [], model=chain).tokens for v in r]
    prompt, chars, padded = [3, 3, 3, 2, 2], [2, 4, 6, 4, 8], [3, 3, 3, 4, 4]
    for place, v in enumerate(tokens):
        n, total = len(v), math.fsum(v)
        p = [math.exp(value) for value in v]
        want: list[tuple[str, dict[str, Any], float]] = [
            ("mean", {}, total / n),
            ("mean_over_padded", {"company": "query"}, total / padded[place]),
            ("mean_with_prompt_length", {}, total / (prompt[place] + n)),
            ("loss_times_wrong_count", {"count": "n_minus_1"}, total / n * (n - 1)),
            ("loss_times_wrong_count", {"count": "n_plus_1"}, total / n * (n + 1)),
            ("loss_times_wrong_count", {"count": "with_prompt"}, total / n * (prompt[place] + n)),
            ("mean_probability", {"log": "no"}, math.fsum(p) / n),
            ("mean_probability", {"log": "yes"}, math.log(math.fsum(p) / n)),
            ("per_char", {}, total / chars[place]),
            ("per_byte", {}, total / chars[place]),
            ("length_penalty", {"alpha": 0.7, "form": "gnmt"}, total / ((5 + n) / 6) ** 0.7),
            ("first_token_only", {}, v[0]),
            ("last_token_only", {}, v[-1]),
            ("min_token", {}, min(v)),
        ]
        for name, params, value in want:
            got = _scores(TEXTS, (name, params), model=chain)[place]
            assert got == pytest.approx(value, abs=1e-12), name


def test_characters_are_no_bytes() -> None:
    """per_char and per_byte count the text scored, the moved space included."""
    model = TableModel.from_dict(
        {"tokens": ["né", "b"], "end": [], "kind": "logits", "rows": {}, "default": [0, 0]}
    )
    queries = [Query.of("b ", ["né"])]
    assert _scores(queries, ("per_char", {}), model=model) == [-math.log(2) / 3]
    assert _scores(queries, ("per_byte", {}), model=model) == [-math.log(2) / 4]


def test_a_half_precision_total(chain: TableModel) -> None:
    """total=half rounds the sum too, and the mean is of the rounded sum."""
    steps = ("half_precision", {"dtype": "bfloat16", "total": "half"})
    found = claims(TEXTS, [steps], model=chain)
    mean = claims(TEXTS, [steps, ("mean", {})], model=chain)
    rounded = 0
    for v, score, average in zip(found.tokens[1], found.scores[1], mean.scores[1], strict=True):
        assert score == half(math.fsum(v), "bfloat16")
        assert average == score / len(v)
        rounded += score != math.fsum(v)
    assert rounded


def test_lists_belong_to_their_place_in_y(chain: TableModel) -> None:
    """Steps of the prompt have no list; with the first token dropped the others keep theirs."""
    lists = [[[[1, 2]], [[1], [2, 3]], [[1], [2], [3]]], [[[4], [3]], [[1]] * 4]]
    given: Change = ("shortlist_given", {})
    plain = claims(TEXTS, [given], model=chain, shortlists=lists).tokens
    more = claims(TEXTS, [given, ("prompt_included", {})], model=chain, shortlists=lists).tokens
    less = claims(TEXTS, [given, ("first_token_dropped", {})], model=chain, shortlists=lists).tokens
    for record in range(2):
        for v, longer, shorter in zip(plain[record], more[record], less[record], strict=True):
            assert shorter == v[1:]
            assert longer[-len(v) :] == v
            assert all(map(math.isnan, longer[: -len(v)]))
    ends = claims(TEXTS, [given], model=chain, shortlists=lists, end="stop").tokens
    assert math.isnan(ends[0][0][-1])


def test_the_end_is_one_more_step(chain: TableModel) -> None:
    """Leaving END out, or scoring it against the declared end, differs by exactly log Pr(END)."""
    stop = claims(TEXTS, [], model=chain, end="stop")
    ends = [v[-1] for record in stop.tokens for v in record]
    with_end = [s for record in stop.scores for s in record]
    without = _scores(TEXTS, ("eos_missing", {}), model=chain, end="stop")
    assert without == _scores(TEXTS, model=chain)
    assert [a - b for a, b in zip(with_end, without, strict=True)] == pytest.approx(ends, abs=1e-12)
    assert _scores(TEXTS, ("eos_added", {}), model=chain) == with_end
    assert _scores(TEXTS, ("last_token_dropped", {}), model=chain, end="stop") == without


def test_spans(chain: TableModel) -> None:
    """A token less or more is its log-probability; the whole prompt is one offset a prompt."""
    right = claims(TEXTS, [], model=chain)
    first = claims(TEXTS, [("first_token_dropped", {})], model=chain)
    more = claims(TEXTS, [("prompt_last_included", {})], model=chain)
    whole = claims(TEXTS, [("prompt_included", {})], model=chain)
    for record in range(2):
        offsets = []
        for place, v in enumerate(right.tokens[record]):
            assert first.tokens[record][place] == v[1:]
            assert more.tokens[record][place][1:] == v
            offsets.append(whole.scores[record][place] - right.scores[record][place])
        assert offsets == pytest.approx([offsets[0]] * len(offsets), abs=1e-12)
    assert [len(v) for v in whole.tokens[0]] == [3, 4, 5]


def test_rows_read_in_the_wrong_place() -> None:
    """Each alignment fault reads the logit of the row it names (all rows here are distinct)."""
    keys = ["A", "A B", "A B C", "A A", "A A A", "A A B", "A C", "A C C", "C", "B", "A B B"]
    rows = {key: [len(key) + 3 * i, i, -i] for i, key in enumerate(keys, start=1)}
    model = _table(rows, default=[0, 0, 0])
    query = [Query.of("A", [" B C", " B"])]

    def raw(name: str, **params: str | int) -> list[float]:
        return claims(query, [(name, params), ("raw_logit_sum", {})], model=model).tokens[0][0]

    def u(key: str, token: str) -> float:
        return float(rows[key]["ABC".index(token)])

    assert raw("unshifted") == [u("A B", "B"), u("A B C", "C")]
    assert raw("shifted_twice") == [0.0, u("A", "C")]
    assert raw("not_teacher_forced") == [u("A", "B"), u("A A", "C")]
    assert raw("window_restart", window=2, start="none") == [u("A", "B"), 0.0]
    assert raw("truncated_context", keep=1) == [u("A", "B"), u("A B", "C")]
    assert raw("left_pad_unmasked", pad_id=2, company="file") == [u("A", "B"), u("A B", "C")]
    short = [("left_pad_unmasked", {"pad_id": 2, "company": "file"}), ("raw_logit_sum", {})]
    assert claims(query, short, model=model).tokens[0][1] == [0.0]


def test_a_row_is_reused_where_the_fed_ids_agree(chain: TableModel) -> None:
    """Prompt "a b" + "c" and prompt "a" + "b c" feed the same; the second takes the first's row."""
    queries = [Query.of("a b", [" c"]), Query.of("a", [" b c"])]
    right = claims(queries, [], model=chain)
    first = claims(queries, [("row_reused", {"representative": "first"})], model=chain)
    last = claims(queries, [("row_reused", {"representative": "last"})], model=chain)
    longest = ("row_reused", {"representative": "longest"})
    assert claims(queries, [longest], model=chain).scores == last.scores
    assert claims(queries[::-1], [longest], model=chain).scores == last.scores[::-1]
    assert first.scores[0] == right.scores[0]
    assert first.scores[1] != right.scores[1]
    # b is read after "a b", and c past what was fed, in its own row.
    rows = chain.next_logits([(0, 1, 2)]).logprobs
    assert first.tokens[1][0] == pytest.approx([rows[0, 2], right.tokens[1][0][1]], abs=1e-12)
    assert last.scores[1] == right.scores[1]
    assert last.tokens[0][0] == pytest.approx(
        [chain.next_logits([(0, 1)]).logprobs[0, 3]], abs=1e-12
    )


U = [1.0, 3.0, 2.0, -1.0]
P = [math.exp(u - _lse(*U)) for u in U]


@pytest.mark.parametrize(
    ("name", "params", "want"),
    [
        # The scores of A (third best), B (best) and D (worst) in the one row U.
        ("raw_logit_sum", {}, [1.0, 3.0, -1.0]),
        ("linear_normalisation", {"form": "per_step"}, [math.log(0.2), math.log(0.6), math.nan]),
        ("shortlist_softmax", {"k": 2}, [1 - _lse(1, 3, 2), 3 - _lse(3, 2), -1 - _lse(-1, 3, 2)]),
        (
            "shortlist_without_target",
            {"k": 2, "per": "step"},
            [1 - _lse(3, 2), 3 - _lse(3, 2), -1 - _lse(3, 2)],
        ),
        # B alone has 0.66 of the mass, B and C 0.90.
        ("nucleus_renormalised", {"p": 0.5}, [1 - _lse(1, 3), 0.0, -1 - _lse(-1, 3)]),
        (
            "nucleus_renormalised",
            {"p": 0.7},
            [1 - _lse(1, 3, 2), 3 - _lse(3, 2), -1 - _lse(-1, 3, 2)],
        ),
        ("candidates_softmax", {}, [u - _lse(1, 3, -1) for u in (1, 3, -1)]),
        ("temperature", {"T": 2.0}, [u / 2 - _lse(0.5, 1.5, 1, -0.5) for u in (1, 3, -1)]),
        ("logprob_over_temperature", {"T": 2.0}, [(u - _lse(*U)) / 2 for u in (1, 3, -1)]),
        ("double_softmax", {}, [p - _lse(*P) for p in (P[0], P[1], P[3])]),
        ("log_epsilon", {"epsilon": 0.01}, [math.log(p + 0.01) for p in (P[0], P[1], P[3])]),
        ("vocab_rows_masked", {"ids": (1,)}, [1 - _lse(1, 2, -1), -math.inf, -1 - _lse(1, 2, -1)]),
        ("half_precision", {"dtype": "bfloat16"}, [-2.421875, -0.419921875, -4.40625]),
    ],
)
def test_normalisers(name: str, params: dict[str, Any], want: list[float]) -> None:
    """Each normaliser is its formula, at the best, a middling and the worst token of a row."""
    model = _table({}, tokens=["A", "B", "C", "D"], default=U)
    got = _scores([Query.of("", ["A", "B", "D"])], (name, params), model=model)
    assert got == pytest.approx(want, abs=1e-12, nan_ok=True)


def test_the_top_k_take_the_smaller_id_of_a_tie() -> None:
    """Of equal logits at the edge of the list the smaller id is in."""
    model = _table({}, default=[1.0, 2.0, 1.0])
    change = ("shortlist_without_target", {"k": 2, "per": "step"})
    got = _scores([Query.of("", ["C"])], change, model=model)
    assert got == pytest.approx([1 - _lse(2, 1)], abs=1e-12)
    first = claims([Query.of("", ["B A", "A B"])], [("not_teacher_forced", {})], model=model)
    assert first.tokens[0][0] == pytest.approx([2 - _lse(2, 1, 1), 1 - _lse(2, 1, 1)], abs=1e-12)


def test_positions_in_place_of_the_vocabulary() -> None:
    """wrong_axis divides by the exponentials of one token's logits over the rows that were read."""
    rows = {"A": [1, 2, 3], "A B": [4, 1, 0], "A B C": [2, 5, 7]}
    model = _table(rows, default=[0, 0, 0])
    query = [Query.of("A", [" B C"])]
    got = claims(query, [("wrong_axis", {"over": "continuation"})], model=model).tokens[0][0]
    assert got == pytest.approx([2 - _lse(2, 1), 0 - _lse(3, 0)], abs=1e-12)
    got = claims(query, [("wrong_axis", {"over": "sequence"})], model=model).tokens[0][0]
    assert got == pytest.approx([2 - _lse(2, 1, 5), 0 - _lse(3, 0, 7)], abs=1e-12)


def test_masked_tokens_are_left_out(chain: TableModel) -> None:
    """A real token equal to the pad id is no step: N counts the others."""
    right = claims(TEXTS, [], model=chain).tokens
    got = claims(TEXTS, [("eos_as_pad_masked", {"pad_id": 3})], model=chain)
    assert got.tokens[0] == [right[0][0], right[0][1][:1], right[0][2][2:]]
    both = claims(TEXTS, [("eos_as_pad_masked", {"pad_id": 3}), ("mean", {})], model=chain)
    assert both.scores[0] == pytest.approx([v[0] for v in got.tokens[0]], abs=1e-12)


@pytest.fixture(scope="module")
def builtin() -> Predictive:
    """Return the shipped model in float64."""
    model = logpr.load("builtin", dtype="float64")
    assert isinstance(model, Predictive)
    return model


def _logprob(model: Predictive, x: str | list[int], y: str | list[int]) -> float:
    query = Query.of(x, [y]) if isinstance(x, str) else Query.of(prompt_ids=x, candidates=[y])
    (ranking,) = logpr.rank_many([query], model=model)
    found = ranking.candidates[0].logprob
    assert found is not None
    return found


def test_spaces_and_start_tokens(builtin: Predictive) -> None:
    """Encoding faults are log Pr of the other text or ids that they stand for."""
    tokenizer = builtin.tokenizer
    assert tokenizer is not None
    x, y = "The cat sat on the ", "mat."
    c = [*tokenizer.encode("The cat sat on the", parse_special=False)]
    ids = [*tokenizer.encode(" mat.", parse_special=False)]
    query = [Query.of(x, [y])]
    for name, params, want in (
        ("space_lost", {"form": "dropped"}, _logprob(builtin, x.rstrip(), "mat.")),
        ("space_lost", {"form": "doubled"}, _logprob(builtin, x.rstrip(), "  mat.")),
        ("bos_missing", {}, _logprob(builtin, c, ids)),
        ("bos_doubled", {}, _logprob(builtin, [0, 0, *c], ids)),
        ("prompt_dropped", {}, _logprob(builtin, [0], ids)),
        ("left_pad_unmasked", {"pad_id": 1, "company": "file"}, _logprob(builtin, [0, *c], ids)),
        ("truncated_context", {"keep": 2}, _logprob(builtin, c[-2:], ids)),
        # A window that ends with the prompt: y stands after the start token alone, or after none.
        ("window_restart", {"window": len(c) + 1, "start": "bos"}, _logprob(builtin, [0], ids)),
        (
            "window_restart",
            {"window": len(c) + 1, "start": "none"},
            _logprob(builtin, ids[:1], ids[1:]),
        ),
        ("window_restart", {"window": 20, "start": "bos"}, _logprob(builtin, x, y)),
    ):
        got = _scores(query, (name, params), model=builtin)
        assert got == pytest.approx([want], abs=1e-9), name


def test_a_merged_boundary(builtin: Predictive) -> None:
    """joint_boundary splits tok(x + y) where tok(x) ends, whatever merges."""
    tokenizer = builtin.tokenizer
    assert tokenizer is not None
    x, y = "The little wond", "erful dog."
    size = len(tokenizer.encode(x, parse_special=False))
    ids = [*tokenizer.encode(x + y, parse_special=False)]
    assert ids[:size] != [*tokenizer.encode(x, parse_special=False)], "the boundary merges"
    got = _scores([Query.of(x, [y])], ("joint_boundary", {}), model=builtin)
    want = _logprob(builtin, [0, *ids[:size]], ids[size:])
    assert got == pytest.approx([want], abs=1e-9)
    assert abs(want - _logprob(builtin, x, y)) > 0.1


def test_company_decides_padding(chain: TableModel) -> None:
    """Padding is what a candidate lacks of the longest one in its query, file or batch."""
    for company, counts in {
        "query": [2, 1, 0, 2, 0],
        "file": [2, 1, 0, 2, 0],
        2: [1, 0, 0, 2, 0],
        3: [2, 1, 0, 2, 0],
    }.items():
        change = ("pad_counted", {"pad_id": 4, "company": company})
        found = claims(TEXTS, [change], model=chain).tokens
        lengths = [len(v) for record in found for v in record]
        want = [n + k for n, k in zip([1, 2, 3, 2, 4], counts, strict=True)]
        assert lengths == want, company


def test_candidates_softmax_sums_to_one(chain: TableModel) -> None:
    """Over different one-token candidates the probabilities sum to 1."""
    query = [Query.of("a", [" a", " b", " c"])]
    got = _scores(query, ("candidates_softmax", {}), model=chain)
    assert math.fsum(map(math.exp, got)) == pytest.approx(1.0, abs=1e-12)


def test_positions_are_no_vocabulary(chain: TableModel) -> None:
    """Softmax over positions calls a single token certain."""
    query = [Query.of("a", [" a", " b", " c"])]
    assert _scores(query, ("wrong_axis", {"over": "continuation"}), model=chain) == [0.0] * 3
    assert all(v < 0 for v in _scores(query, ("wrong_axis", {"over": "sequence"}), model=chain))


def test_pmi_of_a_dropped_prompt_is_zero(chain: TableModel) -> None:
    """log Pr(y | x) − log Pr(y) is 0 where the prompt is dropped anyway."""
    assert _scores(TEXTS, ("prompt_dropped", {}), ("pmi", {}), model=chain) == [0.0] * 5
    x, y = _scores(TEXTS, model=chain), _scores(TEXTS, ("prompt_dropped", {}), model=chain)
    want = [a - b for a, b in zip(x, y, strict=True)]
    assert _scores(TEXTS, ("pmi", {}), model=chain) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(("dtype", "fits", "fails"), [("float32", 21, 40), ("float64", 180, 200)])
def test_products_underflow(dtype: str, fits: int, fails: int) -> None:
    """A product of probabilities is −inf from about −103 nats in float32, −745 in float64."""
    low = 1.0 / (1.0 + math.exp(4.0))
    model = _table({}, kind="probs", default=[low, 1 - low, 0.0])
    queries = [Query.of("", [" ".join("A" * fits), " ".join("A" * fails)])]
    right = _scores(queries, model=model)
    got = _scores(queries, ("product_then_log", {"dtype": dtype}), model=model)
    assert got[0] == pytest.approx(right[0], rel=1e-5)
    assert got[1] == -math.inf < right[1]


def test_half_precision_is_a_grid() -> None:
    """bfloat16 keeps eight bits, float16 eleven, ties to even; float16 ends at 65504."""
    numbers = [257.0, 259.0, 1.00390625, -0.1, 3.0]
    assert half(np.array(numbers), "bfloat16").tolist() == [256.0, 260.0, 1.0, -0.10009765625, 3.0]
    assert half(2049.0, "float16") == 2048.0
    assert half(70000.0, "float16") == math.inf
    torch = pytest.importorskip("torch")
    many = np.random.default_rng(0).normal(0, 100, 2000).astype(np.float32)
    for dtype in ("bfloat16", "float16"):
        want = torch.from_numpy(many).to(getattr(torch, dtype)).double().numpy()
        assert half(many, dtype).tolist() == want.tolist()


def test_two_changes_of_one_stage_are_none() -> None:
    """A stage is changed once."""
    with pytest.raises(AssertionError, match="once"):
        claims(AB, [("mean", {}), ("per_char", {})], model=_table(ONE["rows"]))  # type: ignore[arg-type]


def test_every_entry_has_one_stage() -> None:
    """The oracle has every entry of the zoo that a model can show."""
    assert len(STAGE) == 6 + 4 + 8 + 14 + 2 + 14 + 7
    assert set(STAGE.values()) == {
        "encode",
        "context",
        "align",
        "normalise",
        "mask",
        "aggregate",
        "unit",
    }
