"""The zoo's fast formulas against the tests' slow ones, entry by entry and in pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import logpr
from logpr import Query
from logpr.auditing import FAULTS, faulty_scorer
from logpr.errors import QueryError, UnknownNameError
from logpr.models.base import Predictive
from logpr.models.table import TableModel
from tests.auditing import generate
from tests.auditing.oracle import STAGE, Change, Oracle, claims
from tests.auditing.oracle_rows import Rows
from tests.auditing.toy import Startless, Toy, lists, queries

COMPANIES = ("query", "file", 2, 5)
HALVES = ("bfloat16", "float16")

EVERY: list[Change] = [
    ("bos_missing", {}),
    ("bos_doubled", {}),
    ("eos_missing", {}),
    ("eos_added", {}),
    *(("joint_boundary", {"form": form}) for form in ("split", "straddling")),
    *(("space_lost", {"form": form}) for form in ("dropped", "doubled")),
    ("prompt_dropped", {}),
    *(("left_pad_unmasked", {"pad_id": 3, "company": company}) for company in COMPANIES),
    *(
        ("window_restart", {"window": window, "start": start})
        for window in (1, 2, 3, 7)
        for start in ("none", "bos")
    ),
    *(("truncated_context", {"keep": keep}) for keep in (1, 2, 5, 30)),
    ("unshifted", {}),
    ("shifted_twice", {}),
    ("first_token_dropped", {}),
    ("last_token_dropped", {}),
    ("prompt_last_included", {}),
    ("prompt_included", {}),
    ("not_teacher_forced", {}),
    *(("row_reused", {"representative": which}) for which in ("first", "last", "longest")),
    ("raw_logit_sum", {}),
    *(("linear_normalisation", {"form": form}) for form in ("per_step", "product")),
    *(("shortlist_softmax", {"k": k}) for k in (1, 3, 20, 40, 2000)),
    ("shortlist_given", {}),
    *(
        ("shortlist_without_target", {"k": k, "per": per})
        for k in (1, 4, 25, 2000)
        for per in ("step", "request")
    ),
    ("shortlist_without_target", {"lists": "given"}),
    ("candidates_softmax", {}),
    *(("nucleus_renormalised", {"p": p}) for p in (0.05, 0.5, 0.9, 0.9999)),
    *(("temperature", {"T": heat}) for heat in (0.3, 1.0, 4.0)),
    *(("logprob_over_temperature", {"T": heat}) for heat in (0.3, 4.0)),
    ("double_softmax", {}),
    *(("log_epsilon", {"epsilon": epsilon}) for epsilon in (1e-12, 1e-3, 0.3)),
    *(("vocab_rows_masked", {"ids": ids}) for ids in ((0,), (4,), (0, 1), tuple(range(30, 40)))),
    *(("wrong_axis", {"over": over}) for over in ("continuation", "sequence")),
    *(
        ("half_precision", {"dtype": dtype, "total": total})
        for dtype in HALVES
        for total in ("float", "half")
    ),
    *(("pad_counted", {"pad_id": 3, "company": company}) for company in COMPANIES),
    *(("eos_as_pad_masked", {"pad_id": pad}) for pad in (0, 5, 4)),
    ("mean", {}),
    *(("mean_over_padded", {"company": company}) for company in COMPANIES),
    ("mean_with_prompt_length", {}),
    *(
        ("loss_times_wrong_count", {"count": count})
        for count in ("n_plus_1", "n_minus_1", "with_prompt")
    ),
    ("per_char", {}),
    ("per_byte", {}),
    *(
        ("length_penalty", {"alpha": alpha, "form": form})
        for alpha in (0.02, 0.6, 2.0)
        for form in ("power", "gnmt")
    ),
    *(("product_then_log", {"dtype": dtype}) for dtype in ("float32", "float64")),
    *(("mean_probability", {"log": log}) for log in ("no", "yes")),
    ("first_token_only", {}),
    ("last_token_only", {}),
    ("min_token", {}),
    ("pmi", {}),
    ("logprob", {}),
    ("in_bits", {}),
    ("in_log10", {}),
    ("negated", {}),
    ("probability", {}),
    ("perplexity", {}),
    ("choice_prob", {}),
    ("nats", {}),
]
"""Every entry, and every value of its parameters that has a formula of its own."""

_WORDS = ("form", "start", "representative", "per", "over", "dtype", "total", "count", "log")
"""Parameters that take a few words."""

MODEL = Toy()
ROWS = Rows(MODEL)
SETTINGS: list[dict[str, Any]] = [
    {"end": "open"},
    {"end": "stop", "boundary": "joint"},
    {"end": "stop", "bos": "never"},
    {"end": "open", "bos": "always", "boundary": "joint"},
]


def test_every_entry_is_here() -> None:
    """The zoo, the oracle's and this table name the same entries, and every enumerated value."""
    names = {name for name, _ in EVERY}
    # What token scores imply of lists that nobody logged is no scorer.
    assert set(FAULTS) - {"shortlist_unknown"} == names == set(STAGE)
    for name, fault in FAULTS.items():
        assert STAGE.get(name, "normalise") == fault.stage
        for spec in fault.parameters:
            values = {
                str(params[spec.name])
                for other, params in EVERY
                if other == name and spec.name in params
            }
            words = {word.split(" (")[0] for word in spec.values.split(":")[0].split(", ")}
            if spec.name in _WORDS:
                assert words - {"or a batch size"} <= values, (name, spec.name)
            assert values, (name, spec.name)


