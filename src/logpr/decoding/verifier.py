"""A certificate looked at again, by code that shares nothing with the search that made it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from logpr._score import as_exact_model
from logpr._score._assemble import text_of
from logpr._score._prompt import prompt_of
from logpr._values import Certificate, Claim, Decoded, MassLedger, Query, Verification
from logpr.decoding.constraints import automaton_of
from logpr.decoding.limits import Budget, Clock
from logpr.decoding.recount import Recount, Recounted, Tokens
from logpr.errors import LogprError, QueryError
from logpr.models.base import EncoderDecoder, Model, Predictive
from logpr.tokens.base import Tokenizer

_ROUNDING = 1e-9
"""Nats a token that float64 in another order may make of difference, and the ledger's sum."""

_MOST_ROUNDING = 1e-6
_TIMES_NOISE = 10.0
_SHOWN = 20
_HIDES_NOTHING = 1e-4
"""Nats that scores may be off by whatever the model: less than anybody ranks by."""


def verify(
    certificate: Certificate,
    *,
    model: Model | str,
    budget: str | float | Budget | None = None,
    outputs: Iterable[Sequence[int]] | None = None,
) -> Verification:
    """Return which claims of a certificate hold.

    - `output`: y is an output: its length, its tokens, the constraint.
    - `score`: y, scored from scratch, has the score `lower` within `epsilon` and 1e-9 a token;
      under a threshold at least `lower`.
    - `arithmetic`: gap = upper − lower, and the status follows from it.
    - `ledger`: the parts are not negative and sum to 1 within 1e-9, and e^epsilon − 1: what
      probabilities are off by where their logarithms are off by epsilon.
    - `epsilon`: it is no more than the model's own measured noise makes likely: it hides nothing.
    - `bound`: no output has a score above `upper` (and `epsilon`). Every beginning whose own bound
      is above it is looked at, at most (max_new_tokens + 1) / Pr of them under plain `logprob`;
      the first output that is found is the counterexample. Under a threshold such outputs are to
      be among `outputs`.
    - `any_length`, where the certificate says so: no longer output has one either.
    - `list`, where `outputs` are given under a threshold: each is an output, once, and has at least
      that probability.

    Args:
        certificate: to be looked at.
        model: that `prompt_ids` go to; for `bound` it has to show whole distributions.
        budget: for `bound`, as in `decode`: "10000 nodes", "30s", seconds; no bound by default.
        outputs: token ids of all outputs that method `threshold` returned.

    Raises:
        QueryError: there is no model, the constraint cannot be read, or the certificate speaks of
            what this model has not: tokens, or outputs longer than its context.
        UnknownNameError: no objective has that name.
        ModelError: the model failed.
    """
    lm = as_exact_model(model)
    if lm is None:
        msg = "a certificate is verified with its model: model=logpr.load('builtin')"
        raise QueryError(msg)
    if isinstance(lm, EncoderDecoder):
        # The encoder reads the prompt; outputs go on from what the decoder begins with.
        prompt = prompt_of(Query.of(prompt_ids=certificate.prompt_ids), lm, "auto")
        lm, certificate = prompt.model, replace(certificate, prompt_ids=prompt.fed)
    constraint = certificate.constraint
    automaton = None
    if constraint is not None:
        automaton = automaton_of(
            constraint,
            tokenizer=lm.tokenizer,
            end_ids=certificate.end_ids,
            vocab_size=lm.vocab_size,
        )
    _check(certificate, lm)
    recount = Recount(certificate, lm, automaton)
    listed = None if outputs is None else tuple(tuple(ids) for ids in outputs)
    claims = [
        _output(certificate, recount),
        _score(certificate, recount, lm),
        _arithmetic(certificate),
        _ledger(certificate.mass, certificate.epsilon),
        _epsilon(certificate, lm),
    ]
    if listed is not None and certificate.threshold is not None:
        claims.append(_list(certificate, recount, listed))
    bounds, found = _bound(certificate, recount, lm, Clock(Budget.of(budget)), listed)
    claims += bounds
    holding = [claim.holds for claim in claims]
    return Verification(
        subject=_subject(certificate, lm),
        verified=False if False in holding else None if None in holding else True,
        claims=tuple(claims),
        expansions=recount.expansions,
        counterexample=None if found is None else _decoded(found, lm.tokenizer),
    )


