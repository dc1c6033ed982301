"""The models whose speed is measured: transformers gets the same folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

import logpr
from benchmarks.decode import texts

_SHIPPED = Path(logpr.__file__).parent / "models" / "builtin_model"


@dataclass(frozen=True, slots=True)
class Case:
    """A model, how logpr loads it, its folder, and the tokens of an output that take a while."""

    name: str
    spec: str
    folder: Path
    length: int

    def in_transformers(self) -> PreTrainedModel:
        """Return the model of transformers, in float32."""
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            self.folder, dtype=torch.float32
        )
        return model.requires_grad_(requires_grad=False)


def cases(data: Path) -> tuple[Case, ...]:
    """Return the models.

    Args:
        data: folder of the real ones.
    """
    small = data / texts.MODEL
    return (
        Case("stories260K, transformers", str(small), small, 16),
        Case("shipped, NumPy", "builtin", _SHIPPED, 14),
        Case("shipped, transformers", str(_SHIPPED), _SHIPPED, 14),
    )
