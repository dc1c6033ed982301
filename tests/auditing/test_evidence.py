"""One fault, whatever is at hand to see it by; and what cannot be seen is said to be untested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logpr
from logpr import AuditReport, Query
from logpr.auditing import FAULTS
from logpr.auditing.search import judge
from logpr.errors import NumbersError
from tests.auditing import evidence, generate
from tests.auditing.oracle import Change, Shortlists, claims
from tests.auditing.oracle_rows import Rows
from tests.auditing.toy import Toy, lists, queries

MODEL = Toy()
ROWS = Rows(MODEL)

# Each test is thousands of small calls, all of which other tests make under the checker.
pytestmark = pytest.mark.usefixtures("unchecked", "singles")


@pytest.fixture
def singles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out pairs of changes, seconds of a search that is not what is tested here."""
    monkeypatch.setattr(judge, "pairs", lambda _: iter(()))


def clean(seed: int, count: int = 14, **said: Any) -> list[Query]:  # noqa: ANN401 - Query.of's own
    """Return queries whose candidates share their record's prompt in ids: no boundary merges."""
    rng = np.random.default_rng([5, seed])
    out = []
    for record in range(count // 2):
        texts = {"".join(rng.choice(list("abcdeé"), 1)) for _ in range(9)}
        pair = [
            f" {a}{''.join(rng.choice(list('abcde '), rng.integers(0, 7)))}"
            for a in sorted(texts)[:2]
        ]
        prompt = "".join(rng.choice(list("abcde "), 6)) + "."
        out.append(Query.of(prompt, pair, id=f"r{record}", **said))
    return out


def of_records(records: list[dict[str, Any]]) -> AuditReport:
    """Return the audit of records that bring their own evidence, END named to it."""
    return logpr.audit(records, end_ids=MODEL.end_ids)


def ids(report: AuditReport) -> list[tuple[str, dict[str, Any]]]:
    """Return what was named."""
    return [(each.id, dict(each.parameters)) for each in report.faults]


def untested(report: AuditReport) -> set[str]:
    """Return what the evidence could not test."""
    return {id_ for each in report.untested for id_ in each.ids}


SEEN_IN_ALL: list[Change] = [
    ("mean", {}),
    ("first_token_dropped", {}),
    ("choice_prob", {}),
]
"""Changes that need no more than log-probabilities of the tokens."""


@pytest.mark.parametrize("end", ["open", "stop"])
@pytest.mark.parametrize("kind", ["logits", "logprobs", "compact"])
@pytest.mark.parametrize("change", [None, *SEEN_IN_ALL], ids=str)
def test_each_kind_of_evidence_names_it(change: Change | None, kind: str, end: str) -> None:
    """Rows of logits, rows of log-probabilities and compact steps say the same."""
    changes = [] if change is None else [change]
    records = evidence.records(clean(1, 10), changes, ROWS, kind=kind, end=end)
    # A compact step names END itself.
    report = logpr.audit(records) if kind == "compact" else of_records(records)
    assert report.evidence == kind
    assert ids(report) == changes
    assert report.verdict == (
        "correct"
        if change is None
        else "fault"
        if FAULTS[change[0]].kind == "fault"
        else "other_definition"
    )
    assert report.explained_rows == report.rows_total == 10
    # What is true does not depend on what it is seen by.
    want = claims(clean(1, 10), [], model=MODEL, rows=ROWS, end=end).scores
    told = [row.logprob for row in report.rows]
    assert told == pytest.approx([score for record in want for score in record], abs=1e-6)


OF_LOGITS: list[Change] = [
    ("raw_logit_sum", {}),
    ("shortlist_softmax", {"k": 5}),
    ("shortlist_without_target", {"k": 3, "per": "step"}),
    ("candidates_softmax", {}),
    ("double_softmax", {}),
    ("wrong_axis", {"over": "continuation"}),
]


@pytest.mark.parametrize("end", ["open", "stop"])
@pytest.mark.parametrize("change", OF_LOGITS, ids=str)
def test_whole_rows_of_logits_show_normalisations(change: Change, end: str) -> None:
    """What is made of a row's logits is seen in inline logits."""
    report = of_records(evidence.records(clean(2, 10), [change], ROWS, kind="logits", end=end))
    assert ids(report) == [change]


@pytest.mark.parametrize("end", ["open", "stop"])
def test_what_log_probabilities_do_not_show(end: str) -> None:
    """An endpoint's log-probabilities say nothing of raw logits, and much of the rest."""
    raw = of_records(
        evidence.records(clean(2, 8), [("raw_logit_sum", {})], ROWS, kind="logprobs", end=end)
    )
    assert raw.verdict == "unexplained"
    assert {"raw_logit_sum", "linear_normalisation", "wrong_axis", "half_precision"} <= untested(
        raw
    )
    for change in (("shortlist_softmax", {"k": 5}), ("double_softmax", {})):
        report = of_records(
            evidence.records(clean(2, 10), [change], ROWS, kind="logprobs", end=end)
        )
        assert ids(report) == [change]
        assert "shortlist_softmax" not in untested(report)


@pytest.mark.parametrize("end", ["open", "stop"])
@pytest.mark.parametrize(
    "change",
    [
        ("raw_logit_sum", {}),
        ("shortlist_softmax", {"k": 5}),
        ("shortlist_without_target", {"k": 3, "per": "step"}),
    ],
    ids=str,
)
def test_compact_steps_show_their_top(change: Change, end: str) -> None:
    """The logit, logz and the largest of each step are enough for these; more is untested."""
    report = logpr.audit(evidence.records(clean(3, 10), [change], ROWS, kind="compact", end=end))
    assert ids(report) == [change]
    assert {"temperature", "nucleus_renormalised", "double_softmax"} <= untested(report)


def test_other_logits_at_one_prefix_of_compact_steps_are_refused() -> None:
    """Candidates of a record share the rows of what they share, and the message says so."""
    steps = [
        {"token_id": token, "logit": 1.0, "logz": 1.5, "top_ids": [token], "top_logits": [1.0]}
        for token in (3, 4)
    ]
    candidates = [{"token_ids": [s["token_id"]], "steps": [s], "score": -0.5} for s in steps]
    with pytest.raises(NumbersError, match="another candidate of the record has other logits"):
        logpr.audit([{"prompt_ids": [1], "candidates": candidates}])


def test_a_temperature_is_not_seen_in_compact_steps() -> None:
    """What needs the whole row is not guessed from its top."""
    records = evidence.records(clean(3, 6), [("temperature", {"T": 1.9})], ROWS, kind="compact")
    report = logpr.audit(records)
    assert "temperature" not in {name for name, _ in ids(report)}
    assert report.verdict in ("unexplained", "not_enough_precision")
    assert "temperature" in untested(report)


@pytest.mark.parametrize("end", ["open", "stop"])
@pytest.mark.parametrize("change", [None, ("mean", {}), ("temperature", {"T": 1.9})], ids=str)
def test_a_file_of_recorded_logits(change: Change | None, end: str, tmp_path: Path) -> None:
    """`logits:FILE.npz` in place of the model, for records in ids."""
    changes = [] if change is None else [change]
    path = evidence.dumped(clean(4), ROWS, tmp_path / "rows.npz", end=end)
    records = evidence.records(clean(4), changes, ROWS, kind=None, end=end)
    report = logpr.audit(records, model=f"logits:{path}")
    assert [name for name, _ in ids(report)] == [name for name, _ in changes]
    assert report.explained_rows == 14


@pytest.mark.parametrize("change", [("mean", {}), ("shortlist_softmax", {"k": 4})], ids=str)
@pytest.mark.parametrize("end", ["open", "stop"])
def test_a_model_and_ids(change: Change, end: str) -> None:
    """Records in ids (prompt_ids, token_ids) against a model."""
    report = logpr.audit(
        evidence.records(queries_in_ids(end), [change], ROWS, kind=None, end=end), model=MODEL
    )
    assert ids(report) == [change]


def queries_in_ids(end: str) -> list[Query]:
    """Return records of ids alone."""
    rng = np.random.default_rng(8)
    return [
        Query.of(
            prompt_ids=[1, *rng.integers(2, 40, 4).tolist()],
            candidates=[rng.integers(2, 40, size).tolist() for size in (1, 3, 4)],
            end=end,  # type: ignore[arg-type]
        )
        for _ in range(5)
    ]


def test_token_scores_alone_show_what_was_made_of_them() -> None:
    """With no evidence but the tokens' own scores, the stages after them are named."""
    records = evidence.records(clean(5), [("mean", {})], ROWS, kind=None, tokens=True)
    report = logpr.audit(records)
    assert (report.verdict, report.evidence) == ("other_definition", "token scores")
    assert ids(report) == [("mean", {})]
    right = logpr.audit(evidence.records(clean(5), [], ROWS, kind=None, tokens=True))
    assert (right.verdict, right.faults) == ("not_enough_evidence", ())
    assert right.exit_code == 2


def test_numbers_alone() -> None:
    """Nothing but scores: no accusation without evidence, and all of the zoo is untested."""
    report = logpr.audit(evidence.records(clean(5), [("mean", {})], ROWS, kind=None))
    assert (report.verdict, report.faults, report.exit_code) == ("not_enough_evidence", (), 2)
    assert untested(report) == set(FAULTS)


# shortlists


@pytest.mark.parametrize("kind", ["logits", "model"])
@pytest.mark.parametrize(
    "change", [("shortlist_given", {}), ("shortlist_without_target", {"lists": "given"})], ids=str
)
def test_logged_lists(change: Change, kind: str) -> None:
    """A softmax over lists that were logged is named, and each step's mass is the true one."""
    asked = clean(6)
    given = lists(6, asked, MODEL.vocab_size)
    forced = change[0] == "shortlist_given"
    report = logpr.audit(
        evidence.records(
            asked,
            [change],
            ROWS,
            kind=None if kind == "model" else kind,
            tokens=True,
            shortlists=given,
        ),
        model=MODEL if kind == "model" else None,
    )
    assert ids(report) == [change]
    masses_agree(report, asked, given, forced=forced)


def masses_agree(
    report: AuditReport, asked: list[Query], given: Shortlists, *, forced: bool
) -> None:
    """Hold the masses of a report against the true ones."""
    want: dict[tuple[int, int, int], float] = {}
    places: dict[int, int] = {}
    for item in evidence.items(asked, ROWS, end="open"):
        place = places.setdefault(item.record, 0)
        places[item.record] += 1
        found = evidence.masses(item, ROWS, given[item.record][place], forced=forced)
        want |= {(item.record, place, at): mass for at, mass in enumerate(found)}
    told = {(step.id, step.index, step.position): step.mass for step in report.shortlist}
    assert told.keys() == want.keys()
    for key, mass in want.items():
        assert told[key] == pytest.approx(mass, rel=2e-4)


def test_lists_that_nobody_logged() -> None:
    """From token scores alone: every step covers a share of the distribution, and this is which."""
    asked = clean(7, 8)
    given = lists(7, asked, MODEL.vocab_size)
    records = evidence.records(
        asked, [("shortlist_given", {})], ROWS, kind=None, tokens=True, shortlists=given
    )
    for record in records:
        for claim in record["candidates"]:
            del claim["shortlist_ids"]
    report = logpr.audit(records, model=MODEL)
    assert report.verdict == "fault"
    assert [name for name, _ in ids(report)] == ["shortlist_unknown"]
    masses_agree(report, asked, given, forced=True)
    assert all(0 < step.mass <= 1 + 1e-3 for step in report.shortlist)


def test_random_errors_are_no_lists() -> None:
    """Steps that are off to both sides are no softmax over a list."""
    rng = np.random.default_rng(3)
    records = evidence.records(clean(7, 6), [], ROWS, kind=None, tokens=True)
    for record in records:
        for claim in record["candidates"]:
            moved = [float(v) + rng.normal() for v in claim["token_scores"]]
            claim["token_scores"] = [f"{v:.4f}" for v in moved]
            claim["score"] = f"{sum(moved):.4f}"
    report = logpr.audit(records, model=MODEL)
    assert report.verdict == "unexplained"
    assert report.shortlist == ()


# what is declared

RULES: list[tuple[dict[str, str], list[Change]]] = [
    ({"rule": "per_token"}, [("mean", {})]),
    ({"rule": "per_char"}, [("per_char", {})]),
    ({"rule": "per_byte"}, [("per_byte", {})]),
    ({"rule": "choice_prob"}, [("choice_prob", {})]),
    ({"rule": "length_penalty(0.6)"}, [("length_penalty", {"alpha": 0.6, "form": "gnmt"})]),
    ({"rule": "pmi"}, [("pmi", {})]),
    ({"unit": "bits"}, [("in_bits", {})]),
    ({"unit": "log10"}, [("in_log10", {})]),
    ({"unit": "probability"}, [("probability", {})]),
    ({"unit": "perplexity"}, [("perplexity", {})]),
    ({"rule": "per_token", "unit": "bits"}, [("mean", {}), ("in_bits", {})]),
]


@pytest.mark.parametrize(("says", "changes"), RULES, ids=str)
def test_what_is_declared_is_correct(says: dict[str, str], changes: list[Change]) -> None:
    """Each rule and unit is correct where it is declared; plain log Pr is another definition."""
    end = "stop" if len(str(says)) % 2 else "open"
    asked = queries(9, 12, end=end)
    found = claims(asked, changes, model=MODEL, rows=ROWS, end=end)
    decimals = 6 if says.get("unit") == "probability" or "choice_prob" in str(says) else 4
    report = logpr.audit(generate.records(asked, found, decimals, declares=says), model=MODEL)
    assert (report.verdict, report.faults) == ("correct", ())
    assert dict(report.declared) | says == dict(report.declared)
    if len(changes) > 1:
        return  # two changes away
    plain = claims(asked, [], model=MODEL, rows=ROWS, end=end)
    other = logpr.audit(generate.records(asked, plain, 4, declares=says), model=MODEL)
    assert other.verdict == "other_definition"
    assert {name for name, _ in ids(other)} <= {"logprob", "nats"}


def test_bits_per_byte_is_a_rule() -> None:
    """−log Pr / (bytes · ln 2), declared."""
    asked = queries(9, 12)
    found = claims(asked, [("per_byte", {})], model=MODEL, rows=ROWS).scores
    records = [
        {
            "prompt": query.prompt,
            "candidates": [
                {"text": c.text, "score": f"{-value / np.log(2):.4f}"}
                for c, value in zip(query.candidates, values, strict=True)
            ],
            "declares": {"rule": "bits_per_byte"},
        }
        for query, values in zip(asked, found, strict=True)
    ]
    report = logpr.audit(records, model=MODEL)
    assert report.verdict == "correct"
    # Fewer bits are better: the chosen one is the least, and no decision flips.
    assert report.flips == 0


@pytest.mark.parametrize(
    "said",
    [
        {"end": "stop"},
        {"boundary": "joint"},
        {"bos": "never"},
        {"bos": "always"},
        {"end": "stop", "boundary": "joint", "bos": "always"},
    ],
    ids=str,
)
def test_conventions_are_as_declared(said: dict[str, Any]) -> None:
    """END, the boundary and the start token are those that the claims declare."""
    asked = queries(10, 14)
    found = claims(asked, [], model=MODEL, rows=ROWS, **said)
    records = generate.records(asked, found, 4, declares=said)
    report = logpr.audit(records, model=MODEL)
    assert (report.verdict, report.faults) == ("correct", ())
    assert dict(said).items() <= dict(report.declared).items()
    if len(said) == 1 and said != {"bos": "always"}:  # what auto does, too
        for record in records:
            del record["declares"]
        assert logpr.audit(records, model=MODEL).verdict in ("fault", "other_definition")


def test_a_conversation() -> None:
    """Messages are encoded by the model's chat template, and faults are found behind them."""
    asked = queries(11, 12)
    shown = [Query.of(f"{query.prompt}. ab.", query.candidates) for query in asked]
    tried: list[list[Change]] = [[], [("mean", {})], [("shortlist_softmax", {"k": 6})]]
    for changes in tried:
        found = claims(shown, changes, model=MODEL, rows=ROWS, end="stop").scores
        records = [
            {
                "messages": [{"role": "user", "content": query.prompt}],
                "candidates": [
                    {"text": c.text, "score": f"{value:.4f}"}
                    for c, value in zip(query.candidates, values, strict=True)
                ],
            }
            for query, values in zip(asked, found, strict=True)
        ]
        report = logpr.audit(records, model=MODEL)
        assert report.end == "stop"  # a turn ends
        assert ids(report) == changes


def test_end_of_several_ids() -> None:
    """END of three ids is one outcome in every kind of evidence that has whole rows."""
    model = Toy(end_ids=(0, 5, 9))
    rows = Rows(model)
    asked = clean(12)
    tried: list[list[Change]] = [[], [("shortlist_softmax", {"k": 4})]]
    for changes in tried:
        records = evidence.records(asked, changes, rows, kind="logits", end="stop")
        report = logpr.audit(records, end_ids=[0, 5, 9])
        assert ids(report) == changes
        plain = evidence.records(asked, changes, rows, kind=None, end="stop")
        assert ids(logpr.audit(plain, model=model)) == changes
