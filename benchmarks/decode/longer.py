"""How far proofs reach: the same prompts, longer outputs, the same budget."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import logpr
from benchmarks.decode.stories import PROVEN, outputs_of
from benchmarks.decode.texts import Kind, Prompt
from logpr.models.base import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What a search came to: nats, and how many outputs may still be better."""

    kind: Kind
    length: int
    story: int
    status: str
    best: float
    gap: float
    at_most_better: int | None
    expansions: int
    seconds: float


def reached(
    prompts: Sequence[Prompt], model: Model, lengths: Sequence[int], budget: str
) -> Iterator[Reached]:
    """Yield what the search comes to for each prompt and length.

    Args:
        prompts: of one kind.
        model: of all.
        lengths: of outputs.
        budget: of each search.
    """
    for length in lengths:
        for prompt in prompts:
            found = logpr.decode(
                prompt_ids=prompt.prompt_ids,
                model=model,
                budget=budget,
                **outputs_of(prompt.kind, length),
            )
            certificate = found.certificate
            yield Reached(
                kind=prompt.kind,
                length=length,
                story=prompt.index,
                status=certificate.status,
                best=certificate.lower,
                gap=certificate.gap,
                at_most_better=certificate.at_most_better,
                expansions=certificate.expansions,
                seconds=found.seconds,
            )


def markdown(found: Sequence[Reached]) -> str:
    """Return a table, a line for each kind and length.

    Args:
        found: of all searches.
    """
    head = (
        "| outputs | proven | expansions to proof: median (most) | seconds to proof: median (most) "
        "| log Pr(best): median | unproven: gap in nats, median (most) "
        "| at most so many better: median |"
    )
    lines = [head, "|---" * 7 + "|"]
    for kind, length in dict.fromkeys((one.kind, one.length) for one in found):
        these = [one for one in found if (one.kind, one.length) == (kind, length)]
        proven = [one for one in these if one.status in PROVEN]
        rest = [one for one in these if one.status not in PROVEN]
        named = f"exactly {length} tokens" if kind == "open" else f"at most {length}, and END"
        rivals = [one.at_most_better for one in rest if one.at_most_better is not None]
        cells = (
            named,
            f"{len(proven)} of {len(these)}",
            _middle([one.expansions for one in proven], ",.0f"),
            _middle([one.seconds for one in proven], ".2f"),
            f"{statistics.median(one.best for one in these):.2f}",
            _middle([one.gap for one in rest], ".2f"),
            f"{statistics.median(rivals):,.0f}" if rivals else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines).replace("| -", "| −")


def _middle(numbers: Sequence[float], form: str) -> str:
    if not numbers:
        return "–"
    return f"{statistics.median(numbers):{form}} ({max(numbers):{form}})"
