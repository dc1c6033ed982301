"""The sentences of a decoding: whether greedy is optimal, what was found, what is proven of it."""

from __future__ import annotations

import math

from logpr._values import Decoded, Decoding, Moment
from logpr.report.numbers import count, figure, fixed, percent, plural
from logpr.report.words.certificate import LOG_PR, maximised
from logpr.report.words.certificate import facts as certificate_facts
from logpr.report.words.outputs import mass
from logpr.report.words.parts import Sentence, unit

_MOST_PLACES = 6
_FAST = 100
_UNCLAIMED = ("objective", "bias", "outputs", "least length", "constraint", "work", "epsilon")

KINDS = {
    "expanded": "gone on with",
    "finished": "an output",
    "open": "may still beat the best",
    "pruned": "cannot beat the best",
    "dropped": "let go without proof",
}
"""What became of a beginning."""


def verdict(value: Decoding) -> str:
    """Return in one line what was found and what is proven of it."""
    if value.certificate.status == "infeasible":
        return _infeasible(value)
    match value.method:
        case "threshold":
            return _threshold(value)
        case "sample" | "sample_without_replacement":
            return _sampled(value)
        case "greedy" | "beam":
            return _own(value)
        case _:
            return _exact(value)


def ways_out(value: Decoding) -> tuple[str, ...]:
    """Return what to type where no output exists, or where nothing finished; () elsewhere."""
    proof = value.certificate
    more = 2 * proof.max_new_tokens
    longer = f"longer outputs: max_new_tokens={more} (--max-new-tokens {more})"
    if proof.status == "infeasible":
        return _feasible(value, longer)
    if _best(value) is not None or value.method in ("sample", "sample_without_replacement"):
        return ()
    if value.method in ("greedy", "beam"):
        return (longer, "a search that looks for what ends: method='exact' (--method exact)")
    time = "more time: budget='300s' (--budget 300s)"
    if proof.stopped != "finished":
        return (time, longer)
    cut, left = (bound > -math.inf for bound in (proof.largest_truncated, proof.largest_dropped))
    room = (
        "more room for what was let go: memory='2GB' (--memory 2GB), or, where the model shows its "
        "best tokens alone, one that shows whole rows"
    )
    # Where nothing was cut or all the rest let go, longer outputs would change nothing.
    return (*((longer,) if cut or not left else ()), *((room,) if left else ()))


def _feasible(value: Decoding, longer: str) -> tuple[str, ...]:
    """Return what to change so that there is an output."""
    proof = value.certificate
    if proof.threshold is not None:
        lower = f"{proof.threshold / 10:g}"
        return (f"a lower threshold: threshold={lower} (--threshold {lower})",)
    if proof.constraint is not None:
        return (longer, f"another constraint than this {proof.constraint.kind}")
    if proof.end == "open":
        return ()
    most = proof.max_new_tokens
    fixed_length = f"end='open', min_new_tokens={most} (--end open --min-new-tokens {most})"
    return (
        longer,
        "other end tokens: end_ids=[…] (--end-ids …)",
        f"a fixed length instead of END: {fixed_length}",
    )


def _infeasible(value: Decoding) -> str:
    proof = value.certificate
    work = f"proven, {plural(proof.expansions, 'expansion')}"
    if proof.threshold is not None:
        return f"No output has Pr ≥ {proof.threshold:g} ({work})"
    least, most = proof.min_new_tokens, proof.max_new_tokens
    length = plural(most, "token")
    length = f"exactly {length}" if proof.end == "open" else (
        f"{count(least)} to {length}" if least else f"at most {length}"
    )  # fmt: skip
    if proof.constraint is not None:
        return f"No output of {length} fits the {proof.constraint.kind} ({work})"
    ends = "" if proof.end == "open" else " before END"
    return f"No output of {length}{ends} has a probability above 0 ({work})"


