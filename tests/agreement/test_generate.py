"""Greedy and beam search against transformers' `generate`, token for token, on a real model.

`generate` counts the end token among `max_new_tokens` and mixes outputs that were cut with outputs
that ended: so it is given one token more, and of its outputs those that ended are compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import logpr
from logpr.models.base import Model

END, LONGEST, WIDTH, PROMPTS = 1, 12, 5, 100

# Thousands of steps, each through the checks of every call: twice the time, and nothing new.
pytestmark = pytest.mark.usefixtures("unchecked")

Prompts = list[tuple[int, ...]]


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    """Return the folder of the model."""
    return data_dir / "models" / "stories260K"


@pytest.fixture(scope="module")
def ours(folder: Path) -> Model:
    """Return it as logpr runs it."""
    return logpr.load(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:  # noqa: ANN401 - transformers' own class
    """Return it as transformers runs it."""
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def prompts(ours: Model, data_dir: Path) -> Prompts:
    """Half are beginnings of stories, half are stories up to a few tokens before their end."""
    stories = (data_dir / "text" / "tinystories_train_first2MiB.txt").read_text("utf-8")
    assert ours.tokenizer is not None
    out: Prompts = []
    for story in stories.split("<|endoftext|>"):
        ids = (END, *ours.tokenizer.encode(story.strip(), parse_special=False))
        if 60 < len(ids) < 400:
            number = len(out)
            out.append(ids[: -(1 + number % 12)] if number % 2 else ids[: 20 + number % 30])
        if len(out) == PROMPTS:
            return out
    msg = "too few stories"
    raise AssertionError(msg)


def generated(model: Any, prompt: tuple[int, ...], **options: Any) -> list[list[int]]:  # noqa: ANN401
    """Return the new tokens of each sequence that `generate` returns."""
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0, **options
        )
    rows: list[list[int]] = out[:, len(prompt) :].tolist()
    return rows


def test_greedy_takes_the_tokens_of_generate(ours: Model, theirs: Any, prompts: Prompts) -> None:  # noqa: ANN401
    """All 100 prompts, token for token, and an output ends where theirs does."""
    ended = 0
    for prompt in prompts:
        (want,) = generated(theirs, prompt, max_new_tokens=LONGEST + 1, eos_token_id=END)
        found = logpr.decode(
            prompt_ids=prompt, model=ours, method="greedy", end_ids=[END], max_new_tokens=LONGEST,
            compare=False,
        ).best  # fmt: skip
        assert found is not None
        ended += found.finished
        assert [*found.token_ids, *([END] if found.finished else [])] == (
            want if want[-1] == END else want[:LONGEST]
        )
    assert 10 < ended < PROMPTS


@pytest.mark.parametrize(("objective", "penalty"), [("logprob", 0.0), ("per_token(0.7)", 0.7)])
def test_beams_end_with_the_outputs_of_generate(
    ours: Model,
    theirs: Any,  # noqa: ANN401 - transformers' own class
    prompts: Prompts,
    objective: str,
    penalty: float,
) -> None:
    """All that ended, in their order, whatever the sums are divided by."""
    compared = 0
    chosen = prompts if objective == "logprob" else prompts[:10]
    for prompt in chosen:
        rows = generated(
            theirs, prompt, max_new_tokens=LONGEST + 1, eos_token_id=END, num_beams=WIDTH,
            num_return_sequences=WIDTH, length_penalty=penalty, early_stopping=False,
        )  # fmt: skip
        want = [tuple(row[: row.index(END)]) for row in rows if END in row]
        found = logpr.decode(
            prompt_ids=prompt, model=ours, method="beam", n=WIDTH, width=WIDTH, end_ids=[END],
            max_new_tokens=LONGEST, objective=objective, compare=False,
        )  # fmt: skip
        outputs = [one.token_ids for one in found.nbest if one.finished]
        # Theirs that were cut may have taken the places of some that ended.
        assert outputs[: len(want)] == want
        compared += len(want)
    assert compared > len(chosen) // 2


def test_beams_of_fixed_length_are_those_of_generate(
    ours: Model,
    theirs: Any,  # noqa: ANN401 - transformers' own class
    prompts: Prompts,
) -> None:
    """Without an end token: all five, in their order."""
    for prompt in prompts[:20:2]:
        rows = generated(
            theirs, prompt, max_new_tokens=LONGEST, eos_token_id=None, num_beams=WIDTH,
            num_return_sequences=WIDTH, length_penalty=0.0,
        )  # fmt: skip
        found = logpr.decode(
            prompt_ids=prompt, model=ours, method="beam", n=WIDTH, width=WIDTH, end="open",
            min_new_tokens=LONGEST, max_new_tokens=LONGEST, compare=False,
        )  # fmt: skip
        assert [list(one.token_ids) for one in found.nbest] == rows
