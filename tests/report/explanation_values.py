"""Explanations of made-up rankings: their rows of logits come from NumPy, their parts from logpr.

A scene is a random model without a network: the row at a prefix is drawn from the prefix itself, so
what two candidates share has the same numbers, as it has in a real ranking.
"""

from __future__ import annotations

import functools
import itertools
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from logpr._explain import explain
from logpr._values import (
    Alternative,
    Decision,
    Decisions,
    Explanation,
    Fork,
    Influence,
    Ranking,
    Score,
    TokenEvidence,
)
from tests.report.values import PROVENANCE

PIECES = (b" a", b"b", b" \xf0\x9f", b"\x98\xba", b" the", b"\n", b"<i>", b"\xd7\xa9\xd7\x9c")
"""Tokens of the random model: a space each way, half an emoji and its rest, markup, Hebrew."""
PROMPT = "Once upon a time"
PROMPT_IDS = (0, 7, 7)


def text_of(piece: bytes) -> str:
    """Return the text that a token's bytes are kept as."""
    return piece.decode("utf-8", "surrogateescape")


def a_scene(
    ids: Sequence[int],
    *,
    index: int = 0,
    end: bool = False,
    evidence: bool = True,
    seed: int = 0,
    pieces: Sequence[bytes] = PIECES,
    listed: int = 5,
    impossible: bool = False,
    **fields: object,
) -> Score:
    """Return the score of some of the model's tokens; with `impossible` the last has Pr 0."""
    rows = [_row(ids[:at], seed, len(pieces)) for at in range(len(ids) + end)]
    targets = [*ids, len(pieces)] if end else list(ids)
    if impossible:
        rows[-1][targets[-1]] = -math.inf
    logz = [float(np.logaddexp.reduce(row)) for row in rows]
    logprobs = [float(row[y] - z) for row, y, z in zip(rows, targets, logz, strict=True)]
    sizes = [len(pieces[each]) for each in ids]
    ends = np.cumsum([0, *sizes]).tolist()
    known = [_at(row, y, z, pieces, listed) for row, y, z in zip(rows, targets, logz, strict=True)]
    text = b"".join(pieces[each] for each in ids).decode("utf-8", "replace")
    logprob = math.fsum(logprobs) if all(map(math.isfinite, logprobs)) else -math.inf
    score = Score(
        index=index, text=text, logprob=logprob, per_token=logprob / max(1, len(targets)),
        per_char=None, per_byte=None, bits_per_byte=None, choice_prob=None, tokens=len(ids),
        bytes=sum(sizes), chars=len(text), boundary="clean", end="stop" if end else "open",
        end_logprob=logprobs[-1] if end else None, noise=1e-9, prompt_ids=PROMPT_IDS,
        token_ids=tuple(ids), token_texts=tuple(text_of(pieces[each]) for each in ids),
        token_spans=tuple(itertools.pairwise(ends)),
        token_logprobs=tuple(logprobs[: len(ids)]),
    )  # fmt: skip
    if evidence:
        own = known[: len(ids)]
        score = replace(
            score,
            logit=tuple(each.logit for each in own),
            logz=tuple(each.logz for each in own),
            rank=tuple(each.rank for each in own),
            top_id=tuple(each.top_id for each in own),
            top_logit=tuple(each.top_logit for each in own),
            top_logprob=tuple(each.top_logprob for each in own),
            entropy=tuple(each.entropy for each in own),
            alternatives=tuple(each.alternatives for each in own),
            end_evidence=known[-1] if end else None,
        )
    return replace(score, **fields)  # type: ignore[arg-type]


def _row(prefix: Sequence[int], seed: int, size: int) -> np.ndarray:
    # The last outcome is END.
    key = zlib.crc32(np.asarray(prefix, dtype=np.int64).tobytes())
    return np.random.default_rng([seed, len(prefix), key]).normal(0.0, 3.0, size + 1)


def _at(
    row: np.ndarray, y: int, logz: float, pieces: Sequence[bytes], listed: int
) -> TokenEvidence:
    best = np.argsort(-row, kind="stable")[:listed].tolist()
    shares = np.exp(row - logz)
    texts = [*map(text_of, pieces), "END"]
    return TokenEvidence(
        logit=float(row[y]), logz=logz, rank=int(1 + (row > row[y]).sum()), top_id=best[0],
        top_logit=float(row[best[0]]), top_logprob=float(row[best[0]] - logz),
        entropy=float(-(shares[shares > 0] * (row - logz)[shares > 0]).sum()),
        alternatives=tuple(
            Alternative(id=each, text=texts[each], logprob=float(row[each] - logz),
                        logit=float(row[each])) for each in best
        ),
    )  # fmt: skip