def _subject(certificate: Certificate, model: Model) -> str:
    """Return what is claimed of which output, after what, by which model."""
    tokenizer = model.tokenizer
    y, x = (_text(ids, tokenizer) for ids in (certificate.token_ids, certificate.prompt_ids))
    said = {
        "optimal": "is optimal",
        "optimal_within": f"is optimal within {certificate.gap:.2g} nats",
        "gap": f"is {certificate.gap:.4g} nats from a bound at most",
        "infeasible": "is none",
    }[certificate.status]
    if certificate.threshold is not None:
        said = f"and all others with Pr >= {certificate.threshold:g}: {certificate.status}"
    return f"{y} after {x} {said}, by {model.provenance.model}"


def _text(ids: Tokens | None, tokenizer: Tokenizer | None) -> str:
    if ids is None:
        return "an output"
    if tokenizer is None or any(token >= tokenizer.vocab_size for token in ids):
        return f"ids {' '.join(map(str, ids[-_SHOWN:]))}"
    text = b"".join(map(tokenizer.token_bytes, ids)).decode("utf-8", "replace")
    return repr(text if len(text) <= 2 * _SHOWN else f"…{text[-2 * _SHOWN :]}")


def _rounding(tokens: int) -> float:
    """Return the nats that another order of a sum may make: bounded, or length would hide all."""
    return min(_ROUNDING * (tokens + 1), _MOST_ROUNDING)


def _check(certificate: Certificate, model: Model) -> None:
    """Refuse a certificate that cannot be about this model.

    Raises:
        QueryError: says which of its fields, and the value.
    """
    c, vocab = certificate, model.vocab_size
    room = model.context_length - len(c.prompt_ids) + 1
    wrong: str | None = None
    if c.max_new_tokens > room:
        wrong = f"max_new_tokens is {c.max_new_tokens}, and its context has room for {room}"
    elif c.token_ids is not None and len(c.token_ids) > room:
        wrong = f"token_ids are {len(c.token_ids)}, and its context has room for {room}"
    for name, ids in (("prompt_ids", c.prompt_ids), ("bias", [token for token, _ in c.bias])):
        outside = [token for token in ids if not 0 <= token < vocab]
        if outside:
            wrong = f"{name} holds {outside[0]}, and its vocabulary is {vocab}"
    if any(not math.isfinite(nats) for _, nats in c.bias):
        wrong = f"bias holds what is no finite number: {dict(c.bias)}"
    if wrong is not None:
        msg = (
            f"this certificate is not about {model.provenance.model}: {wrong}; verify it with the "
            f"model that it was made with (--model)"
        )
        raise QueryError(msg)


def _epsilon(certificate: Certificate, model: Model) -> Claim:
    noise = model.provenance.noise_per_token * (certificate.max_new_tokens + 1)
    most = _TIMES_NOISE * noise + _HIDES_NOTHING
    detail = f"{certificate.epsilon:.2g} nats, of {most:.2g} that the model's noise makes likely"
    return Claim(id="epsilon", holds=0.0 <= certificate.epsilon <= most, detail=detail)


def _output(certificate: Certificate, recount: Recount) -> Claim:
    tokens = certificate.token_ids
    if tokens is None:
        return Claim(id="output", holds=True, detail="no output is named")
    wrong = _no_output(certificate, recount, tokens)
    many = "1 token" if len(tokens) == 1 else f"{len(tokens)} tokens"
    detail = f"{many}, all allowed" if wrong is None else wrong
    return Claim(id="output", holds=wrong is None, detail=detail)


def _no_output(certificate: Certificate, recount: Recount, tokens: Tokens) -> str | None:
    """Return why a sequence is no output; None where it is one."""
    misplaced = recount.misplaced(tokens)
    if misplaced is not None:
        what = "an end token" if misplaced in certificate.end_ids else "no token of the model"
        return f"it holds {misplaced}, {what}"
    if not recount.length_fits(tokens):
        longest = certificate.max_new_tokens
        shortest = certificate.min_new_tokens if certificate.end == "stop" else longest
        return f"it has {len(tokens)} tokens, and outputs have {shortest} to {longest}"
    if not recount.is_allowed(tokens):
        return "the constraint does not allow it"
    return None