def same(found: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]]) -> None:
    """Compare numbers to 1e-9, infinite ones and NaN included."""
    assert [len(each) for each in found] == [len(each) for each in wanted]
    for mine, theirs in zip(found, wanted, strict=True):
        assert list(mine) == pytest.approx(list(theirs), abs=1e-9, rel=1e-9, nan_ok=True)


def held(
    asked: list[Query],
    changes: list[Change],
    model: Predictive,
    rows: Rows,
    *,
    shortlists: Any = None,  # noqa: ANN401 - lists of lists of lists of lists
    **said: Any,  # noqa: ANN401 - end, boundary, bos
) -> None:
    """Hold a scorer against the oracle: all queries at once, and the steps of two alone."""
    made = faulty_scorer(*changes, model=model, **said)
    wanted = claims(asked, changes, model=model, shortlists=shortlists, rows=rows, **said)
    same(made.many(asked, shortlists=shortlists), wanted.scores)
    for place, query in enumerate(asked[:2]):
        alone = None if shortlists is None else [shortlists[place]]
        one: Oracle = claims([query], changes, model=model, shortlists=alone, rows=rows, **said)
        assert query.prompt is not None
        given = [c.text if c.token_ids is None else c.token_ids for c in query.candidates]
        mine = None if shortlists is None else shortlists[place]
        tokens = made.tokens(query.prompt, given, shortlists=mine)  # type: ignore[arg-type]
        same(tokens, one.tokens[0])
        same([made(query.prompt, given, shortlists=mine)], one.scores)  # type: ignore[arg-type]


def is_listed(changes: Sequence[Change]) -> bool:
    """Return whether a change reads lists that were logged."""
    return any(
        name == "shortlist_given" or params.get("lists") == "given" for name, params in changes
    )


@pytest.mark.parametrize("change", EVERY, ids=lambda change: f"{change[0]}-{change[1]}")
def test_an_entry_is_its_formula(change: Change) -> None:
    """Scores and step scores of the fast formula are those of the slow one, to 1e-9."""
    seed = EVERY.index(change)
    said = SETTINGS[seed % len(SETTINGS)]
    if change[0] == "eos_missing":
        said = {"end": "stop"}
    for end in ("open", "stop"):
        asked = queries(seed, 6, ids=True)
        given = lists(seed, asked, MODEL.vocab_size) if is_listed([change]) else None
        held(asked, [change], MODEL, ROWS, shortlists=given, **{**said, "end": end})


@pytest.mark.parametrize(
    "change",
    [change for change in EVERY if STAGE[change[0]] in ("encode", "normalise", "mask")],
    ids=lambda change: f"{change[0]}-{change[1]}",
)
def test_end_may_be_several_tokens(change: Change) -> None:
    """END is one outcome of several ids: in it, or out of it, as one."""
    model = Toy(end_ids=(0, 5, 9))
    asked = queries(3, 4)
    given = lists(3, asked, model.vocab_size) if is_listed([change]) else None
    held(asked, [change], model, Rows(model), shortlists=given, end="stop")


@pytest.mark.parametrize(
    "change",
    [change for change in EVERY if STAGE[change[0]] in ("encode", "context", "align", "mask")],
    ids=lambda change: f"{change[0]}-{change[1]}",
)
def test_a_row_after_nothing_is_a_row(change: Change) -> None:
    """A model that gives a first token a probability is asked for it, in windows too."""
    model = Startless()
    held(queries(5, 6), [change], model, Rows(model), end="stop", bos="never")


