"""From states to scores: the last projection in bounded chunks, never [tokens, vocab] at once.

    u = finish(W h + b),    log Pr(y) = u[y] − logsumexp(u)

W keeps the dtype it has; a product is accumulated and returned in float32 (float64 for float64
weights): each block of W is widened as it is used, which costs little beside the product. Where a
CPU multiplies bfloat16 by bfloat16 much faster, blocks go through `_in_two` instead; CUDA returns
such products in float32 itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import nn

from logpr._types import END, IntEdges
from logpr.errors import QueryError
from logpr.models._head import joined, score_rows
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence
from logpr.models.hf.pieces import States
from logpr.models.hf.products import linear, padding, takes

Rows = Float[torch.Tensor, "rows width"]
Logits = Float[torch.Tensor, "rows vocab"]
Weight = Float[torch.Tensor, "vocab width"]
FloatRows = Float64[np.ndarray, " rows"]

_ROWS = 1024
"""Rows projected at once: enough that widening a block of W is lost beside its product."""

_BLOCK = 2048
"""Outcomes in a block on a CPU, whose caches they are still in when their sum is taken. (Of 32k
outcomes of width 768, blocks of 16,384 took a tenth to a fifth longer in float32.)"""

_WIDE_BLOCK = 16_384
"""Outcomes in a block elsewhere: 1,024 rows of them are 64 MiB in float32."""

_FEW = 8
"""Rows whose product takes as long as reading the weights: beams, single steps."""

_WHOLE = 2**22
"""Logits held at once where whole rows are wanted: 16 MiB in float32, some copies in float64."""


@dataclass(frozen=True, slots=True)
class Finish:
    """What a model does to its logits after the last projection, element by element."""

    kind: Literal["none", "softcap", "divide", "multiply"] = "none"
    value: float = 1.0

    def __call__(self, logits: Float[torch.Tensor, "*rows"]) -> Float[torch.Tensor, "*rows"]:
        """Return the logits that the model emits; may write over its argument."""
        if self.kind == "softcap":
            return logits.div_(self.value).tanh_().mul_(self.value)
        if self.kind == "divide":
            return logits.div_(self.value)
        if self.kind == "multiply":
            return logits.mul_(self.value)
        return logits


@dataclass(frozen=True, slots=True)
class Head:
    """The last projection. Without a `weight` the states are the model's own logits already."""

    weight: Weight | None
    bias: Float[torch.Tensor, " vocab"] | None = None
    finish: Finish = Finish()

    @classmethod
    def of(cls, module: nn.Linear, finish: Finish) -> Head:
        """Return the head that reads a linear layer's weights."""
        return cls(
            module.weight.detach(), None if module.bias is None else module.bias.detach(), finish
        )

    def blocks(self, rows: Rows) -> Iterator[tuple[int, Logits]]:
        """Yield (first id, logits of a block of ids), at least float32.

        A block is the caller's to write over, until the next is asked for.

        Args:
            rows: states.
        """
        if self.weight is None:
            # Copied: the reader writes over it, and the rows may be read again.
            yield 0, _wide(rows).clone()
            return
        rows = rows.to(self.weight.device)
        for start, logits in _products(rows, self.weight):
            if self.bias is not None:
                logits.add_(self.bias[start : start + logits.shape[1]])
            yield start, self.finish(logits)

    def logits(self, rows: Rows) -> Logits:
        """Return whole rows of logits, at least float32.

        Args:
            rows: states, few enough for the memory at hand.
        """
        if self.weight is None:
            return _wide(rows).clone()
        out: torch.Tensor | None = None
        for start, block in self.blocks(rows):
            if out is None:
                out = block.new_empty((len(rows), len(self.weight)))
            out[:, start : start + block.shape[1]] = block
        assert out is not None, "a head without outcomes"
        return out

    def vocab_of(self, rows: Rows) -> int:
        """Return the number of outcomes.

        Args:
            rows: states, whose width it is where there is no weight.
        """
        return rows.shape[1] if self.weight is None else len(self.weight)

    def score(
        self,
        states: States,
        edge_tokens: IntEdges,
        end_ids: tuple[int, ...],
        evidence: Evidence,
    ) -> EdgeScores:
        """Return the scores of the edges that `states` are for, by the conventions of the seam.

        Args:
            states: rows, and which edges of the pack are read in which.
            edge_tokens: the token that each edge of the pack asks for, or END.
            end_ids: the tokens that are END together.
            evidence: which columns are wanted.

        Raises:
            ModelOutputError: a row has no distribution; names an edge of the pack.
            QueryError: an edge asks for END and there are no end ids.
        """
        whole = evidence.columns or evidence.alternatives > 0
        size = max(1, _WHOLE // self.vocab_of(states.rows)) if whole else _ROWS
        # In equal chunks: a short last one would be projected at a lower rate.
        size = math.ceil(len(states.rows) / max(1, math.ceil(len(states.rows) / size)))
        parts: list[EdgeScores] = []
        for start in range(0, len(states.rows), max(1, size)):
            first, stop = np.searchsorted(states.row_of_edge, [start, start + size])
            rows = states.rows[start : start + size]
            place = states.row_of_edge[first:stop] - start
            tokens = edge_tokens[states.edges[first:stop]]
            if whole:
                logits = self.logits(rows)
                # amax lets nan through; the score of a row needs a finite maximum and no more.
                self._check(rows, _float64(logits.amax(dim=1)), place, states.edges[first:stop])
                parts.append(score_rows(logits.cpu().numpy(), place, tokens, end_ids, evidence))
            else:
                top, rest, asked, asks = self._sums(rows, place, tokens, end_ids)
                self._check(rows, top + rest, place, states.edges[first:stop])
                spread = np.log1p(rest)
                logit = _per_edge(asked, asks, tokens)
                # In two steps that both go down: u − (m + spread) would round the favourite's
                # log-probability to a multiple of the last digit of m.
                logprob = (logit - top[place]) - spread[place]
                parts.append(EdgeScores(logprob, logit=logit, logz=(top + spread)[place]))
        return joined(parts)

    def _sums(
        self, rows: Rows, place: IntEdges, tokens: IntEdges, end_ids: tuple[int, ...]
    ) -> tuple[FloatRows, FloatRows, Float64[np.ndarray, " asks"], _Asks]:
        """Return each row's maximum m, Σ exp(u_k − m) over its other entries, and asked logits.

        One pass over blocks of ids: the logits come out of the same products as the sums. Inside
        a block the arithmetic is the block's; across blocks it is float64.
        """
        asks = _asks(place, tokens, end_ids)
        order = np.argsort(asks.token, kind="stable")
        tokens = asks.token[order]
        device = rows.device if self.weight is None else self.weight.device
        row, token = (torch.from_numpy(one[order]).to(device) for one in (asks.row, asks.token))
        peaks: list[torch.Tensor] = []
        sums: list[torch.Tensor] = []
        found: list[torch.Tensor] = []
        for start, logits in self.blocks(rows):
            first, stop = np.searchsorted(tokens, [start, start + logits.shape[1]])
            found.append(logits[row[first:stop], token[first:stop] - start])
            peak, at = logits.max(dim=1)
            # A block of nothing but −inf has no maximum to take off: −inf − −inf is nan.
            shift = torch.where(peak == -math.inf, 0.0, peak)
            terms = logits.sub_(shift[:, None]).exp_()
            # The maximum's own term is the 1 of log1p: in the sum it would swallow small others.
            terms.scatter_(1, at[:, None], 0.0)
            peaks.append(peak)
            sums.append(terms.sum(dim=1))
        # In one: each copy to the host waits for the device.
        told = _float64(torch.cat([*peaks, *sums, *found]))
        blocks = told[: 2 * len(peaks) * len(rows)].reshape(2, len(peaks), len(rows))
        asked = np.empty(len(order))
        asked[order] = told[blocks.size :]
        top, rest = np.full(len(rows), -np.inf), np.zeros(len(rows))
        for highest, others in zip(*blocks, strict=True):
            top, rest = _merged(top, rest, highest, others)
        return top, rest, asked, asks

    def _check(self, rows: Rows, sums: FloatRows, place: IntEdges, edges: IntEdges) -> None:
        """Raise for the first edge whose row has no distribution: its sum is not finite."""
        bad = np.flatnonzero(~np.isfinite(sums)[place])
        if len(bad):
            row = int(place[bad[0]])
            logits = self.logits(rows[row : row + 1]).cpu().numpy()
            zero = np.zeros(1, dtype=np.int64)
            score_rows(logits, zero, zero, (), NO_EVIDENCE, first_edge=int(edges[bad[0]]))


def _products(rows: Rows, weight: Weight) -> Iterator[tuple[int, torch.Tensor]]:
    """Return (first id, products of rows with a block of the weights), at least float32."""
    if _multiplies_straight(rows, weight):
        return _straight(rows, weight)
    return (_in_two if _multiplies_in_two(rows, weight) else _widened)(rows, weight)


def _straight(rows: Rows, weight: Weight) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the products of rows with blocks of weights of one low dtype, summed in float32."""
    for start in range(0, len(weight), _WIDE_BLOCK):
        block = weight[start : start + _WIDE_BLOCK].T
        yield start, torch.mm(rows, block, out_dtype=torch.float32)


def _multiplies_straight(rows: Rows, weight: Weight) -> bool:
    return (
        rows.dtype == weight.dtype
        and rows.dtype in {torch.bfloat16, torch.float16}
        and weight.is_cuda
        and hasattr(torch.ops.aten.mm, "dtype")  # from torch 2.8 on
    )


def _widened(rows: Rows, weight: Weight) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the products of rows with blocks of the weights, in the wider of dtype and float32."""
    wide = _wide(rows)
    # A few rows read the weights once whichever library multiplies, and take no rows of padding.
    few = len(wide) <= _FEW
    more = padding(len(wide)) if takes(weight) and not few else 0
    if more:
        wide = torch.cat([wide, wide[-1:].expand(more, -1)])
    size = _BLOCK if weight.device.type == "cpu" else _WIDE_BLOCK
    multiply = nn.functional.linear if few else linear
    for start in range(0, len(weight), size):
        yield start, multiply(wide, weight[start : start + size].to(wide.dtype))[: len(rows)]


def _in_two(rows: Rows, weight: Weight) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the products of bfloat16 rows with blocks of bfloat16 weights, as high + low part.

        high = bfloat16(Σ w h),    low = bfloat16(Σ w h − high)

    The library accumulates both sums in float32 and can hand out bfloat16 only: what the first
    rounding took off, the second product brings back. |high + low − Σ w h| <= 2^-17 |Σ w h|, beside
    float32's own error of summing. (torch can also be told to multiply float32 tensors as bfloat16,
    exactly these products at the same speed; but that is a switch of the whole process, and would
    silently round what other threads multiply meanwhile.)
    """
    size = _BLOCK
    # New memory for each block would cost as much as reading it does.
    high = rows.new_empty(len(rows) * size)
    both = high.new_empty(len(high), dtype=torch.float32)
    for start in range(0, len(weight), size):
        block = weight[start : start + size].T
        shape = (len(rows), block.shape[1])
        part = high[: shape[0] * shape[1]].view(shape)
        out = both[: shape[0] * shape[1]].view(shape)
        torch.mm(rows, block, out=part)
        out.copy_(part)
        part.addmm_(rows, block, beta=-1)
        yield start, out.add_(part)


def _multiplies_in_two(rows: Rows, weight: Weight) -> bool:
    return (
        rows.dtype == weight.dtype == torch.bfloat16
        and rows.device.type == "cpu"
        and fast_bfloat16()
    )


@functools.cache
def fast_bfloat16() -> bool:
    """Return whether this CPU has instructions that multiply bfloat16 by bfloat16.

    Without them two products in bfloat16 take longer than one in float32. (Not measured: arithmetic
    that depends on a stopwatch would give other bits on another day.)
    """
    # Older versions of torch do not tell.
    has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def _merged(
    top: FloatRows, rest: FloatRows, peak: FloatRows, more: FloatRows
) -> tuple[FloatRows, FloatRows]:
    """Return maximum and rest of rows that lie in two blocks."""
    higher = np.maximum(top, peak)
    with np.errstate(invalid="ignore", over="ignore"):
        # The lower maximum is now one of the others; the higher one's own 1 stays out of the sum.
        lower = np.minimum(top, peak) - higher
        own, other = np.where(top >= peak, (rest, more), (more, rest))
        both = own + np.exp(lower) * (1.0 + other)
    # −inf − −inf: nothing in either block.
    return higher, np.where(higher == -np.inf, 0.0, both)


@dataclass(frozen=True, slots=True)
class _Asks:
    """Single logits that are wanted: one for a token edge, one an end id for an END edge."""

    row: Int64[np.ndarray, " asks"]
    token: Int64[np.ndarray, " asks"]
    first: Int64[np.ndarray, " edges"]
    ends: int


def _asks(place: IntEdges, tokens: IntEdges, end_ids: tuple[int, ...]) -> _Asks:
    ends = tuple(dict.fromkeys(end_ids))  # an id given twice would count twice
    end = tokens == END
    if end.any() and not ends:
        msg = "END is asked for and no token is an end token: give end_ids=(…), or end='open'"
        raise QueryError(msg)
    counts = np.where(end, len(ends), 1)
    token = np.repeat(tokens, counts)
    token[np.repeat(end, counts)] = np.tile(np.asarray(ends, dtype=np.int64), int(end.sum()))
    return _Asks(np.repeat(place, counts), token, np.cumsum(counts) - counts, len(ends))


def _per_edge(
    found: Float64[np.ndarray, " asks"], asks: _Asks, tokens: IntEdges
) -> Float64[np.ndarray, " edges"]:
    logit: Float64[np.ndarray, " edges"] = found[asks.first]
    end = tokens == END
    if end.any():
        each = found[asks.first[end][:, None] + np.arange(asks.ends)]
        logit[end] = np.logaddexp.reduce(each, axis=1)
    return logit


def _wide(values: Float[torch.Tensor, "*any"]) -> Float[torch.Tensor, "*any"]:
    return values if values.dtype == torch.float64 else values.float()


def _float64(values: Float[torch.Tensor, " rows"]) -> Float64[np.ndarray, " rows"]:
    # On the host: not every device has float64.
    out: FloatRows = values.cpu().double().numpy()
    return out