def _score(certificate: Certificate, recount: Recount, model: Model) -> Claim:
    tokens, lower = certificate.token_ids, certificate.lower
    if tokens is None:
        floor = -math.inf if certificate.threshold is None else _log(certificate.threshold)
        return Claim(
            id="score",
            holds=_close(lower, floor, _ROUNDING),
            detail=f"no output is named, and lower is {lower:.12g}",
        )
    if any(not 0 <= token < model.vocab_size for token in tokens):
        return Claim(id="score", holds=False, detail="it holds tokens that the model has no row of")
    try:
        found = recount.scored(tokens)
    except LogprError as error:
        if isinstance(model, Predictive):
            raise
        return Claim(id="score", holds=None, detail=f"the model does not score it: {error}")
    off = certificate.epsilon + _rounding(len(tokens))
    if certificate.threshold is None:
        holds = _close(found.score, lower, off)
    else:
        floor = _log(certificate.threshold)
        holds = _close(lower, floor, _ROUNDING) and found.score >= floor - off
    detail = f"scored from scratch it has {found.score:.12g}, and lower is {lower:.12g}"
    return Claim(id="score", holds=holds, detail=detail)


def _arithmetic(certificate: Certificate) -> Claim:
    c = certificate
    wrong: list[str] = []
    numbers = (c.lower, c.upper, c.gap, c.tolerance, c.epsilon)
    if any(math.isnan(number) for number in numbers) or min(c.tolerance, c.epsilon) < 0.0:
        wrong.append("a number is nan, or tolerance or epsilon is below 0")
    gap = 0.0 if c.upper == c.lower else c.upper - c.lower
    if c.upper < c.lower:
        wrong.append(f"upper {c.upper:.12g} is below lower {c.lower:.12g}")
    if not _close(c.gap, gap, _ROUNDING):
        wrong.append(f"gap is {c.gap:.12g}, and upper − lower {gap:.12g}")
    if c.upper < max(c.largest_open, c.largest_dropped) - _ROUNDING:
        wrong.append(f"upper {c.upper:.12g} is below the bound of what is open or was dropped")
    if c.nbest_proven < 0 or (c.at_most_better or 0) < 0:
        wrong.append("a count is below 0")
    status = _status(c)
    if c.status != status:
        wrong.append(f"the status is {c.status}, and a gap of {c.gap:.12g} makes it {status}")
    detail = "; ".join(wrong) or f"gap {c.gap:.12g} and status {c.status} follow from the bounds"
    return Claim(id="arithmetic", holds=not wrong, detail=detail)


def _status(certificate: Certificate) -> str:
    c = certificate
    if c.token_ids is None:
        return "infeasible" if c.gap == 0.0 else "gap"
    if c.gap == 0.0:
        return "optimal"
    return "optimal_within" if c.gap <= max(c.tolerance, c.epsilon) else "gap"


def _ledger(mass: MassLedger, epsilon: float) -> Claim:
    parts = {field.name: float(getattr(mass, field.name)) for field in fields(mass)}
    off = _ROUNDING + math.expm1(min(max(epsilon, 0.0), 1.0))
    wrong = [f"{k} is {part:.3g}" for k, part in parts.items() if not 0.0 <= part <= 1.0 + off]
    total = math.nan if wrong else math.fsum(parts.values())
    if not wrong and not _close(total, 1.0, off):
        wrong = [f"the sum is {total:.12g}"]
    detail = "; ".join(wrong) or f"{len(parts)} parts sum to 1 within {abs(total - 1.0):.1e}"
    return Claim(id="ledger", holds=not wrong, detail=detail)


