"""Stage context: what stands before y. A change gives a candidate's layout anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from logpr.auditing.faults._entry import Change, Fault, ParameterSpec
from logpr.auditing.scene.layout import Layout
from logpr.auditing.scene.scene import Company, Scene

_USUAL_BATCHES = (2, 4, 8, 16, 32, 64)
_LARGEST_BATCH = 64
_USUAL_WINDOWS = (
    8,
    16,
    24,
    32,
    48,
    64,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
    1536,
    2048,
    4096,
    8192,
)

_EVERY_WINDOW = 64
_EVERY_KEEP = 64
"""Truncations to this many tokens and fewer are all tried; above, those that people choose."""


def _unconditional(layout: Layout) -> Layout:
    tokenizer = layout.scene.tokenizer
    start = None if tokenizer is None else tokenizer.bos_id
    return replace(layout, context=() if start is None else (start,))


def _prompt_dropped() -> Change:
    return Change("prompt_dropped", "context", _unconditional, count="same")


@cache
def _left_pad(pad_id: int, company: Company) -> Change:
    def run(layout: Layout) -> Layout:
        return replace(layout, context=(pad_id,) * layout.pads(company) + layout.context)

    fixed = (("pad_id", pad_id), ("company", company))
    tier = 1 if isinstance(company, int) else 0
    return Change("left_pad_unmasked", "context", run, fixed, tier=tier, count="same")


@cache
def _window_restart(window: int, start: str = "none") -> Change:
    def run(layout: Layout) -> Layout:
        tokenizer = layout.scene.tokenizer
        bos = None if tokenizer is None else tokenizer.bos_id
        restart = (bos,) if start == "bos" and bos is not None else ()
        return replace(layout, window=window, restart=restart)

    fixed = (("window", window), ("start", start))
    # A token that begins a window has nothing before it, and which does is decided by x.
    return Change("window_restart", "context", run, fixed, tier=1, count="context")


@cache
def _truncated_context(keep: int) -> Change:
    def run(layout: Layout) -> Layout:
        return replace(layout, context=layout.context[-keep:])

    return Change("truncated_context", "context", run, (("keep", keep),), tier=1, count="same")


def pads_and_companies(scene: Scene) -> list[tuple[int, Company]]:
    """Return the (pad id, company) that are worth trying: batches no larger than the file."""
    return [(pad, company) for pad in scene.pad_ids for company in companies(scene)]


def companies(scene: Scene) -> list[Company]:
    """Return the batches that are tried: a record, the file, so many consecutive candidates."""
    size = len(scene.cases)
    batches = range(2, _LARGEST_BATCH + 1) if scene.thorough else _USUAL_BATCHES
    return ["query", "file", *(batch for batch in batches if batch < size)]


def _pads(scene: Scene) -> Sequence[Change]:
    return tuple(_left_pad(pad, company) for pad, company in pads_and_companies(scene))


def _windows(scene: Scene) -> Sequence[Change]:
    longest = max((case.material.length + 1 for case in scene.cases), default=0)
    starts = ("none", "bos") if scene.tokenizer is not None else ("none",)
    every = range(2 if scene.thorough else 8, _EVERY_WINDOW + 1)
    limit = [scene.longest_sequence] if scene.longest_sequence else []
    known = sorted({*_USUAL_WINDOWS, *every, *limit})
    return tuple(
        _window_restart(window, start) for window in known if window < longest for start in starts
    )


def _truncations(scene: Scene) -> Sequence[Change]:
    longest = max((len(case.material.context) for case in scene.cases), default=0)
    keeps = list(range(1, min(longest, _EVERY_KEEP + 1)))
    # Longer ones are round numbers in people's code: powers of two and their neighbours, hundreds.
    round_ones = {2**power + off for power in range(6, 17) for off in (-2, -1, 0)}
    round_ones |= {100 * hundred for hundred in range(1, 41)} | {3 * 2**p for p in range(5, 15)}
    keeps += sorted(keep for keep in round_ones if _EVERY_KEEP < keep < longest)
    return tuple(_truncated_context(keep) for keep in keeps)


PAD_ID = ParameterSpec("pad_id", "enumerated", "special ids and 0")
COMPANY = ParameterSpec("company", "enumerated", "query, file, or a batch size")

ENTRIES = (
    Fault(
        "prompt_dropped",
        "context",
        "fault",
        lambda _: (_prompt_dropped(),),
        _prompt_dropped,
    ),
    Fault(
        "left_pad_unmasked",
        "context",
        "fault",
        _pads,
        _left_pad,
        (PAD_ID, COMPANY),
    ),
    Fault(
        "window_restart",
        "context",
        "fault",
        _windows,
        _window_restart,
        (
            ParameterSpec("window", "enumerated", "usual window sizes, the context length"),
            ParameterSpec("start", "enumerated", "none, bos"),
        ),
    ),
    Fault(
        "truncated_context",
        "context",
        "choice",
        _truncations,
        _truncated_context,
        (ParameterSpec("keep", "enumerated", "1 to 64, then round numbers"),),
    ),
)