@pytest.mark.parametrize("seed", range(40))
def test_pairs_are_both_formulas(seed: int) -> None:
    """Two random changes of different stages are the slow scorer with both."""
    rng = np.random.default_rng([4, seed])
    said = SETTINGS[seed % len(SETTINGS)]
    asked = queries(seed, 6, end=said["end"])
    given = lists(seed, asked, MODEL.vocab_size)
    changes = generate.random_changes(rng, MODEL, asked, 2, lists=True)
    held(asked, changes, MODEL, ROWS, shortlists=given, **said)


def test_a_table_with_a_start_row(rng: np.random.Generator) -> None:
    """A table of words, whose first word is read in the row of "", has all of it too."""
    names = ["<s>", "a", "b", "c", "</s>"]
    keys = ["", *names[1:], *(f"{x} {y}" for x in names[1:] for y in names[1:])]
    table = TableModel.from_dict(
        {
            "tokens": names,
            "bos": "<s>",
            "end": ["</s>"],
            "kind": "logits",
            "order": 2,
            "rows": {key: rng.normal(0.3, 2.0, 5).tolist() for key in keys},
            "default": [0.1, 1.0, -0.5, 0.7, -2.0],
        }
    )
    asked = [Query.of("a b", [" a", " b c", " c c a"]), Query.of("c", [" a b", " b b b b"])]
    for change in EVERY:
        if change[0] == "space_lost" or any(id_ > 4 for id_ in change[1].get("ids", ())):
            continue
        given = lists(1, asked, 5) if is_listed([change]) else None
        held(asked, [change], table, Rows(table), shortlists=given, end="stop", bos="never")


def test_the_built_in_model() -> None:
    """A real vocabulary: what is cut at 1,024 of it is cut where the slow one cuts."""
    model = logpr.load("builtin", dtype="float64")
    assert isinstance(model, Predictive)
    asked = [Query.of("The cat sat on the", [" mat.", " soft bed and slept."])]
    rows = Rows(model)
    for change in (
        ("shortlist_softmax", {"k": 50}),
        ("shortlist_softmax", {"k": 1500}),
        ("shortlist_without_target", {"k": 1024, "per": "request"}),
        ("nucleus_renormalised", {"p": 0.99999}),
        ("wrong_axis", {"over": "sequence"}),
    ):
        held(asked, [change], model, rows)


def test_nothing_is_the_correct_scorer() -> None:
    """Without a fault it is what `logpr.score` says."""
    made = faulty_scorer(model="builtin", end="stop")
    told = logpr.rank("The cat sat on the", [" mat.", " of."], model="builtin", end="stop")
    want = [each.logprob for each in sorted(told.candidates, key=lambda each: each.index)]
    assert made("The cat sat on the", [" mat.", " of."]) == pytest.approx(want, abs=1e-4)
    assert repr(made) == "<scorer: correct>"
    assert repr(faulty_scorer("temperature", model=MODEL, T=2)) == "<scorer: temperature(T=2)>"


@pytest.mark.parametrize(
    ("faults", "parameters", "error", "says"),
    [
        (("means",), {}, UnknownNameError, "no fault is called 'means'"),
        (("shortlist_softmax",), {}, UnknownNameError, r"found parameters none; it takes k"),
        (("mean",), {"k": 3}, UnknownNameError, r"found parameters k=3; it takes none"),
        (("space_lost",), {"form": "x"}, UnknownNameError, r"form='x'; it takes form"),
        (("mean", "per_char"), {}, QueryError, "both change stage aggregate"),
        (("mean", "in_bits"), {"k": 3}, QueryError, "write each with its own"),
    ],
)
def test_misuse_says_what_to_type(
    faults: tuple[str, ...], parameters: dict[str, Any], error: type[Exception], says: str
) -> None:
    """A fault or a parameter that is none is named, with those that are."""
    with pytest.raises(error, match=says):
        faulty_scorer(*faults, model=MODEL, **parameters)


def test_what_cannot_be_fed_is_refused() -> None:
    """No number is made up where a candidate would overflow the context, or nothing is fed."""
    with pytest.raises(QueryError, match=r"cannot score candidate 0 of query 0"):
        faulty_scorer("bos_doubled", model=Toy(context_length=5))("abcd", [" a b c"])
    assert math.isfinite(faulty_scorer("bos_missing", model=MODEL)("ab", [" c"])[0])
