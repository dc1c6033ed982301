"""llama-cpp-python: log-probabilities of an echoed prompt, as completion APIs give them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from logpr.conformance.adapters._gguf import write_gguf

_CONTEXT = 2048
"""A multiple of 256: llama.cpp rounds up to one, and beyond the model's own context it aborts."""


class Completions:
    """Scores by `Llama.create_completion(…, echo=True, logprobs=1)`.

    Args:
        folder: of a GPT-2 in transformers' format, written as a GGUF file first.
    """

    def __init__(self, folder: str) -> None:
        from llama_cpp import Llama

        self._files = tempfile.TemporaryDirectory(prefix="logpr-gguf-")
        file = write_gguf(Path(folder), Path(self._files.name) / "model.gguf")
        self._lm = Llama(str(file), n_ctx=_CONTEXT, logits_all=True, verbose=False)

    def __call__(self, prompt: str, candidates: list[str]) -> tuple[list[float], list[list[float]]]:
        """Return the sum of each candidate's token log-probabilities, and these."""
        tokens = [self._tokens(prompt, candidate) for candidate in candidates]
        return [sum(each) for each in tokens], tokens

    def _tokens(self, prompt: str, candidate: str) -> list[float]:
        """Return the log-probabilities of the tokens that reach beyond the prompt."""
        text = prompt + candidate
        answer = self._lm.create_completion(
            text, max_tokens=1, temperature=0.0, echo=True, logprobs=1
        )
        found = answer["choices"][0]["logprobs"]
        starts = found["text_offset"]
        out: list[float] = []
        for place, start in enumerate(starts):
            # Where a token is a part of a letter, those after it have the same offset.
            end = next((other for other in starts[place:] if other > start), len(text))
            if start < len(text) and end > len(prompt):
                value = found["token_logprobs"][place]
                if value is None:
                    msg = "an echo has no log-probability for its first token: give a prompt"
                    raise ValueError(msg)
                out.append(float(value))
        return out

    def close(self) -> None:
        """Let go of the model and its file."""
        self._lm.close()
        self._files.cleanup()


def make(model_folder: str) -> Completions:
    """Return llama.cpp on a folder's model."""
    return Completions(model_folder)
