"""From jobs to per-token log-probabilities: one trie, one pack, one call of the model.

The engine knows token ids, never text. Each unique (prefix, token) of a window goes through the
network once; a token whose row nobody reads does not go through at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logpr.errors import ModelOutputError
from logpr.models.base import EdgeScores, Evidence, Model
from logpr.tokens.pack import Pack
from logpr.tokens.trie import TokenTrie


@dataclass(frozen=True, slots=True)
class Job:
    """One continuation after one context, in token ids.

    With `end_ids`, the last question asked is END, the one outcome made of them. `among` asks for
    those tokens too at every step. `name` says whose job it is, for messages, and `first` which
    token of it the continuation begins with. `source_ids` is x where an encoder reads it; the
    context is then what the decoder is fed before y.
    """

    context_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    end_ids: tuple[int, ...] = ()
    among: tuple[int, ...] = ()
    name: str = ""
    source_ids: tuple[int, ...] = ()
    first: int = 0


@dataclass(frozen=True, slots=True)
class JobScores:
    """Where a job's numbers lie: `edges[i]` is its i-th question in `scores`.

    Not `whole`: the questions after those were not asked, for it could not be among the best.
    """

    scores: EdgeScores
    edges: tuple[int, ...]
    among_edges: tuple[tuple[int, ...], ...] = ()
    whole: bool = True

    @property
    def logprobs(self) -> tuple[float, ...]:
        """Return the log-probability of each question, END last where it was asked."""
        return tuple(self.scores.logprob[list(self.edges)].tolist())

    def among_logprobs(self, step: int) -> tuple[float, ...]:
        """Return the log-probabilities of the subset's tokens at one step."""
        return tuple(self.scores.logprob[list(self.among_edges[step])].tolist())


def run(model: Model, jobs: Sequence[Job], *, evidence: Evidence) -> list[JobScores]:
    """Score all jobs, in one pack unless they disagree on what END is.

    Raises:
        ModelOutputError: the model returned a row without a distribution; names job and position.
    """
    kinds = list(dict.fromkeys(job.end_ids for job in jobs if job.end_ids)) or [()]
    out: list[JobScores | None] = [None] * len(jobs)
    for kind in kinds:
        # Jobs that ask no END go with the first kind: they share its prefixes.
        mine = [i for i, job in enumerate(jobs) if (job.end_ids or kinds[0]) == kind]
        for i, scores in zip(
            mine, _run_pack(model, [jobs[i] for i in mine], kind, evidence), strict=True
        ):
            out[i] = scores
    return [scores for scores in out if scores is not None]


def _run_pack(
    model: Model, jobs: Sequence[Job], end_ids: tuple[int, ...], evidence: Evidence
) -> list[JobScores]:
    trie = TokenTrie()
    asked: list[tuple[int, ...]] = []
    asked_among: list[tuple[tuple[int, ...], ...]] = []
    for job in jobs:
        asked.append(
            trie.ask(
                job.context_ids,
                job.token_ids,
                with_end=bool(job.end_ids),
                source=job.source_ids,
            )
        )
        asked_among.append(
            trie.ask_among(job.context_ids, job.token_ids, job.among, source=job.source_ids)
            if job.among
            else ()
        )
    pack, place = trie.pack(end_ids=end_ids)
    if len(pack.edge_nodes) == 0:
        return [JobScores(scores=_NOTHING, edges=()) for _ in jobs]
    try:
        scores = model.edges(pack, evidence=evidence)
    except ModelOutputError as error:
        if error.edge is None:
            raise
        raise _located(
            error.edge, pack, place=place, jobs=jobs, asked=asked, found=str(error)
        ) from error
    (bad,) = np.nonzero(~(scores.logprob <= _ROUNDING))  # NaN fails every comparison
    if bad.size:
        edge = int(bad[0])
        found = f"a log-probability of {scores.logprob[edge]}"
        raise _located(edge, pack, place=place, jobs=jobs, asked=asked, found=found)
    return [
        JobScores(
            scores=scores,
            edges=tuple(place[edge] for edge in edges),
            among_edges=tuple(tuple(place[edge] for edge in step) for step in among),
        )
        for edges, among in zip(asked, asked_among, strict=True)
    ]


_ROUNDING = 1e-6
"""A probability of one may come out this far above zero in float32."""

_NOTHING = EdgeScores(logprob=np.empty(0, dtype=np.float64), logit=None, logz=None)


def _located(
    edge: int,
    pack: Pack,
    *,
    place: list[int],
    jobs: Sequence[Job],
    asked: Sequence[tuple[int, ...]],
    found: str,
) -> ModelOutputError:
    number = place.index(edge)
    for job, edges in zip(jobs, asked, strict=True):
        if number in edges:
            where = f"{job.name}, position {job.first + edges.index(number)}"
            break
    else:
        where = "a token asked about beside the candidates"
    path = pack.path(int(pack.edge_nodes[edge]))
    shown = ", ".join(map(str, path[-8:]))
    dots = "…, " if len(path) > 8 else ""  # noqa: PLR2004 - as many ids as fit a line
    msg = (
        f"{where}: the model returned no distribution ({found}) after token ids [{dots}{shown}]; "
        f"check its weights and dtype (`logpr doctor`), e.g. load it with dtype='float32'"
    )
    return ModelOutputError(msg, edge=edge)
