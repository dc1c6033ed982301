"""Which changes evidence can test, and what it lacks for the others; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logpr
from logpr import Query
from logpr._score import Settings
from logpr.auditing.faults import FAULTS
from logpr.auditing.faults._entry import Change
from logpr.auditing.scene.build import build
from logpr.auditing.scene.rows import Asked, Known, Rows
from logpr.auditing.scene.scene import Scene
from logpr.auditing.search import judge
from logpr.auditing.search.pipeline import Declared, Pipeline, changes, lacking, pairs
from logpr.auditing.search.predict import Bench
from logpr.auditing.search.targets import declared_of, declares_of_all
from logpr.errors import QueryError
from logpr.io.claims import read_claims
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, Model, NextRows, Predictive
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import Pack
from tests.auditing import evidence, generate
from tests.auditing.oracle import Change as Changed
from tests.auditing.oracle import claims
from tests.auditing.oracle_rows import Rows as SlowRows
from tests.auditing.toy import Toy

MODEL = Toy()
ROWS = SlowRows(MODEL)

RAW = "raw logits (an endpoint's log-probabilities say nothing of them)"
WHOLE = "whole rows of logits"
LARGEST = "each step's largest logits"

# "ab." is one prompt for both, and no candidate's beginning merges with it.
QUERIES = [Query.of("cde.", [" a", " bc d"], id="q0"), Query.of("b.", [" é", " c"], id="q1")]

TOKENS_ONLY = {
    *("unshifted", "shifted_twice", "first_token_dropped", "last_token_dropped"),
    *("prompt_last_included", "prompt_included", "not_teacher_forced"),
    *("logprob_over_temperature", "log_epsilon"),
    *("pad_counted", "mean", "mean_over_padded", "mean_with_prompt_length"),
    *("loss_times_wrong_count", "length_penalty", "product_then_log"),
    *("mean_probability", "first_token_only", "last_token_only", "min_token", "pmi"),
    *("in_bits", "in_log10", "negated", "probability", "perplexity", "choice_prob"),
    *("prompt_dropped", "left_pad_unmasked", "truncated_context"),
}
"""What is tried of two records of plain tokens, whatever their rows hold beside log-probabilities.

Not tried are: what they are declared to be; `window_restart`, for no sequence fills a window;
`row_reused`, for no two requests feed the same ids; `eos_as_pad_masked`, for no pad is scored;
`shortlist_given`, for no list was logged; `per_char` and `per_byte`, for ids have no text; and of
the encodings all but END, which is added where its ids are known.
"""
WHOLE_ROWS = {
    *("candidates_softmax", "nucleus_renormalised", "temperature", "double_softmax"),
    "vocab_rows_masked",
}
LISTS = {"shortlist_softmax", "shortlist_without_target"}
LOGITS = {"raw_logit_sum", "linear_normalisation", "wrong_axis", "half_precision"}


def scene_of(
    records: list[dict[str, Any]], model: Model | None, end_ids: tuple[int, ...] | None = None
) -> tuple[Scene, Declared]:
    """Return the scene of some records."""
    rows = read_claims(records, needs_prompt=model is not None)
    built = build(rows, model, Settings(end_ids=end_ids))
    assert built is not None
    return built.scene, declared_of(declares_of_all(rows), summed=False)


def recorded(kind: str) -> tuple[Scene, Declared]:
    """Return the scene of the two records in ids, with one kind of evidence beside them."""
    records = evidence.records(QUERIES, [], ROWS, kind=kind)
    return scene_of(records, None, end_ids=MODEL.end_ids)


def possible(scene: Scene, declared: Declared) -> set[str]:
    """Return the ids of what can be tried."""
    return {change.fault for change in changes(scene, declared).possible}


def test_logits_lack_nothing() -> None:
    """Whole rows of logits: every formula of tokens and rows, and nothing is left untested."""
    scene, declared = recorded("logits")
    assert possible(scene, declared) == TOKENS_ONLY | WHOLE_ROWS | LISTS | LOGITS | {"eos_added"}
    assert changes(scene, declared).lacking == {}


def test_logprobs_say_nothing_of_logits() -> None:
    """An endpoint's log-probabilities: what needs raw logits is named, all else is possible."""
    scene, declared = recorded("logprobs")
    assert possible(scene, declared) == TOKENS_ONLY | WHOLE_ROWS | LISTS | {"eos_added"}
    assert changes(scene, declared).lacking == {RAW: LOGITS}


def test_compact_records_have_no_whole_rows() -> None:
    """The largest logits of each step: top-k lists of the step's own row, no more."""
    scene, declared = recorded("compact")
    # A list of the request's first row, applied to later ones, needs those whole.
    assert possible(scene, declared) == TOKENS_ONLY | LISTS | {"raw_logit_sum", "eos_added"}
    whole = WHOLE_ROWS | (LOGITS - {"raw_logit_sum"}) | {"shortlist_without_target"}
    assert changes(scene, declared).lacking == {WHOLE: whole}


