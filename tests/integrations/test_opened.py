"""A model as an evaluation names it: its options, its length, its prefix."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import logpr
from logpr.errors import QueryError
from logpr.integrations._opened import Opened, opened
from logpr.models.base import EncoderDecoder, Refining
from logpr.models.table import TableModel
from tests.integrations.twins import WORDS, Twins

NOT_SAID: dict[str, Any] = {"max_length": None, "add_bos_token": None, "prefix_token_id": None}


def open_model(pretrained: Any, options: dict[str, Any] | None = None, **said: Any) -> Opened:  # noqa: ANN401
    """Open a model with what is said, and nothing else."""
    return opened(pretrained, options or {}, **{**NOT_SAID, **said})


def test_what_the_model_declares_is_taken() -> None:
    """Length, start, prefix and end are the model's own where nothing is said."""
    found = open_model("builtin")
    assert found.name == "builtin"
    assert (found.max_length, found.encoder.prefix_id, found.end_id) == (1024, 0, 1)
    assert found.encoder.adds_bos
    lm = logpr.load("builtin")
    assert open_model(lm).model is lm
    assert open_model(lm, max_length=7, prefix_token_id=1).encoder.prefix_id == 1
    assert not open_model(lm, add_bos_token=False).encoder.adds_bos


def test_a_model_that_declares_nothing() -> None:
    """Without a length 2048, as the harness has it; without a start token the end token is one."""
    model = TableModel.from_dict(WORDS)
    found = open_model(model)
    assert model.context_length == sys.maxsize
    assert found.max_length == 2048
    assert found.tokenizer.bos_id is None
    assert found.encoder.prefix_id == found.end_id == 2


def test_a_fast_model_is_its_exact_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness compares the numbers it gets: dtype=auto never shows it the fast ones."""
    pair = Twins.of_words()
    assert isinstance(pair, Refining)
    assert open_model(pair).model is pair.exact
    asked: dict[str, Any] = {}

    def load(name: str, **options: Any) -> Twins:  # noqa: ANN401
        asked.update(options, name=name)
        return pair

    monkeypatch.setattr("logpr.integrations._opened.load", load)
    found = open_model("words", {"dtype": "auto"})
    assert asked == {"name": "words", "dtype": "auto"}
    assert (found.model, found.name) == (pair.exact, "words")


def test_a_model_of_ids_is_refused(tmp_path: Path) -> None:
    """Recorded logits have no tokenizer, and the harness asks in text."""
    file = tmp_path / "one.npz"
    np.savez(file, prompt_ids=np.array([1]), logits=np.zeros((1, 3), dtype=np.float32))
    with pytest.raises(
        QueryError, match=r"one\.npz has no tokenizer, and the harness asks in text"
    ):
        open_model(f"logits:{file}")


@pytest.mark.parametrize(
    ("options", "said", "message"),
    [
        (
            {"dtyp": "x"},
            {},
            "there is no 'dtyp'; there are pretrained, .*, and of logpr.load dtype",
        ),
        ({}, {"max_length": 0}, "max_length is from 1 to the model's context, 1024; found 0"),
        ({}, {"prefix_token_id": -1}, "prefix_token_id=-1 is outside the model's vocabulary"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], said: dict[str, Any], message: str) -> None:
    """The option, its value and what there is instead."""
    with pytest.raises(QueryError, match=message):
        open_model("builtin", options, **said)
    with pytest.raises(QueryError, match="dtype is for loading, and the model given is loaded"):
        open_model(logpr.load("builtin"), {"dtype": "float32"})


def test_a_model_with_an_encoder_is_refused() -> None:
    """Its decoder alone would give other numbers than the harness's without a word."""
    members = """tokenizer vocab_size context_length end_ids decoder_start_ids
        source_tokenizer source_frame source_vocab_size source_length"""
    fake = SimpleNamespace(
        provenance=SimpleNamespace(model="t5"),
        edges=print,
        given=print,
        **dict.fromkeys(members.split()),
    )
    assert isinstance(fake, EncoderDecoder)
    with pytest.raises(QueryError, match="t5 has an encoder"):
        open_model(fake)
