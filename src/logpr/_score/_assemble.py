"""From ids and per-edge numbers to a Score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from logpr._engine import JobScores
from logpr._rules import (
    BITS_PER_BYTE,
    PER_BYTE,
    PER_CHAR,
    PER_TOKEN,
    Totals,
)
from logpr._types import Boundary, End, Verdict
from logpr._values import Alternative, Provenance, Score, TokenEvidence
from logpr.models.base import EdgeColumns, EdgeScores, Model
from logpr.numerics import exact_sum
from logpr.tokens.base import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A score, and what rules beyond the standing ones need."""

    score: Score
    neutral_logprob: float | None = None
    among_logprob: float | None = None

    def totals(self, rivals: tuple[float, ...] = ()) -> Totals:
        """Return what a rule may look at; of a whole candidate alone."""
        assert self.score.logprob is not None, "a dropped candidate has no log-probability"
        return Totals(
            logprob=self.score.logprob,
            tokens=self.score.tokens,
            end_scored=self.score.end == "stop",
            chars=self.score.chars,
            bytes=self.score.bytes,
            index=self.score.index,
            rivals=rivals,
            neutral_logprob=self.neutral_logprob,
            among_logprob=self.among_logprob,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a candidate before any number: ids, texts, conventions."""

    index: int
    text: str | None
    prompt_ids: tuple[int, ...] | None
    token_ids: tuple[int, ...] | None
    token_texts: tuple[str, ...] | None
    token_spans: tuple[tuple[int, int], ...] | None
    verdict: Verdict | None
    policy: Boundary
    end: End
    prompt_covered: int | None
    warnings: tuple[str, ...]
    provenance: Provenance | None


def score_of(
    facts: Facts,
    logprobs: Sequence[float],
    end_logprob: float | None,
    *,
    noise_per_token: float = 0.0,
    job: JobScores | None = None,
    model: Model | None = None,
    joint_boundary_logprob: float | None = None,
    prompt_logprob: float | None = None,
) -> Score:
    """Return the score of a candidate whose token log-probabilities are `logprobs`."""
    parts = list(logprobs) if end_logprob is None else [*logprobs, end_logprob]
    total = exact_sum(parts)
    tokens = len(logprobs)
    chars, size = _lengths(facts.text)
    totals = Totals(
        logprob=total,
        tokens=tokens,
        end_scored=facts.end == "stop",
        chars=chars,
        bytes=size,
    )
    columns = _columns(job, tokens, model)
    return Score(
        index=facts.index,
        text=facts.text,
        logprob=total,
        per_token=PER_TOKEN.value(totals),
        per_char=PER_CHAR.value(totals),
        per_byte=PER_BYTE.value(totals),
        bits_per_byte=BITS_PER_BYTE.value(totals),
        tokens=tokens,
        bytes=size,
        chars=chars,
        boundary=facts.verdict,
        boundary_policy=facts.policy,
        end=facts.end,
        end_logprob=end_logprob,
        noise=noise_per_token * len(parts),
        prompt_ids=facts.prompt_ids,
        token_ids=facts.token_ids,
        token_texts=facts.token_texts,
        token_spans=facts.token_spans,
        token_logprobs=tuple(logprobs),
        logit=columns.logit,
        logz=columns.logz,
        rank=columns.rank,
        top_id=columns.top_id,
        top_logit=columns.top_logit,
        top_logprob=columns.top_logprob,
        entropy=columns.entropy,
        alternatives=columns.alternatives,
        end_evidence=columns.end,
        joint_boundary_logprob=joint_boundary_logprob,
        prompt_covered=facts.prompt_covered,
        prompt_logprob=prompt_logprob,
        joint_logprob=None if prompt_logprob is None else exact_sum([prompt_logprob, total]),
        warnings=facts.warnings,
        provenance=facts.provenance,
    )


def dropped_score(facts: Facts, upper: float, noise: float) -> Score:
    """Return the score of a candidate whose first tokens alone sum to `upper`."""
    chars, size = _lengths(facts.text)
    return Score(
        index=facts.index,
        text=facts.text,
        logprob=None,
        per_token=None,
        per_char=None,
        per_byte=None,
        bits_per_byte=None,
        tokens=None if facts.token_ids is None else len(facts.token_ids),
        bytes=size,
        chars=chars,
        boundary=facts.verdict,
        boundary_policy=facts.policy,
        end=facts.end,
        noise=noise,
        prompt_ids=facts.prompt_ids,
        token_ids=facts.token_ids,
        token_texts=facts.token_texts,
        token_spans=facts.token_spans,
        prompt_covered=facts.prompt_covered,
        upper=upper,
        pruned=True,
        warnings=facts.warnings,
        provenance=facts.provenance,
    )


def _lengths(text: str | None) -> tuple[int | None, int | None]:
    """Return the characters and bytes of a text."""
    if text is None:
        return None, None
    return len(text), len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    logit: tuple[float | None, ...] | None = None
    logz: tuple[float | None, ...] | None = None
    rank: tuple[int, ...] | None = None
    top_id: tuple[int, ...] | None = None
    top_logit: tuple[float | None, ...] | None = None
    top_logprob: tuple[float, ...] | None = None
    entropy: tuple[float, ...] | None = None
    alternatives: tuple[tuple[Alternative, ...], ...] | None = None
    end: TokenEvidence | None = None


def _columns(job: JobScores | None, tokens: int, model: Model | None) -> _Columns:
    if job is None or job.scores.columns is None:
        return _Columns()
    tokenizer = None if model is None else model.tokenizer
    found = [_evidence(job.scores, job.scores.columns, edge, tokenizer) for edge in job.edges]
    of_tokens = found[:tokens]
    return _Columns(
        logit=tuple(item.logit for item in of_tokens),
        logz=tuple(item.logz for item in of_tokens),
        rank=tuple(item.rank for item in of_tokens),
        top_id=tuple(item.top_id for item in of_tokens),
        top_logit=tuple(item.top_logit for item in of_tokens),
        top_logprob=tuple(item.top_logprob for item in of_tokens),
        entropy=tuple(item.entropy for item in of_tokens),
        alternatives=tuple(item.alternatives for item in of_tokens),
        end=found[tokens] if len(found) > tokens else None,
    )


def _evidence(
    scores: EdgeScores, columns: EdgeColumns, edge: int, tokenizer: Tokenizer | None
) -> TokenEvidence:
    return TokenEvidence(
        logit=None if scores.logit is None else float(scores.logit[edge]),
        logz=None if scores.logz is None else float(scores.logz[edge]),
        rank=int(columns.rank[edge]),
        top_id=int(columns.top_id[edge]),
        top_logit=None if columns.top_logit is None else float(columns.top_logit[edge]),
        top_logprob=float(columns.top_logprob[edge]),
        entropy=float(columns.entropy[edge]),
        alternatives=tuple(
            Alternative(
                id=int(columns.alternative_ids[edge, k]),
                text=text_of(int(columns.alternative_ids[edge, k]), tokenizer),
                logprob=float(columns.alternative_logprobs[edge, k]),
                logit=(
                    None
                    if columns.alternative_logits is None
                    else float(columns.alternative_logits[edge, k])
                ),
            )
            for k in range(columns.alternative_ids.shape[1])
        ),
    )


def text_of(token: int, tokenizer: Tokenizer | None) -> str:
    """Return a token as people read it; its id where the model has no text for it."""
    if tokenizer is None or token >= tokenizer.vocab_size:
        return f"#{token}"
    return tokenizer.token_text(token)
