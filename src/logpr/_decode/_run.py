"""A request decoded: the method's search, what it is compared with, and its certificate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from logpr._decode._found import Found, Others, by_beam, by_drawing, by_search, others_of
from logpr._decode._options import BEAM_WIDTH, DRAWING, EXACT_WIDTH, Options
from logpr._decode._outputs import Scorer, Tokens, string_masses
from logpr._decode._request import Request
from logpr._decode._tree import tree_of
from logpr._explain import explain
from logpr._rank import rank
from logpr._score._assemble import text_of
from logpr._values import Certificate, Decoded, Decoding, Explanation, TreeNode
from logpr.decoding.certify import certify
from logpr.decoding.finished import Output
from logpr.decoding.forecast import forecast
from logpr.decoding.limits import Clock, interruptible
from logpr.errors import QueryError
from logpr.models.base import Stepper


def run(request: Request, options: Options) -> Decoding:
    """Return what a request is decoded to.

    Args:
        request: the outputs.
        options: how.

    Raises:
        QueryError: the method does not go with the outputs.
    """
    _check(request, options)
    clock = Clock(options.budget)
    stepper = request.stepper(options.kv_bytes)
    others = Others()
    with interruptible(clock):
        if options.compare:
            others = others_of(request, stepper, options, clock)
        if options.method in DRAWING:
            found = by_drawing(request, stepper, options, clock)
        elif options.method in ("greedy", "beam"):
            found = by_beam(request, stepper, options, clock)
        else:
            found = by_search(request, stepper, options, clock, others)
    if options.method == "greedy":
        others = replace(others, greedy=next(iter(found.listed), None))
    return _decoding(request, options, found, others, stepper, clock)


def _check(request: Request, options: Options) -> None:
    space = request.space
    if options.method == "threshold" and (space.objective.kind != "logprob" or space.bias):
        msg = (
            f"method 'threshold' is about Pr(y | x) itself; found objective "
            f"{space.objective.name!r}{' and a bias' if space.bias else ''}; leave them out"
        )
        raise QueryError(msg)
    if options.method in DRAWING and not request.whole_rows:
        msg = (
            f"method {options.method!r} draws from whole next-token distributions, and "
            f"{request.model.provenance.model} shows its best tokens alone; take method='exact'"
        )
        raise QueryError(msg)


def _decoding(  # noqa: PLR0917 - the parts of an answer
    request: Request,
    options: Options,
    found: Found,
    others: Others,
    stepper: Stepper,
    clock: Clock,
) -> Decoding:
    seconds = clock.seconds
    scorer = Scorer(request)
    listed = scorer.decoded(found.listed)
    certificate = certify(
        request.space,
        found.findings,
        prompt_ids=request.prompt.ids,
        constraint=request.constraint,
        threshold=options.threshold,
        tolerance=options.tolerance,
        epsilon=scorer.epsilon(found.findings.outputs[:1], found.opened),
        count=options.count,
    )
    named = _named(certificate, options, found, others)
    others_by_ids = {(one.token_ids, one.ended): one for one in named.values()}
    beside = tuple(one for one in others_by_ids.values() if not _among(one, found.listed))
    # Where probability is shared out anew, the search's is not the model's own.
    own = request.space.min_length == "restrict" or not request.space.min_tokens
    masses = string_masses(found.findings.outputs, request.tokenizer) if own else {}
    told = _Telling(certificate, named, masses)
    nbest = told.all(found.listed, listed)
    compared = told.all(beside, scorer.decoded(beside))
    if found.draws:
        nbest = tuple(
            replace(one, proposal_logprob=draw.proposal_logprob, gumbel=draw.gumbel)
            for one, draw in zip(nbest, found.draws, strict=True)
        )
    proven = certificate.token_ids  # of equal scores it is this one that the certificate is about
    best = max(
        nbest,
        key=lambda one: (one.finished, one.score, one.token_ids == proven),
        default=None,
    )
    greedy = next((one for one in (*nbest, *compared) if "greedy" in one.names), None)
    return Decoding(
        prompt=request.query.prompt,
        prompt_ids=request.prompt.ids,
        method=options.method,
        width=_width(options),
        objective=request.space.objective.name,
        best=best,
        nbest=nbest,
        greedy=greedy,
        compared=compared,
        empty_rank=_empty_rank(request, found, others),
        certificate=certificate,
        history=found.history,
        tree=_tree(request, found, named, stepper, certificate)
        if options.compare and _has_time(stepper, named, clock)
        else (),
        kappa=found.kappa,
        explanation=_explained(request, best, greedy) if options.explain else None,
        seconds=seconds,
        peak_bytes=stepper.peak_bytes + found.peak_bytes,
        warnings=(
            *request.warnings,
            *found.warnings,
            *_endless(request, certificate, others),
            *_warnings(options, certificate, seconds),
        ),
        provenance=request.provenance,
    )


def _has_time(stepper: Stepper, named: Mapping[str, Output], clock: Clock) -> bool:
    """Return whether a picture's forward passes take little beside what the budget allows."""
    budget = clock.budget.seconds
    longest = max((len(output.token_ids) for output in named.values()), default=0)
    likely = clock.seconds / max(stepper.calls, 1) * (longest + 1)
    return not clock.interrupted and (budget is None or likely <= budget / 3)