def a_ranking_of(scores: Sequence[Score], **fields: object) -> Ranking:
    """Return a ranking by log Pr; equal candidates keep their order."""
    order = sorted(range(len(scores)), key=lambda at: (-_known(scores[at]), at))
    best = order[0]
    lengths = [score.per_token for score in scores]
    longest = max(range(len(scores)), key=lambda at: (_least(lengths[at]), -at))
    known: dict[str, object] = {
        "rule": "logprob", "end": scores[0].end, "best": best, "order": tuple(order),
        "margin": None, "noise": None, "tie": False, "prompt": PROMPT,
        "candidates": tuple(scores), "provenance": PROVENANCE,
        "winners": (("logprob", best), ("per_token", longest)),
    }  # fmt: skip
    return Ranking(**(known | fields))  # type: ignore[arg-type]


def _known(score: Score) -> float:
    return _least(score.logprob)


def _least(value: float | None) -> float:
    return -math.inf if value is None else value


def explained(*ids: Sequence[int], **fields: object) -> Explanation:
    """Return why the best of these candidates of the random model is first."""
    scores = [a_scene(each, index=at, **fields) for at, each in enumerate(ids)]  # type: ignore[arg-type]
    return explain(a_ranking_of(scores))


IDS = st.lists(st.integers(0, len(PIECES) - 1), max_size=14)


@st.composite
def cases(draw: st.DrawFn) -> Callable[[], Explanation]:
    """Draw two to four candidates with whatever start they share, under either end.

    What is drawn makes the explanation when it is called: inside a strategy Hypothesis would count
    the type checker's own dice as randomness of the test.
    """
    start = draw(IDS)
    rest = draw(st.lists(IDS, min_size=2, max_size=4))
    end = draw(st.booleans())
    ids = [start + each if end or start + each else [0] for each in rest]
    return functools.partial(
        explained, *ids, end=end, evidence=draw(st.booleans()), seed=draw(st.integers(0, 1_000_000))
    )


@functools.cache
def long_pair(tokens: int, *, size: int = 4000, seed: int = 3) -> Explanation:
    """Return two candidates of `tokens` tokens of a vocabulary of words, with evidence."""
    words = tuple(f" w{at}".encode() for at in range(size))
    generator = np.random.default_rng(seed)
    first, second = (generator.integers(0, size, tokens).tolist() for _ in range(2))
    return explained(first, [*first[:5], *second[5:]], pieces=words)


def many(candidates: int) -> Explanation:
    """Return an explanation among so many candidates."""
    generator = np.random.default_rng(5)
    ids = [generator.integers(0, len(PIECES), 6).tolist() for _ in range(candidates)]
    return explained(*ids)


def nasty(text: str) -> Explanation:
    """Return an explanation with `text` wherever a text can stand."""
    pieces = (b" a", b"b", b" c")
    texts = (text, text)
    first, second = (
        a_scene(ids, index=at, pieces=pieces, text=text, token_texts=texts, warnings=(text,))
        for at, ids in enumerate(([0, 1], [0, 2]))
    )
    best = tuple(
        tuple(replace(each, text=text) for each in step) for step in first.alternatives or ()
    )
    ranking = a_ranking_of(
        (replace(first, alternatives=best), second, replace(second, index=2)),
        prompt=text, winners=((text, 0), ("per_token", 2)), rule="per_token",
    )  # fmt: skip
    value = explain(ranking, first=0, second=1)
    part = Influence(kind="sentence", start=0, end=1, text=text, moved=(1.0, -0.5, 0.0), gap=1.5)
    unknown = Influence(kind="sentence", start=1, end=2, text=text, note=text)
    fork = None if value.fork is None else replace(value.fork, first=text, second=text)
    assert isinstance(fork, Fork)
    return replace(value, influence=(part, unknown), fork=fork)


def a_decision(**fields: object) -> Decision:
    """Return one line of a file."""
    known: dict[str, object] = {
        "id": "q1", "number": 0, "prompt": "The cat sat on the", "best": " warm mat",
        "second": " plush rug", "margin": 1.215, "noise": 1e-6, "tie": False, "surprise": 1.5,
        "flips": ("per_token",), "right": False, "tokens": (2, 3),
    }  # fmt: skip
    return Decision(**(known | fields))  # type: ignore[arg-type]


DECISIONS = Decisions(
    rule="logprob",
    total=12,
    ties=1,
    right=7,
    labelled=10,
    decisions=(
        a_decision(),
        a_decision(id=None, number=4, right=None, flips=(), surprise=0.25, tie=True, margin=0.0),
        a_decision(id=7, right=True, flips=(), second=None, margin=None, surprise=math.inf),
    ),
    flips=(("logprob", 0), ("per_token", 3), ("bits_per_byte", 1)),
    drift=(("logprob", 2.5), ("per_token", 3.75)),
    mean_tokens=3.0,
    provenance=PROVENANCE,
)
