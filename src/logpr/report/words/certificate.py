"""What a certificate and its second look say, in a few plain lines each."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from logpr._values import Certificate, Claim, Constraint, MassLedger, Verification
from logpr.report.numbers import count, figure, fixed, plural, scientific
from logpr.report.texts import clipped, ids_text
from logpr.report.words.parts import Quoted, Sentence, unit

_MOST_IDS = 80
_MOST_SOURCE = 200
_SUM_WITHIN = 1e-6
_DIVISORS = {
    "per_token": "n^{alpha}, where n counts the tokens and END",
    "length_penalty": "((5 + n) / 6)^{alpha}, where n counts the tokens without END",
}
_STOPPED = {
    "finished": "the method came to its end",
    "budget": "the budget was used up: budget='300s' (--budget 300s) gives it more",
    "interrupted": "it was interrupted",
    "tolerance": "the gap was within the tolerance that was asked for",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the whole probability, and what it is made of."""

    name: str
    share: float
    means: str


def parts(mass: MassLedger) -> tuple[Part, ...]:
    """Return the parts of the ledger that hold something; finished outputs come first, always."""
    given = (
        Part("finished", mass.finished, "outputs that ended"),
        Part("open", mass.open, "beginnings that may still beat the best"),
        Part("pruned", mass.pruned, "beginnings that cannot beat it"),
        Part("dropped", mass.dropped, "beginnings let go without that proof"),
        Part("truncated", mass.truncated, "beginnings of longer outputs"),
        Part("excluded", mass.excluded, "not allowed by constraint or least length"),
        Part("unnamed", mass.unnamed, "given to no outcome by the model"),
    )
    return tuple(part for part in given if part.share > 0 or part.name == "finished")


def summed(mass: MassLedger) -> str:
    """Return what the parts sum to, and whether that is 1."""
    total = mass.total
    if abs(total - 1.0) <= _SUM_WITHIN:
        return f"sum {fixed(total, 6)}"
    return f"sum {fixed(total, 6)}, which is not 1: some probability is not accounted for"


def adds_up(mass: MassLedger) -> bool:
    """Return whether the parts sum to 1 within rounding."""
    return abs(mass.total - 1.0) <= _SUM_WITHIN


def facts(value: Certificate) -> tuple[tuple[str, Sentence], ...]:
    """Return what is claimed and of which outputs: a name and what is said, line after line."""
    out: list[tuple[str, Sentence]] = [("status", (_status(value),))]
    if value.threshold is None:
        out.append(("best", (_score(value.lower, "the score of the best that was found"),)))
    else:
        out.append(("from", (f"{fixed(value.lower)}, the log of the threshold",)))
    out.append(("bound", (_bound(value),)))
    if value.threshold is None:
        out.append(("gap", (_gap(value),)))
    out.append(("missing" if value.threshold is not None else "could beat it", (_better(value),)))
    out.append(("objective", (objective(value.objective),)))
    if value.bias:
        said = ", ".join(f"token {token} {fixed(nats)}" for token, nats in value.bias[:6])
        more = f" and {count(len(value.bias) - 6)} more" if len(value.bias) > 6 else ""  # noqa: PLR2004 - as shown
        out.append(("bias", (f"in nats, for each use, not part of log Pr: {said}{more}",)))
    out.append(("outputs", (_outputs(value),)))
    if value.min_new_tokens and value.end == "stop":
        out.append(("least length", (_least(value),)))
    if value.constraint is not None:
        out.append(("constraint", constrained(value.constraint)))
    if value.end == "stop":
        out.append(("longer ones", (_longer(value),)))
    found = [
        f"{name} {fixed(bound)}"
        for name, bound in (
            ("open", value.largest_open),
            ("dropped", value.largest_dropped),
            ("truncated", value.largest_truncated),
        )
        if bound > -math.inf
    ]
    if found:
        out.append(("largest left", (f"by their bound: {', '.join(found)}",)))
    out.append(("work", (_work(value),)))
    out.append(("ended", (_STOPPED[value.stopped],)))
    out.append(("epsilon", (_epsilon(value),)))
    return tuple(out)


def objective(name: str) -> str:
    """Return what is maximised, and what it divides by."""
    if name == "logprob":
        return (
            "log Pr(y | x), natural log (nats), over the full vocabulary; not divided by a length"
        )
    found = re.fullmatch(r"(\w+)(?:\((.*)\))?", name)
    divisor = None if found is None else _DIVISORS.get(found[1])
    if found is None or divisor is None:
        return name
    return f"{name}: log Pr(y | x) / {divisor.format(alpha=found[2] or '1')}"


LOG_PR = "log Pr"


def maximised(value: Certificate) -> str:
    """Return what the scores are called; those that are not log Pr itself have their own column."""
    name = LOG_PR if value.objective == "logprob" else value.objective
    if value.min_new_tokens and value.min_length == "renormalise":
        name = f"renormalised {name}"
    return f"{name} + bias" if value.bias else name


