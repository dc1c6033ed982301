"""The worked examples: a story each, computed as it is told."""

from __future__ import annotations

from importlib import import_module
from typing import Literal, TypeAlias, get_args

from logpr.report.demo import Story

Name: TypeAlias = Literal["raw-logits", "greedy", "linear", "lengths", "shortlist"]

SUMMARIES: dict[Name, str] = {
    "raw-logits": "Sums of raw logits pick another reply than log Pr, and a shift moves them.",
    "greedy": "The most probable first word does not begin the most probable reply.",
    "linear": "u / Σu is no probability: over 0.99 where softmax says 0.58, or negative.",
    "lengths": "log Pr adds up; divided by the length it can prefer a reply that rambles.",
    "shortlist": "A softmax over 50 tokens chosen once makes replies run long, on a real model.",
}
NAMES: tuple[Name, ...] = get_args(Name)


def story(name: Name) -> Story:
    """Return the story of that name, computed now."""
    # A story brings the zoo and a model along: only the one that is asked for.
    module = import_module(f"logpr.cli.demos.{name.replace('-', '_')}")
    told: Story = module.story()
    return told