def test_compact_records_without_a_top_have_no_lists() -> None:
    """Nothing but the chosen logit and its log-normaliser."""
    records = evidence.records(QUERIES, [], ROWS, kind="compact")
    for record in records:
        for candidate in record["candidates"]:
            for step in candidate["steps"]:
                step |= {"top_ids": [], "top_logits": []}
    scene, declared = scene_of(records, None)
    assert possible(scene, declared) == TOKENS_ONLY | {"raw_logit_sum"}
    whole = WHOLE_ROWS | (LOGITS - {"raw_logit_sum"}) | {"shortlist_without_target"}
    assert changes(scene, declared).lacking == {WHOLE: whole, LARGEST: LISTS}


def test_numbers_alone_have_no_scene() -> None:
    """No model and no rows: nothing can be tried, and no scene is laid out."""
    records = evidence.records(QUERIES, [], ROWS, kind=None)
    assert build(read_claims(records), None, Settings()) is None


class Endpoint(Toy):
    """A toy that shows log-probabilities and keeps its logits to itself."""

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return log-probabilities alone."""
        return NextRows(super().next_logits(prefixes).logprobs, None, None)


def test_a_model_of_logprobs_is_known_by_its_first_row() -> None:
    """Whether a model has logits shows in what it returns."""
    records = generate.records(QUERIES, claims(QUERIES, [], model=MODEL, rows=ROWS), 4)
    scene, declared = scene_of(records, Endpoint())
    scene.source.rows([(0, scene.cases[0].material.context)])
    assert changes(scene, declared).lacking == {RAW: LOGITS}


def test_a_model_can_be_asked_all_that_texts_allow() -> None:
    """Texts and a model: the encoding is tried too, END that y does not have among it."""
    records = generate.records(QUERIES, claims(QUERIES, [], model=MODEL, rows=ROWS), 4)
    scene, declared = scene_of(records, MODEL)
    found = possible(scene, declared)
    assert changes(scene, declared).lacking == {}
    of_texts = {"eos_added", "bos_missing", "bos_doubled", "per_char", "per_byte"}
    assert found >= TOKENS_ONLY | WHOLE_ROWS | LISTS | LOGITS | of_texts
    assert "eos_missing" not in found


def test_what_is_declared_is_no_change() -> None:
    """A declared mean in bits is the correct scorer; sums and nats are changes then."""
    records = evidence.records(QUERIES, [], ROWS, kind="logits", rule="per_token", unit="bits")
    found = possible(*scene_of(records, None, end_ids=MODEL.end_ids))
    assert not found & {"mean", "in_bits"}
    assert found >= {"logprob", "nats"}


def test_windows_and_batches_that_few_people_choose_come_with_thorough() -> None:
    """Of 80 tokens windows 2 to 7 are tried only then, each with and without a start token."""
    prompt = "".join(f" {letter}" for letter in "abcde" * 16)
    asked = [Query.of(prompt, [" a", " b"])]
    model = Toy(context_length=512)
    made = claims(asked, [], model=model, rows=SlowRows(model))
    scene, declared = scene_of(generate.records(asked, made, 4), model)

    def windows(*, thorough: bool) -> set[object]:
        found = changes(scene, declared, thorough=thorough).possible
        return {dict(each.fixed)["window"] for each in found if each.fault == "window_restart"}

    assert windows(thorough=True) - windows(thorough=False) == {2, 3, 4, 5, 6, 7}
    assert windows(thorough=False) == set(range(8, 65))


@dataclass(frozen=True)
class Source:
    """A source that is asked what it has, and never for it."""

    raw: bool
    top: int | None
    vocab: int = 4
    starts: bool = False
    rest: bool = False

    def rows(self, asked: Sequence[Asked]) -> tuple[Rows, Known]:
        """Fail: what is lacking is known before."""
        raise NotImplementedError

    def columns(self, owner: int) -> None:
        """Return None: a column for every id."""


@pytest.mark.parametrize(
    ("needs", "endpoint", "compact", "chosen"),
    [
        # Of an endpoint's log-probabilities; of compact steps with and without a top.
        ("", None, None, None),
        ("logit", RAW, None, None),
        ("top", None, None, LARGEST),
        ("row", None, WHOLE, WHOLE),
        ("raw", RAW, WHOLE, WHOLE),
        ("positions", RAW, WHOLE, WHOLE),
        ("lists", None, None, None),
        ("text", None, None, None),
        ("neutral", None, None, None),
    ],
)
def test_lacking(needs: str, endpoint: str | None, compact: str | None, chosen: str | None) -> None:
    """Each need is met by logits; what others lack for it is told."""
    change = Change("any", "normalise", lambda: None, needs=needs)

    def of(source: Source) -> str | None:
        return lacking(Scene(cases=(), source=source, noise=0.0), change)

    assert of(Source(raw=True, top=None)) is None
    assert of(Source(raw=False, top=None)) == endpoint
    assert of(Source(raw=True, top=5)) == compact
    assert of(Source(raw=True, top=0)) == chosen


# what formulas take of each other's rows


@pytest.mark.parametrize("first", ["raw_logit_sum", "temperature"])
def test_the_rivals_do_not_depend_on_what_was_tried_before(first: str) -> None:
    """A softmax over the candidates gives the same after formulas that read the same rows."""
    scene, declared = recorded("logits")
    asked = [change for change in changes(scene, declared).possible if change.fault == first]
    pipelines = [Pipeline((asked[0],)), Pipeline((FAULTS["candidates_softmax"].apply(),))]
    bench = Bench(scene, declared, tuple(range(4)))
    bench.fetch(pipelines)
    bench.predict(pipelines[0], {} if asked[0].axis is None else {"normalise": np.array([2.0])})
    found = bench.predict(pipelines[1], {}).values[0]
    slow = claims(QUERIES, [("candidates_softmax", {})], model=MODEL, rows=ROWS).scores
    assert found == pytest.approx([score for record in slow for score in record])
    # The first step has two tokens to choose from; a longer candidate's later steps have one each.
    assert (found < 0).all()


def test_a_softmax_over_the_candidates_is_named_beside_another_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two changes, one of which reads the same rows as many that are tried before it."""

    def last_stages(found: Sequence[Change]) -> Iterator[Pipeline]:
        """Leave out pairs that read other rows, seconds of a search."""
        return pairs([each for each in found if each.stage in ("normalise", "unit")])

    monkeypatch.setattr(judge, "pairs", last_stages)
    asked = [*QUERIES, Query.of("ade.", [" cab", " d", " bade é"], id="q2")]
    changed: list[Changed] = [("candidates_softmax", {}), ("negated", {})]
    report = logpr.audit(
        generate.records(asked, claims(asked, changed, model=MODEL, rows=ROWS), 6), model=MODEL
    )
    assert report.verdict == "fault"
    assert [fault.id for fault in report.faults] == ["candidates_softmax", "negated"]


