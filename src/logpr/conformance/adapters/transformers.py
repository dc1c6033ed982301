"""transformers: two ways to a log-probability that its documentation shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Score: TypeAlias = Callable[[str, list[str]], list[float]]
TokenScore: TypeAlias = Callable[[str, list[str]], tuple[list[float], list[list[float]]]]

IGNORED = -100
"""The label of tokens that a loss leaves out."""

STRIDE = 512
"""Tokens from one window of the recipe to the next."""


def make_perplexity(model_folder: str) -> Score:
    """Return the recipe of the page "Perplexity of fixed-length models" as a scorer.

    Prompt tokens have the label −100, as the page labels what is context alone, and the number is
    minus the page's `nll_sum`.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(model_folder)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    max_length = model.config.max_position_embeddings

    def one(prompt: str, candidate: str) -> float:
        ids = tokenizer(prompt + candidate, return_tensors="pt").input_ids
        context = len(tokenizer(prompt).input_ids)
        size = ids.size(1)
        nll_sum, before = 0.0, context
        # The first window is as long as the model's context, those after it STRIDE further on.
        for begin in range(0, size, STRIDE):
            end = min(begin + max_length, size)
            if end <= before < size:
                continue  # nothing of y yet
            window = ids[:, begin:end]
            labels = window.clone()
            labels[:, : -(end - before)] = IGNORED
            with torch.no_grad():
                loss = model(window, labels=labels).loss
            # "subtract batch_size due to internal label shift", the page says.
            loss_tokens = int((labels != IGNORED).sum()) - labels.size(0)
            nll_sum += float(loss) * loss_tokens
            before = end
            if end == size:
                break
        return -nll_sum

    return lambda prompt, candidates: [one(prompt, candidate) for candidate in candidates]


def make_transition_scores(model_folder: str) -> TokenScore:
    """Return `compute_transition_scores(sequences, logits, normalize_logits=True)`."""
    return _transition_scores(model_folder, normalize_logits=True)


def make_transition_logits(model_folder: str) -> TokenScore:
    """Return `compute_transition_scores(sequences, logits)`, its default."""
    return _transition_scores(model_folder)


def _transition_scores(model_folder: str, **options: bool) -> TokenScore:
    """Return the scores of a generation that can write nothing but y.

    The model's unprocessed logits are taken (`output_logits`): the processed ones say what is
    allowed, and here that is one token.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Its types know nothing of what a causal model generates.
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)

    def one(prompt: str, candidate: str) -> list[float]:
        inputs = tokenizer(prompt, return_tensors="pt")
        tokens = tokenizer(candidate, add_special_tokens=False).input_ids
        if not tokens or tokenizer.eos_token_id in tokens[:-1]:
            msg = f"a generation ends at its end token, and cannot write {candidate!r}"
            raise ValueError(msg)
        size = inputs.input_ids.shape[1]
        written = model.generate(
            **inputs,
            max_new_tokens=len(tokens),
            prefix_allowed_tokens_fn=lambda _, ids: [tokens[len(ids) - size]],
            return_dict_in_generate=True,
            output_logits=True,
        )
        scores = model.compute_transition_scores(written.sequences, written.logits, **options)
        return [float(score) for score in scores[0]]

    def score(prompt: str, candidates: list[str]) -> tuple[list[float], list[list[float]]]:
        """Return the sum of each candidate's transition scores, and these."""
        tokens = [one(prompt, candidate) for candidate in candidates]
        return [sum(each) for each in tokens], tokens

    return score
