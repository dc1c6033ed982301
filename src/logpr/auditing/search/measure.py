"""How far half precision moves the numbers of a model: its own rows, and those of rounded weights.

Nothing is measured until a verdict needs it; one type is measured after the other, so that no more
than one copy of the weights is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.halves import HalfNoise, Halves, measured, unmeasured
from logpr.errors import ModelError, ModelOutputError
from logpr.models.base import Halved, Model, Predictive
from logpr.models.logits import LogitsModel
from logpr.numerics import logsumexp

_TYPES = ("bfloat16", "float16")
_SAMPLE = 48
"""Candidates on which half precision is measured."""


def halves_of(model: Model | None) -> Halves:
    """Return what measures how half-precision weights move a model's log-probabilities.

    It gives nothing for recorded rows, and for models that no half type runs (tables). Where the
    weights cannot be rounded, usual sizes are given, and the reason.
    """

    def measure(scene: Scene, numbers: Sequence[int]) -> Mapping[str, HalfNoise]:
        if model is None or isinstance(model, LogitsModel):
            # Recorded rows are what the claims were computed from, whatever that was computed in.
            return {}
        if not isinstance(model, Halved):
            hf = model.provenance.backend == "transformers"
            return unmeasured("its weights are not at hand") if hf else {}
        moves: dict[str, _Moves] = {}
        silent = ""
        for name in _TYPES:
            found = _Moves()
            try:
                found.measure(scene, numbers[:_SAMPLE], model.in_half(name))
            except ModelOutputError as error:
                # float16 overflows in many a model of bfloat16: no claim was computed in it.
                silent = str(error)
                continue
            except ModelError as error:
                return unmeasured(str(error))
            moves[name] = found
        if not moves:
            return unmeasured(silent)
        return measured(
            {name: _joined(found.rows) for name, found in moves.items()},
            {name: _joined(found.tokens) for name, found in moves.items()},
            {name: found.sums for name, found in moves.items()},
        )

    return measure


@dataclass(slots=True)
class _Moves:
    rows: list[np.ndarray] = field(default_factory=list)
    tokens: list[np.ndarray] = field(default_factory=list)
    sums: dict[int, float] = field(default_factory=dict)

    def measure(self, scene: Scene, numbers: Sequence[int], other: Predictive) -> None:
        """Take the moves of some candidates' rows, those that the scene knows."""
        for number in numbers:
            case = scene.cases[number]
            context, tokens = case.material.context, case.material.tokens
            prefixes = [context + tokens[:place] for place in range(len(tokens))]
            if not prefixes or not context:
                continue
            rows, known = scene.source.rows([(case.owner, prefix) for prefix in prefixes])
            if not known.all():
                continue
            theirs = np.asarray(other.next_logits(prefixes).logprobs)
            own = rows - np.reshape(np.asarray(logsumexp(rows)), (-1, 1))
            moved = theirs - own[:, : theirs.shape[1]]
            steps = moved[np.arange(len(tokens)), list(tokens)]
            whole = moved[np.isfinite(moved)]
            self.rows.append(np.array([np.sqrt(np.mean(whole**2))]) if len(whole) else whole)
            self.tokens.append(steps[np.isfinite(steps)])
            self.sums[number] = float(steps.sum())


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)