def _best(value: Decoding) -> Decoded | None:
    """Return the best output, or None where that is a mere beginning."""
    best = value.best
    return best if best is not None and best.finished else None


def _exact(value: Decoding) -> str:
    proof = value.certificate
    best = _best(value)
    by = _by(value)
    work = plural(proof.expansions, "expansion")
    if best is None:
        return f"Nothing finished; {_not_proven(value)}"
    if proof.status == "gap":
        return f"Best found {_figures(best.score)[0]}{by}; {_not_proven(value)}"
    within = "" if proof.status == "optimal" else f" within {_within(value)}"
    greedy = value.greedy
    if greedy is None:
        return f"Optimum{within} {_figures(best.score)[0]}{by} (proven, {work})"
    if not greedy.finished:
        head = f"Greedy: cut at {plural(len(greedy.token_ids), 'token')}, not ended"
        return f"{head}; optimum{within} {_figures(best.score)[0]}{by} (proven, {work})"
    same = greedy.token_ids == best.token_ids
    ahead = greedy.score - best.score
    if same or abs(ahead) <= proof.epsilon:
        tie = "" if same else ", as is another output"
        return f"Greedy is optimal{within}{tie}: {_figures(best.score)[0]}{by} (proven, {work})"
    one, two = _figures(greedy.score, best.score)
    # What is above the optimum is no output that was asked for.
    head = "not allowed here" if ahead > 0 else "not optimal"
    if greedy.text is not None and greedy.text == best.text and ahead <= 0:
        head = "the same text in another spelling"
    return f"Greedy: {head}: {one}; optimum{within} {two}{by} (proven, {work})"


def _own(value: Decoding) -> str:
    """Return what greedy or beam search found, and what its own bounds prove of it."""
    proof = value.certificate
    name = "Greedy" if value.method == "greedy" else beam_name(value.width)
    by = _by(value)
    best = _best(value)
    if best is None:
        cut = value.best or (value.greedy if value.method == "greedy" else None)
        head = "nothing ended" if cut is None else (
            f"cut at {plural(len(cut.token_ids), 'token')}, not ended"
        )  # fmt: skip
        return f"{name}: {head}; {_not_proven(value)}"
    found = _figures(best.score)[0]
    if proof.status == "gap":
        return f"{name}: {found}{by}; {_not_proven(value)}"
    within = "" if proof.status == "optimal" else f" within {_within(value)}"
    return (
        f"{name} is optimal{within}: {found}{by}; proven by its own bounds at no further cost "
        f"({plural(proof.expansions, 'expansion')})"
    )


def _threshold(value: Decoding) -> str:
    proof = value.certificate
    many = len(value.nbest)
    what = f"with Pr ≥ {proof.threshold or 0:g}"
    together = f"together {percent(mass(value.nbest))}"
    if proof.status != "gap":
        head = "The one output" if many == 1 else f"All {count(many)} outputs"
        return f"{head} {what} found; {together}"
    missing = proof.at_most_better
    rest = (
        "nothing bounds how many are missing"
        if missing is None
        else f"at most {count(missing)} may be missing"
    )
    return f"{plural(many, 'output')} {what} found, {together}; {rest}{_after(value)}"


def _sampled(value: Decoding) -> str:
    many = len(value.nbest)
    if many == 0:
        return "Nothing was drawn that ended"
    ended = [each for each in value.nbest if each.finished]
    one = max(ended or value.nbest, key=lambda each: each.logprob)
    under = f"log Pr {_figures(one.logprob)[0]} under the model"
    if one.proposal_logprob is not None:
        under += f", log q {_figures(one.proposal_logprob)[0]} under what it was drawn from"
    cut = many - len(ended)
    at = plural(value.certificate.max_new_tokens, "token")
    if many == 1:
        return f"Drawn{f', cut at {at}, not ended' if cut else ''}: {under}"
    head = plural(many, "output") + " drawn"
    if value.method == "sample_without_replacement":
        head += " without replacement, in the order of log q + Gumbel noise"
    if cut:
        head += f", {count(cut)} of them cut at {at}, not ended"
    return f"{head}; the likeliest{' that ended' if cut and ended else ''}: {under}"