@dataclass(frozen=True, slots=True)
class _Telling:
    """What is said of outputs beside their scores: their names, and the masses they belong to."""

    certificate: Certificate
    named: Mapping[str, Output]
    masses: Mapping[Tokens, float]

    def all(self, outputs: Sequence[Output], decoded: Sequence[Decoded]) -> tuple[Decoded, ...]:
        return tuple(
            replace(
                one,
                names=tuple(name for name, known in self.named.items() if _same(known, output)),
                string_mass=self.masses.get(output.token_ids) if output.ended else None,
                logprob_given_constraint=self._given_constraint(output) if output.ended else None,
            )
            for output, one in zip(outputs, decoded, strict=True)
        )

    def _given_constraint(self, output: Output) -> tuple[float, float] | None:
        """Return bounds of log Pr(y | x, y in C): log Pr(C) is known as far as C was looked at.

        Of the search's own log Pr(y | x), not of what the plain path makes of it: the ledger is
        under the search's normaliser, and `renormalise` has another one.
        """
        if self.certificate.constraint is None:
            return None
        mass = self.certificate.mass
        most = mass.finished + mass.open + mass.pruned + mass.dropped
        least = max(mass.finished, math.exp(output.logprob))
        return (
            output.logprob - math.log(min(most, 1.0)) if most > 0.0 else -math.inf,
            min(output.logprob - math.log(least), 0.0) if least > 0.0 else 0.0,
        )


def _same(one: Output, other: Output) -> bool:
    return one.token_ids == other.token_ids and one.ended == other.ended


def _among(one: Output, listed: Sequence[Output]) -> bool:
    return any(_same(one, other) for other in listed)


def _width(options: Options) -> int | None:
    default = {"beam": BEAM_WIDTH, "exact": EXACT_WIDTH, "threshold": EXACT_WIDTH}
    return options.width or default.get(options.method)


def _named(
    certificate: Certificate, options: Options, found: Found, others: Others
) -> dict[str, Output]:
    """Return outputs by the names of those who come to them."""
    out: dict[str, Output | None] = {}
    # Within a caller's tolerance something may still be better: that is no mode.
    proven = certificate.status in ("optimal", "optimal_within")
    proven &= certificate.gap <= certificate.epsilon
    plain = certificate.objective == "logprob" and not certificate.bias
    if found.findings.outputs and proven and plain:
        out["mode"] = found.findings.outputs[0]
    out["greedy"] = others.greedy
    if options.method == "beam" and found.listed:
        out[f"beam-{_width(options)}"] = found.listed[0]
    out.setdefault(f"beam-{BEAM_WIDTH}", others.beam)
    out["sample"] = others.sample
    out["empty"] = others.empty
    return {name: output for name, output in out.items() if output is not None}


