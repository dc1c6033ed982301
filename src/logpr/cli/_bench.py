"""What `logpr doctor --model M` measures of one model: executors, noise, speed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from logpr._types import JsonValue
from logpr.cli._checks import Check, Verdict
from logpr.models._probe import probe_pack
from logpr.models._speed import best_seconds
from logpr.models.base import EncoderDecoder, Model, Sized


def model_checks(model: Model) -> Iterator[Check]:
    """Yield what the model is, which executors were tried, its noise and its speed."""
    told = model.provenance
    yield Check(
        "model",
        "ok",
        f"{told.model}: {told.backend}, {told.dtype} on {told.device}, "
        f"vocabulary {model.vocab_size}, context {_context(model)}{_starts(model)}",
        {"provenance": told.to_dict(), "vocab": model.vocab_size},
    )
    yield from _executors(model)
    yield Check(
        "noise",
        "ok",
        f"packing {told.noise_packing:.1e}, precision {told.noise_precision:.1e} "
        f"(largest |difference| per token, nats)",
        {"noise_packing": told.noise_packing, "noise_precision": told.noise_precision},
    )
    yield from _precision(model)
    if isinstance(model, Sized):
        yield _speed(model)


def _context(model: Model) -> str:
    if isinstance(model, EncoderDecoder):
        lengths = (_tokens(model.source_length), _tokens(model.context_length))
        return f"{lengths[0]} in the encoder, {lengths[1]} in the decoder"
    return _tokens(model.context_length)


def _tokens(length: int) -> str:
    return "without end" if length >= 1 << 40 else str(length)


def _starts(model: Model) -> str:
    """Say what stands around x and before y of themselves: what is conditioned on beside x."""
    if not isinstance(model, EncoderDecoder):
        return ""
    before, after = model.source_frame
    frame = f"{list(before)} x {list(after)}"
    return f", encoder reads {frame}, decoder starts from {list(model.decoder_start_ids)}"


def _executors(model: Model) -> Iterator[Check]:
    told = model.provenance
    if told.backend != "transformers":
        yield Check("executor", "ok", told.executor, {"executor": told.executor})
        return
    from logpr.models.hf.auto import RefiningModel  # noqa: PLC0415 - torch is there, since the model is
    from logpr.models.hf.company import KINDS  # noqa: PLC0415 - as above
    from logpr.models.hf.encdec import HFEncoderDecoder  # noqa: PLC0415 - as above
    from logpr.models.hf.invariant import NAME as INVARIANT  # noqa: PLC0415 - as above
    from logpr.models.hf.model import HFModel  # noqa: PLC0415 - as above

    known = HFModel | HFEncoderDecoder | RefiningModel
    invariant = told.executor == INVARIANT
    running = "forest" if invariant else told.executor
    tried = model.probe_report if isinstance(model, known) else ()
    for one in tried:
        used = " (in use)" if one.executor == running else ""
        off = "" if one.largest_difference is None else f", off by {one.largest_difference:.1e}"
        rate = "" if one.tokens_per_second is None else f", {one.tokens_per_second:,.0f} tokens/s"
        facts: dict[str, JsonValue] = {
            "executor": one.executor,
            "accepted": one.accepted,
            "in_use": bool(used),
            "largest_difference": one.largest_difference,
            "tokens_per_second": one.tokens_per_second,
            "reason": one.reason,
        }
        says = f"{one.executor}{used}: {one.reason}{off}{rate}"
        untried = one.largest_difference is None and "not tried" in one.reason
        verdict: Verdict = "ok" if one.accepted else "skipped" if untried else "refused"
        yield Check("executor", verdict, says, facts)
    if invariant:
        # Else the model would not have been loaded.
        yield Check(
            "invariant",
            "ok",
            f"the same tokens get the same bits alone and in {len(KINDS)} kinds of company: "
            f"{', '.join(KINDS)}",
            {"company": list(KINDS)},
        )


def _precision(model: Model) -> Iterator[Check]:
    """Say what dtype='auto' came to, and the rates that it came from."""
    if model.provenance.backend != "transformers":
        return
    from logpr.models.hf.auto import RefiningModel  # noqa: PLC0415 - torch is there, since the model is
    from logpr.models.hf.model import HFModel  # noqa: PLC0415 - as above

    decision = model.decision if isinstance(model, HFModel | RefiningModel) else None
    if decision is None:
        return
    rates, speeds = decision.rates, decision.tokens_per_second
    rows, inner, outer = rates.shape
    says = (
        f"{decision.reason}; [{rows}, {inner}] × [{inner}, {outer}]: bfloat16 "
        f"{rates.bfloat16 / 1e9:,.0f}, float32 {rates.float32 / 1e9:,.0f} GFLOP/s"
    )
    if speeds is not None:
        says += f"; tokens/s: bfloat16 {speeds[1]:,.0f}, float32 {speeds[0]:,.0f}"
    facts: dict[str, JsonValue] = {
        "ranks_in": decision.ranks_in,
        "reason": decision.reason,
        "matmul": [rows, inner, outer],
        "bfloat16_flops": rates.bfloat16,
        "float32_flops": rates.float32,
        "bfloat16_tokens_per_second": None if speeds is None else speeds[1],
        "float32_tokens_per_second": None if speeds is None else speeds[0],
    }
    yield Check("precision", "ok", says, facts)


def _speed(model: Sized) -> Check:
    """Score a random trie, and hold the work it takes against a plain matmul of the same type."""
    pack = probe_pack(model.vocab_size, model.context_length)
    rows = len(np.unique(pack.edge_nodes))
    seconds = best_seconds(lambda: model.edges(pack), repeat=3)
    layers, head = model.matmul_weights
    work = 2.0 * (layers * len(pack) + head * rows)
    rate = model.matmul_rate()
    tokens = len(pack) / seconds
    fraction = work / seconds / rate
    says = (
        f"{tokens:,.0f} tokens/s on a random trie: {work / seconds / 1e9:,.1f} of the "
        f"{rate / 1e9:,.1f} GFLOP/s that a matmul reaches here, {fraction:.0%}"
    )
    facts: dict[str, JsonValue] = {
        "tokens_per_second": tokens,
        "matmul_flops": rate,
        "fraction_of_matmul": fraction,
    }
    return Check("speed", "ok", says, facts)
