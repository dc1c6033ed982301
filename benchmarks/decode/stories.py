"""How often greedy and beam search find the mode of real stories' continuations.

Each prompt is decoded four ways apart from each other: greedy, beams of 5 and 20, and the exact
search, which is told nothing of what the others found. A mode counts where it is proven.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import logpr
from benchmarks.decode.texts import END_ID, NEW_TOKENS, Kind, Prompt
from logpr._values import Decoding
from logpr._values.decoding import Method
from logpr.decoding.verifier import verify
from logpr.models.base import Model

METHODS: dict[str, tuple[Method, int | None]] = {
    "greedy": ("greedy", None),
    "beam-5": ("beam", 5),
    "beam-20": ("beam", 20),
}
PROVEN = ("optimal", "optimal_within")

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a method came to: `found` None where the mode is not proven.

    An output that was cut before its end is none: it has no `logprob` and finds nothing. `free`
    says that the method's own account proves its answer.
    """

    token_ids: list[int]
    text: str | None
    logprob: float | None
    found: bool | None
    free: bool
    expansions: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One prompt: what the exact search proved, and what the others came to.

    Log-probabilities are in nats. `seconds` are those of the search, `whole_seconds` those of the
    call, with what it does for its answer afterwards.
    """

    index: int
    kind: Kind
    prompt_tokens: int
    status: str
    stopped: str
    lower: float
    gap: float
    epsilon: float
    at_most_better: int | None
    any_length: bool
    ledger: float
    expansions: int
    forward_passes: int
    tokens_fed: int
    seconds: float
    whole_seconds: float
    mode_ids: list[int]
    mode_text: str | None
    real_logprob: float
    real_is_mode: bool
    tried: dict[str, Tried]
    empty_logprob: float | None = None
    empty_rank: list[int | None] | None = None
    better_than_empty: int | None = None
    """So many outputs have more than the empty one, at least."""
    verified: bool | None = None
    verified_by: int | None = None
    """Expansions of the verifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long to search and to verify, and how many outputs are held against the empty one."""

    budget: str = "30s"
    verify: str | None = "30s"
    above_empty: int = 1000
    empty_budget: str = "5s"


def outputs_of(kind: Kind, length: int = NEW_TOKENS) -> Json:
    """Return the options of `decode` that say which outputs there are.

    Args:
        kind: "open": exactly `length` tokens; "stop": at most so many, and END.
        length: of outputs.
    """
    if kind == "open":
        return {"end": "open", "min_new_tokens": length, "max_new_tokens": length}
    return {"end": "stop", "end_ids": [END_ID], "max_new_tokens": length}


def run(prompt: Prompt, model: Model, settings: Settings) -> Record:
    """Return what decoding one prompt gives.

    Args:
        prompt: whose continuations.
        model: of them.
        settings: how long.
    """
    asked = {
        "prompt_ids": prompt.prompt_ids,
        "model": model,
        "budget": settings.budget,
        "compare": False,
        **outputs_of(prompt.kind),
    }
    tried = {
        name: logpr.decode(method=method, width=width, **asked)
        for name, (method, width) in METHODS.items()
    }
    exact, whole = _timed(lambda: logpr.decode(**asked))
    certificate = exact.certificate
    proven = certificate.status in PROVEN
    mode = list(certificate.token_ids or ()) if proven else None
    verification = None
    if settings.verify is not None:
        verification = verify(certificate, model=model, budget=settings.verify)
    return Record(
        index=prompt.index,
        kind=prompt.kind,
        prompt_tokens=len(prompt.prompt_ids),
        status=certificate.status,
        stopped=certificate.stopped,
        lower=certificate.lower,
        gap=certificate.gap,
        epsilon=certificate.epsilon,
        at_most_better=certificate.at_most_better,
        any_length=certificate.any_length,
        ledger=certificate.mass.total,
        expansions=certificate.expansions,
        forward_passes=certificate.forward_passes,
        tokens_fed=certificate.tokens_fed,
        seconds=exact.seconds,
        whole_seconds=whole,
        mode_ids=list(certificate.token_ids or ()),
        mode_text=None if exact.best is None else exact.best.text,
        real_logprob=_real(prompt, model),
        real_is_mode=list(prompt.real_ids) == mode,
        tried={name: _tried(found, mode) for name, found in tried.items()},
        verified=None if verification is None else verification.verified,
        verified_by=None if verification is None else verification.expansions,
        **(_empty(asked, settings) if prompt.kind == "stop" else {}),
    )


def _tried(found: Decoding, mode: list[int] | None) -> Tried:
    best = found.best
    ids = [] if best is None else list(best.token_ids)
    finished = best is not None and best.finished
    return Tried(
        token_ids=ids,
        text=None if best is None else best.text,
        logprob=best.logprob if best is not None and finished else None,
        found=None if mode is None else finished and ids == mode,
        free=finished and found.certificate.status in PROVEN,
        expansions=found.certificate.expansions,
        seconds=found.seconds,
    )


def _real(prompt: Prompt, model: Model) -> float:
    options: Json = {"end": prompt.kind}
    if prompt.kind == "stop":
        options["end_ids"] = [END_ID]
    score = logpr.score(
        prompt_ids=prompt.prompt_ids, candidate_ids=prompt.real_ids, model=model, **options
    )
    assert score.logprob is not None, "this model scores"
    return score.logprob


def _empty(asked: Json, settings: Settings) -> Json:
    """Return what is known of the empty output; for its rank the best outputs are listed."""
    # Outputs above it need not be the best ones, so their search may be cut short.
    more = {"compare": True, "n": settings.above_empty, "budget": settings.empty_budget}
    found = logpr.decode(**{**asked, **more})
    (empty,) = (one for one in (*found.nbest, *found.compared) if "empty" in one.names)
    rank = found.empty_rank
    return {
        "empty_logprob": empty.logprob,
        "empty_rank": None if rank is None else list(rank),
        "better_than_empty": None if rank is None else rank[0] - 1,
    }


def _timed(call: Callable[[], Decoding]) -> tuple[Decoding, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def write(path: Path, asked: list[Prompt], model: Model, settings: Settings) -> Iterator[Record]:
    """Yield the record of each prompt, after writing it as a line of JSON.

    Args:
        path: of the lines; written anew.
        asked: the prompts.
        model: of all.
        settings: of all.
    """
    with path.open("w", encoding="utf-8") as lines:
        for prompt in asked:
            record = run(prompt, model, settings)
            lines.write(json.dumps(asdict(record)) + "\n")
            lines.flush()
            yield record


def read(path: Path) -> list[Record]:
    """Return the records of a file.

    Args:
        path: of lines of JSON.
    """
    out: list[Record] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        tried = {name: Tried(**one) for name, one in fields.pop("tried").items()}
        out.append(Record(tried=tried, **fields))
    return out