def _empty_rank(request: Request, found: Found, others: Others) -> tuple[int, int | None] | None:
    """Return the rank of the empty output, as far as what was found bounds it.

    Whoever is above it has more probability than it, and there is only so much that was not
    looked at.
    """
    space, findings, empty = request.space, found.findings, others.empty
    if empty is None or space.objective.kind != "logprob" or space.bias:
        return None
    if not request.whole_rows and len(space.end_ids) > 1:  # END may have more than is shown of it
        return None
    known = {one.token_ids: one.score for one in (*others.known, *findings.outputs)}
    better = sum(score > empty.score for score in known.values())
    least = 1 + better
    ledger = findings.ledger
    # Outputs that ended, and that there was no room to keep.
    lost = ledger.finished - math.fsum(math.exp(one.logprob) for one in findings.outputs)
    mass = ledger.open + ledger.dropped + ledger.pruned + max(lost, 0.0)
    bound = max(findings.largest_open, findings.largest_dropped, found.largest_pruned)
    each = math.exp(empty.logprob)
    if bound <= empty.score and lost < each:
        return (least, least)
    most = mass / each if each > 0.0 else math.inf
    return (least, least + math.floor(most) if math.isfinite(most) else None)


def _tree(
    request: Request,
    found: Found,
    named: Mapping[str, Output],
    stepper: Stepper,
    certificate: Certificate,
) -> tuple[TreeNode, ...]:
    if not request.whole_rows:  # each node is one more question to somebody's server
        return ()
    paths = {name: one.token_ids for name, one in named.items() if name not in ("sample", "empty")}
    if found.listed and "mode" not in paths:
        paths = {"best": found.listed[0].token_ids, **paths}
    return tree_of(
        request,
        stepper,
        paths,
        lower=certificate.lower,
        opened=found.opened,
        dropped=found.dropped,
    )


def _explained(
    request: Request, best: Decoded | None, greedy: Decoded | None
) -> Explanation | None:
    """Return why the greedy output lost; None where there is nothing to compare."""
    if best is None or greedy is None or not (best.finished and greedy.finished):
        return None
    if best.token_ids == greedy.token_ids:
        return None
    ranking = rank(
        prompt_ids=request.prompt.ids,
        candidate_ids=[best.token_ids, greedy.token_ids],
        model=request.model,
        end=request.space.end,
        end_ids=request.space.end_ids or None,
        evidence=True,
    )
    return explain(ranking, first=0, second=1)


def _endless(request: Request, certificate: Certificate, others: Others) -> tuple[str, ...]:
    """Return a hint where nothing that is likely comes to an end."""
    if certificate.status != "gap" or others.greedy is None or others.beam is None:
        return ()
    if others.greedy.ended or others.beam.ended:
        return ()
    ends = ", ".join(
        f"{token} ({text_of(token, request.tokenizer)!r})" for token in request.space.end_ids
    )
    said = (
        f"no_end: neither greedy nor beam-{BEAM_WIDTH} came to an end within "
        f"{request.space.max_tokens} tokens: after this prompt END, which is {ends}, is unlikely. "
        f"Other tokens may end outputs here: end_ids=[…] (--end-ids); or fix their length: "
        f"end='open' (--end open)"
    )
    return (said,)


def _warnings(options: Options, certificate: Certificate, seconds: float) -> tuple[str, ...]:
    searched = certificate.status == "gap" and certificate.stopped in ("budget", "interrupted")
    searched &= options.method in ("exact", "threshold")
    # The estimate counts beginnings by their probability alone, allowed or not.
    plain = certificate.objective == "logprob" and not certificate.bias
    if not searched or not plain or certificate.constraint is not None:
        return ()
    said = forecast(certificate.lower, certificate.max_new_tokens, certificate.expansions, seconds)
    return () if said is None else (f"unproven: {said}",)