def _not_proven(value: Decoding) -> str:
    proof = value.certificate
    bound = _figures(proof.upper)[0]
    gap = (
        ""
        if not math.isfinite(proof.gap)
        else f"gap {_figures(proof.gap)[0]} {unit(value.objective)}"
    )
    after = _seconds(value)
    inside = "; ".join(part for part in (f"{gap} {after}".strip(), "not proven") if part)
    ends = "" if _best(value) is not None or proof.end == "open" else " that ends"
    return f"nothing{ends} exceeds {bound} ({inside})"


def _within(value: Decoding) -> str:
    proof = value.certificate
    if proof.gap <= proof.epsilon:
        return f"the numerical noise of {figure(proof.epsilon, 2)} nats"
    return f"{figure(proof.gap, 2)} {unit(value.objective)}"


def _seconds(value: Decoding) -> str:
    return f"after {seconds(value.seconds)}"


def _after(value: Decoding) -> str:
    return f" ({_seconds(value)})"


def _by(value: Decoding) -> str:
    called = maximised(value.certificate)
    return "" if called == LOG_PR else f" by {called}"


def _figures(*numbers: float) -> tuple[str, ...]:
    """Write numbers with two decimals, with more where different ones would look the same."""
    for places in range(2, _MOST_PLACES + 1):
        written = tuple(fixed(number, places) for number in numbers)
        if len(set(written)) == len(set(numbers)):
            break
    return written


def seconds(number: float) -> str:
    """Write a duration: 0.42 s, 30 s, 212 s."""
    return f"{number:.2f} s" if number < 10 else f"{number:.0f} s"  # noqa: PLR2004


def beam_name(width: int | None) -> str:
    """Return what beam search of a width is called."""
    return "beam" if width is None else f"beam-{width}"


def facts(value: Decoding) -> tuple[tuple[str, Sentence], ...]:
    """Return what is claimed and of which outputs; of what was drawn nothing is claimed."""
    found = certificate_facts(value.certificate)
    if value.method not in ("sample", "sample_without_replacement"):
        return found
    none = "nothing is claimed: drawing proves nothing of the best output"
    return (("status", (none,)), *(fact for fact in found if fact[0] in _UNCLAIMED))


def meaning(value: Decoding) -> str:
    """Return what the figures are, in one line."""
    stop = value.certificate.end == "stop"
    words = "is exactly" if stop else "begins with"
    return (
        f"log Pr: natural log (nats), over the full vocabulary. Pr: the probability that the "
        f"output {words} these tokens (end={value.certificate.end})."
    )


def took(value: Decoding) -> str:
    """Return the time and the memory that the search took."""
    return f"{seconds(value.seconds)}, at most {_bytes(value.peak_bytes)} held by the search"


def _bytes(number: int) -> str:
    size = float(number)
    for name in ("bytes", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {name}"
        size /= 1000
    return f"{size:.1f} GB"


def live_line(moment: Moment) -> str:
    """Return how far a search is, on one line: best, bound, gap, open beginnings, speed, time."""
    found = math.isfinite(moment.lower)
    parts = [f"best {fixed(moment.lower, 2)}" if found else "nothing ended yet"]
    parts.append(f"bound {fixed(moment.upper, 2)}")
    if found and math.isfinite(moment.upper):
        parts.append(f"gap {fixed(max(0.0, moment.upper - moment.lower), 2)}")
    parts.append(f"{count(moment.open)} open")
    if moment.seconds > 0:
        rate = moment.expansions / moment.seconds
        fast = count(round(rate)) if rate >= _FAST else figure(rate, 2)
        parts.append(f"{fast} nodes/s")
    parts.append(seconds(moment.seconds))
    return " · ".join(parts)
