"""Beam search beside `generate` of transformers: the same beam, the same outputs, in turn.

Outputs have exactly so many tokens of any kind, so that both walk the same steps. Three calls of
logpr are timed: the search alone, the verb, and the verb with what it compares.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedModel

import logpr
from benchmarks.decode import texts
from benchmarks.decode.models import Case
from benchmarks.decode.stories import outputs_of
from benchmarks.decode.texts import Ids
from logpr.decoding.beam import beam_search
from logpr.decoding.limits import Budget, Clock
from logpr.decoding.space import Space
from logpr.models.base import Model, Stepwise

GENERATE = "transformers generate"


@dataclass(slots=True)
class Times:
    """Seconds of each call for every prompt, and for how many prompts two calls disagree."""

    case: str
    width: int
    length: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    differ: int = 0

    def add(self, name: str, seconds: float) -> None:
        """Add the time of a call for the next prompt."""
        self.seconds.setdefault(name, []).append(seconds)


def measured(case: Case, data: Path, *, prompts: int, width: int, length: int) -> Times:
    """Return the times of all calls, whose order changes from prompt to prompt.

    Args:
        case: the model.
        data: folder of the stories.
        prompts: how many.
        width: of the beam.
        length: tokens of each output.
    """
    ours = logpr.load(case.spec)
    theirs = case.in_transformers()
    assert theirs.generation_config is not None
    theirs.generation_config.eos_token_id = None  # outputs of exactly `length` tokens
    tokenizer = ours.tokenizer
    assert tokenizer is not None
    assert tokenizer.bos_id is not None, "these models have a start token"
    told = texts.stories(data / texts.STORIES, tokenizer, prompts, tokenizer.bos_id)
    out = Times(case.name, width, length)
    calls: dict[str, Callable[[Ids], Ids]] = {
        GENERATE: lambda ids: _generated(theirs, ids, width, length),
        "the search alone": lambda ids: _searched(ours, ids, width, length),
        "logpr.decode(…, compare=False)": lambda ids: _decoded(ours, ids, width, length, False),  # noqa: FBT003 - a lambda
        "logpr.decode(…)": lambda ids: _decoded(ours, ids, width, length, True),  # noqa: FBT003 - a lambda
    }
    asked = texts.prompts("open", told)
    for call in calls.values():
        call(asked[0].prompt_ids)
    for prompt in asked:
        order = list(calls)
        turn = prompt.index % len(order)
        answers: dict[str, Ids] = {}
        for name in order[turn:] + order[:turn]:
            started = time.perf_counter()
            answers[name] = calls[name](prompt.prompt_ids)
            out.add(name, time.perf_counter() - started)
        out.differ += len(set(answers.values())) > 1
    return out


def markdown(found: Sequence[Times]) -> str:
    """Return a table of medians.

    Args:
        found: of some widths.
    """
    lines = [
        "| model | width | call | median ms | generate's ÷ its | answers differ |",
        "|---" * 6 + "|",
    ]
    for times in found:
        base = statistics.median(times.seconds[GENERATE])
        for name, seconds in times.seconds.items():
            middle = statistics.median(seconds)
            lines.append(
                f"| {times.case} | {times.width} | {name} | {1e3 * middle:.1f} | "
                f"{base / middle:.2f} | {times.differ} of {len(seconds)} |"
            )
    return "\n".join(lines)


def _generated(model: PreTrainedModel, prompt_ids: Ids, width: int, length: int) -> Ids:
    ids = torch.tensor([prompt_ids])
    with torch.inference_mode():
        out = model.generate(  # type: ignore[operator]  # a mixin's method
            ids,
            attention_mask=torch.ones_like(ids),
            num_beams=width,
            do_sample=False,
            max_new_tokens=length,
            min_new_tokens=length,
            length_penalty=0.0,
            early_stopping=False,
            pad_token_id=0,
        )
    return tuple(out[0, len(prompt_ids) :].tolist())


def _searched(model: Model, prompt_ids: Ids, width: int, length: int) -> Ids:
    assert isinstance(model, Stepwise)
    stepper = model.stepper(prompt_ids, kv_bytes=2**28)
    space = Space(end="open", end_ids=(), min_tokens=length, max_tokens=length)
    best = beam_search(stepper, space, width=width, clock=Clock(Budget())).best
    assert best is not None
    return best.token_ids


def _decoded(model: Model, prompt_ids: Ids, width: int, length: int, compare: bool) -> Ids:  # noqa: FBT001 - as the verb has it
    found = logpr.decode(
        prompt_ids=prompt_ids,
        model=model,
        method="beam",
        width=width,
        compare=compare,
        **outputs_of("open", length),
    )
    assert found.best is not None
    return found.best.token_ids