def _list(certificate: Certificate, recount: Recount, listed: Sequence[Tokens]) -> Claim:
    wrong: list[str] = []
    if len(set(listed)) < len(listed):
        wrong.append("an output is listed twice")
    for tokens in listed:
        why = _no_output(certificate, recount, tokens)
        if why is None:
            score = recount.scored(tokens).score
            if score < certificate.lower - certificate.epsilon - _rounding(len(tokens)):
                why = f"it has {score:.12g}, less than {certificate.lower:.12g}"
        if why is not None:
            wrong.append(f"{tokens}: {why}")
    if certificate.token_ids is not None and certificate.token_ids not in listed:
        wrong.append(f"{certificate.token_ids}, the best one, is not listed")
    detail = "; ".join(wrong[:3]) or f"{len(listed)} outputs have at least the threshold"
    return Claim(id="list", holds=not wrong, detail=detail)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What going through the beginnings came to."""

    counterexample: Recounted | None
    others: int
    finished: bool


def _bound(
    certificate: Certificate,
    recount: Recount,
    model: Model,
    clock: Clock,
    listed: Sequence[Tokens] | None,
) -> tuple[list[Claim], Recounted | None]:
    """Return the claims about all outputs, and an output that refutes them."""
    ids = ["bound"]
    if certificate.any_length and certificate.end == "stop":
        ids.append("any_length")
    if not isinstance(model, Predictive):
        why = (
            f"{model.provenance.model} does not show whole next-token distributions, so what it "
            f"leaves out cannot be bounded from here"
        )
        return [Claim(id=name, holds=None, detail=why) for name in ids], None
    if any(nats > 0.0 for _, nats in certificate.bias):
        why = "a bias above 0 lets outputs gain by growing, and no beginning bounds what follows"
        return [Claim(id=name, holds=False, detail=why) for name in ids], None
    limit = certificate.upper + certificate.epsilon
    limit += _rounding(certificate.max_new_tokens)
    seen = _look(certificate, recount, limit, clock, listed)
    claims = [_about_outputs(certificate, recount, seen, limit, listed)]
    if len(ids) > 1:
        claims.append(_about_longer(recount, seen, limit))
    return claims, seen.counterexample


def _look(
    certificate: Certificate,
    recount: Recount,
    limit: float,
    clock: Clock,
    listed: Sequence[Tokens] | None,
) -> _Seen:
    """Go through all that is above `limit`, until an output refutes the certificate."""
    others = 0
    known = set(listed or ())
    for output in recount.above(limit, clock):
        if certificate.threshold is None or certificate.token_ids is None:
            return _Seen(output, others, finished=False)
        if listed is not None and output.token_ids not in known:
            return _Seen(output, others, finished=False)
        if output.token_ids != certificate.token_ids:
            others += 1
    return _Seen(None, others, finished=recount.finished)


def _about_outputs(
    certificate: Certificate,
    recount: Recount,
    seen: _Seen,
    limit: float,
    listed: Sequence[Tokens] | None,
) -> Claim:
    found, upper = seen.counterexample, certificate.upper
    if found is not None:
        where = "" if certificate.threshold is None else ", and is not among the outputs"
        detail = f"{found.token_ids} has {found.score:.12g}, above upper {upper:.12g}{where}"
        return Claim(id="bound", holds=False, detail=detail)
    if not seen.finished:
        detail = f"the budget ended after {recount.expansions} expansions; nothing refuted it"
        return Claim(id="bound", holds=None, detail=detail)
    if seen.others and listed is None:
        detail = (
            f"{seen.others} outputs beside the best are above {limit:.12g}; whether they were "
            f"found is seen from the list: verify(…, outputs=[…])"
        )
        return Claim(id="bound", holds=None, detail=detail)
    detail = f"nothing above {limit:.12g} is missing, after {recount.expansions} expansions"
    return Claim(id="bound", holds=True, detail=detail)


def _about_longer(recount: Recount, seen: _Seen, limit: float) -> Claim:
    name, longest = "any_length", recount.largest_longer
    if recount.is_plain and longest > limit:
        detail = f"a beginning that is longer than outputs are has {longest:.12g}"
        return Claim(id=name, holds=False, detail=detail)
    if not recount.is_plain and limit < 0.0:
        detail = "a longer output is divided by more, and nothing below 0 bounds its score"
        return Claim(id=name, holds=None, detail=detail)
    if not seen.finished:
        return Claim(id=name, holds=None, detail="not every beginning was looked at")
    return Claim(id=name, holds=True, detail=f"no longer beginning is above {limit:.12g}")


def _decoded(found: Recounted, tokenizer: Tokenizer | None) -> Decoded:
    tokens = found.token_ids
    text = None
    if tokenizer is not None and all(token < tokenizer.vocab_size for token in tokens):
        text = b"".join(map(tokenizer.token_bytes, tokens)).decode("utf-8", "replace")
    return Decoded(
        token_ids=tokens,
        text=text,
        token_texts=tuple(text_of(token, tokenizer) for token in tokens),
        logprob=found.logprob,
        score=found.score,
        token_logprobs=found.token_logprobs,
        end_logprob=found.end_logprob,
        finished=True,
    )


def _close(one: float, other: float, within: float) -> bool:
    return one == other or abs(one - other) <= within


def _log(prob: float) -> float:
    return math.log(prob) if prob > 0.0 else -math.inf
