"""Outputs as people read them, scored once more by the path that `logpr score` takes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from logpr._decode._request import Request
from logpr._score import score_window
from logpr._score._assemble import text_of
from logpr._values import Decoded, Query, Score
from logpr.decoding.finished import Output
from logpr.models.base import Glimpsing, Predictive
from logpr.tokens.base import Tokenizer

Tokens = tuple[int, ...]

_RESCORED = 8
"""Open beginnings that are scored once more."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores token sequences after the prompt, one by one, by the model's `edges`."""

    request: Request

    def scores(self, sequences: Sequence[Tokens], *, ended: bool) -> list[Score] | None:
        """Return log Pr of outputs or beginnings; None where the model scores nothing itself.

        Args:
            sequences: token ids of each.
            ended: whether END is part of them.
        """
        request = self.request
        if not sequences:
            return []
        if isinstance(request.model, Glimpsing) and not isinstance(request.model, Predictive):
            return None
        query = Query.of(
            prompt_ids=request.prompt.ids,
            candidate_ids=sequences,
            end="stop" if ended else "open",
        )
        settings = replace(request.settings, end_ids=request.space.end_ids if ended else None)
        (scored,) = score_window([query], model=request.model, settings=settings)
        return [one.score for one in scored]

    def decoded(self, outputs: Sequence[Output]) -> tuple[Decoded, ...]:
        """Return outputs with the log-probability of each of their tokens.

        Args:
            outputs: that were found.
        """
        whole = self.request.space.ended
        out: dict[int, Decoded] = {}
        for ended in (True, False):
            places = [i for i, one in enumerate(outputs) if (one.ended and whole) == ended]
            scores = self.scores([outputs[place].token_ids for place in places], ended=ended)
            for i, place in enumerate(places):
                out[place] = self._decoded(outputs[place], None if scores is None else scores[i])
        return tuple(out[place] for place in range(len(outputs)))

    def _decoded(self, output: Output, score: Score | None) -> Decoded:
        tokenizer = self.request.tokenizer
        logprob = None if score is None else score.logprob
        return Decoded(
            token_ids=output.token_ids,
            text=text_of_ids(output.token_ids, tokenizer),
            token_texts=tuple(text_of(token, tokenizer) for token in output.token_ids),
            logprob=output.logprob if logprob is None else logprob,
            score=output.score,
            token_logprobs=() if score is None else score.token_logprobs or (),
            end_logprob=output.end_logprob if score is None else score.end_logprob,
            finished=output.ended,
        )

    def epsilon(self, best: Sequence[Output], opened: Sequence[tuple[float, Tokens]]) -> float:
        """Return how many nats the search's own numbers may be off by.

        It is the larger of the model's measured noise, for the longest sequence here, and of what
        the best output and the first open beginnings differ by when each is scored by itself.

        Args:
            best: the best output, or nothing.
            opened: bounds and tokens of open beginnings, best first.
        """
        space = self.request.space
        longest = max((len(one.token_ids) + 1 for one in best), default=0)
        found = 0.0
        # Under another normaliser or with biases the two paths say different things.
        if space.min_length == "renormalise" and space.min_tokens:
            return longest * self.request.noise
        for one in best:
            found = max(found, self._off(one.token_ids, one.logprob, ended=space.ended))
        if space.objective.kind == "logprob" and not space.bias:
            for bound, token_ids in sorted(opened, reverse=True)[:_RESCORED]:
                longest = max(longest, len(token_ids))
                found = max(found, self._off(token_ids, bound, ended=False))
        return max(found, longest * self.request.noise)

    def _off(self, token_ids: Tokens, logprob: float, *, ended: bool) -> float:
        scores = self.scores([token_ids], ended=ended)
        if not scores or scores[0].logprob is None:
            return 0.0
        return abs(scores[0].logprob - logprob)


def text_of_ids(token_ids: Tokens, tokenizer: Tokenizer | None) -> str | None:
    """Return the text of an output; None without a tokenizer.

    Args:
        token_ids: of the output.
        tokenizer: of the model.
    """
    if tokenizer is None or any(token >= tokenizer.vocab_size for token in token_ids):
        return None
    return b"".join(map(tokenizer.token_bytes, token_ids)).decode("utf-8", "replace")


def string_masses(
    outputs: Collection[Output], tokenizer: Tokenizer | None
) -> Mapping[Tokens, float]:
    """Return Pr of each output's text, by its tokens: the sum over the spellings that are known.

    Args:
        outputs: that ended.
        tokenizer: of the model.
    """
    texts = {output.token_ids: text_of_ids(output.token_ids, tokenizer) for output in outputs}
    masses: dict[str, float] = {}
    for output in outputs:
        text = texts[output.token_ids]
        if text is not None:
            masses[text] = masses.get(text, 0.0) + math.exp(output.logprob)
    return {ids: masses[text] for ids, text in texts.items() if text is not None}