# what is refused


class Pair(Toy):
    """An encoder-decoder: the toy's rows are its decoder's."""

    decoder_start_ids: tuple[int, ...] = (1,)
    source_frame: tuple[tuple[int, ...], tuple[int, ...]] = ((), (0,))
    source_length: int = 64

    @property
    def source_tokenizer(self) -> Tokenizer | None:
        """That of y."""
        return self.tokenizer

    @property
    def source_vocab_size(self) -> int:
        """That of y."""
        return self.vocab_size

    def given(self, source_ids: Sequence[int]) -> Predictive:
        """Return the decoder; this one does not listen to x."""
        del source_ids
        return Toy()


class Quiet:
    """A model that scores given tokens and shows no rows."""

    tokenizer = MODEL.tokenizer
    vocab_size = MODEL.vocab_size
    context_length = MODEL.context_length
    end_ids = MODEL.end_ids
    provenance = MODEL.provenance

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Fail: an audit is refused before it asks."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Pair(), "'toy' is an encoder-decoder, and an audit tries formulas of models that read"),
        (Quiet(), "'toy' shows no whole rows of logits after a prefix"),
    ],
)
def test_models_that_cannot_be_audited_are_refused(model: Model, why: str) -> None:
    """The message says what the model is, and what can be audited instead."""
    records = generate.records(QUERIES, claims(QUERIES, [], model=MODEL, rows=ROWS), 4)
    with pytest.raises(QueryError) as found:
        logpr.audit(records, model=model)
    message = str(found.value)
    assert message.startswith(why)
    assert "logpr.record('run.npz')" in message
    assert "logpr.audit('run.npz')" in message


def test_the_way_out_is_open(tmp_path: Path) -> None:
    """Rows that an encoder-decoder's scorer recorded are audited, and a mean of them is named."""
    rng = np.random.default_rng(2)
    rows = Pair().given([5, 6, 0])
    with logpr.record(tmp_path / "run.npz") as recorder:
        for number in range(6):
            candidates = []
            for size in (2, 3, 4):
                tokens = rng.integers(2, MODEL.vocab_size, size).tolist()
                fed = [(1, number + 2, *tokens[:place]) for place in range(size)]
                logits = rows.next_logits(fed).logits
                assert logits is not None
                logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
                score = logprobs[np.arange(size), tokens].mean()
                candidates.append({"token_ids": tokens, "logits": logits, "score": f"{score:.5f}"})
            recorder.add(prompt_ids=[1, number + 2], candidates=candidates)
    report = logpr.audit(tmp_path / "run.npz")
    assert [fault.id for fault in report.faults] == ["mean"]