def constrained(value: Constraint) -> Sentence:
    """Return which outputs are allowed."""
    if value.kind in ("choices", "choice_ids"):
        return (f"one of {plural(len(value.sequences), 'token sequence')} that were given",)
    kind = "the regular expression " if value.kind == "regex" else "the JSON schema "
    return ("the whole text fits ", kind, Quoted(clipped(value.source or "", _MOST_SOURCE)))


def _status(value: Certificate) -> str:
    if value.status == "optimal":
        if value.threshold is not None:
            return f"complete: every output with Pr ≥ {value.threshold:g} was found"
        return "optimal: proven"
    if value.status == "optimal_within":
        # A gap that rounding alone may explain is no larger than epsilon.
        what = "the tolerance" if value.gap > value.epsilon else "numerical noise"
        return f"optimal within {what}: proven"
    if value.status == "infeasible":
        return "infeasible: proven that no such output exists"
    return "gap: not proven"


def _score(number: float, words: str) -> str:
    return "none: nothing finished" if number == -math.inf else f"{fixed(number)}, {words}"


def _bound(value: Certificate) -> str:
    if value.status == "infeasible":
        return "no output is left to bound"
    if value.threshold is not None:
        return f"{fixed(value.upper)}, which no output that may be missing exceeds"
    return f"{fixed(value.upper)}, which no output exceeds"


def _gap(value: Certificate) -> str:
    if math.isinf(value.gap) or math.isnan(value.gap):
        return "not known: nothing finished"
    if value.gap == 0:
        return "0"
    return f"{figure(value.gap)} {unit(value.objective)}"


def _better(value: Certificate) -> str:
    many = value.at_most_better
    if value.threshold is not None:
        if many is None:
            return "nothing bounds how many outputs"
        return "none" if many == 0 else f"at most {plural(many, 'output')}"
    if many is None:
        return "nothing bounds how many outputs could"
    return "no other output" if many == 0 else f"at most {plural(many, 'other output')}"


def _outputs(value: Certificate) -> str:
    most = value.max_new_tokens
    if value.end == "open":
        return f"exactly {plural(most, 'token')} of any kind (end=open)"
    ids = clipped(ids_text(value.end_ids), _MOST_IDS)
    return (
        f"{count(value.min_new_tokens)} to {plural(most, 'token')}, then END, one outcome made of "
        f"{ids} (end=stop); END is not counted"
    )


def _least(value: Certificate) -> str:
    if value.min_length == "renormalise":
        return (
            f"{plural(value.min_new_tokens, 'token')}, renormalise: END is masked before, and the "
            f"rest of the row shares its probability"
        )
    return (
        f"{plural(value.min_new_tokens, 'token')}, restrict: shorter outputs are left out, and "
        f"each other keeps its probability"
    )


def _longer(value: Certificate) -> str:
    if value.any_length:
        beaten = "beaten too: the claim holds" if value.status != "gap" else "the bound holds"
        return f"{beaten} for any length"
    more = 2 * value.max_new_tokens
    return f"not covered: max_new_tokens={more} (--max-new-tokens {more}) covers more"


def _work(value: Certificate) -> str:
    again = f", {count(value.tokens_fed_again)} of them again" if value.tokens_fed_again else ""
    passes = "pass" if value.forward_passes == 1 else "passes"
    return (
        f"{plural(value.expansions, 'expansion')}, {count(value.forward_passes)} forward {passes}, "
        f"{plural(value.tokens_fed, 'token')} fed{again}"
    )


def _epsilon(value: Certificate) -> str:
    small = 0 < value.epsilon < 1e-3  # noqa: PLR2004 - what four decimals would not show
    written = scientific(value.epsilon) if small else figure(value.epsilon)
    return f"{written} nats: what numerical noise may move the scores by"


@dataclass(frozen=True, slots=True)
class Settled:
    """How a claim came out: a word, a sign, and a plain sign for ASCII."""

    word: str
    sign: str
    plain: str
    tone: str


_SETTLED = {
    True: Settled("yes", "✓", "+", "good"),
    False: Settled("no", "✗", "x", "bad"),
    None: Settled("unsettled", "?", "?", "open"),
}


def settled(holds: bool | None) -> Settled:  # noqa: FBT001 - the field of a claim
    """Return how a claim came out."""
    return _SETTLED[holds]


NOT_LOOKED_AT = (
    "Not looked at: texts, the other outputs of a list, at_most_better, nbest_proven, and how the "
    "ledger shares its sum out."
)


def verified(value: Verification) -> str:
    """Return whether the certificate holds, by how much work."""
    work = plural(value.expansions, "expansion")
    held = sum(claim.holds is True for claim in value.claims)
    every = len(value.claims)
    if value.verified:
        return f"Verified: {_all(value.claims)} ({work})"
    if value.verified is None:
        return (
            f"Not settled: {count(held)} of {plural(every, 'claim')} hold and none fails ({work}); "
            f"the rest say below what kept them open"
        )
    broken = sum(claim.holds is False for claim in value.claims)
    does = "does" if broken == 1 else "do"
    return f"Refuted: {count(broken)} of {plural(every, 'claim')} {does} not hold ({work})"


def _all(claims: Sequence[Claim]) -> str:
    return "its claim holds" if len(claims) == 1 else f"all {count(len(claims))} claims hold"
