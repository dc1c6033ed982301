"""Decodings built by hand from one small tree of tokens, whose numbers belong together.

Greedy goes ` warm`, ` mat`, `,` and ends there; ` soft rug` is likelier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from logpr._values import (
    Certificate,
    Claim,
    Constraint,
    Decoded,
    Decoding,
    MassLedger,
    Moment,
    TreeNode,
    Verification,
)
from logpr._values.decoding import NodeKind
from tests.report.explained import three
from tests.report.values import PROVENANCE

Path: TypeAlias = tuple[str, ...]

END = ""
TREE: Mapping[Path, Mapping[str, float]] = {
    (): {" warm": 0.45, " soft": 0.30, " red": 0.15, END: 0.10},
    (" warm",): {" mat": 0.50, " rug": 0.40, END: 0.10},
    (" warm", " mat"): {",": 0.50, ".": 0.30, END: 0.20},
    (" warm", " mat", ","): {END: 0.60, " too": 0.40},
    (" warm", " rug"): {END: 0.50, ".": 0.50},
    (" soft",): {" rug": 0.90, END: 0.10},
    (" soft", " rug"): {END: 0.80, ".": 0.20},
}
"""Pr of each next token; a beginning that is not here was not looked at."""

IDS = {" warm": 11, " soft": 12, " red": 13, " mat": 14, " rug": 15, ",": 16, ".": 17, " too": 18}
BEST: Path = (" soft", " rug")
GREEDY: Path = (" warm", " mat", ",")
BEAM: Path = (" warm", " rug")
PATHS = {"mode": BEST, "greedy": GREEDY, "beam-5": BEAM}


def steps_of(path: Path) -> tuple[float, ...]:
    """Return log Pr of each token of a path."""
    return tuple(math.log(TREE[path[:at]][token]) for at, token in enumerate(path))


def a_decoded(path: Path = BEST, *, finished: bool = True, **fields: object) -> Decoded:
    """Return the output of a path, ended or cut there."""
    steps = steps_of(path)
    end = math.log(TREE[path][END]) if finished else None
    total = math.fsum([*steps, end or 0.0])
    known: dict[str, object] = {
        "token_ids": tuple(IDS[token] for token in path),
        "text": "".join(path),
        "token_texts": path,
        "logprob": total,
        "score": total,
        "token_logprobs": steps,
        "end_logprob": end,
        "finished": finished,
    }
    return Decoded(**(known | fields))  # type: ignore[arg-type]


MODE = a_decoded(names=("mode",))
A_GREEDY = a_decoded(GREEDY, names=("greedy",))
A_BEAM = a_decoded(BEAM, names=("beam-5",))
EMPTY = a_decoded((), names=("empty",))
SAMPLE = a_decoded((" warm", " mat"), names=("sample",))
OPTIMUM = MODE.logprob

LEDGER = MassLedger(finished=0.4785, open=0.0, pruned=0.5215)


def a_certificate(**fields: object) -> Certificate:
    """Return the proof that ` soft rug` is the optimum."""
    known: dict[str, object] = {
        "status": "optimal",
        "token_ids": MODE.token_ids,
        "lower": OPTIMUM,
        "upper": OPTIMUM,
        "gap": 0.0,
        "objective": "logprob",
        "end": "stop",
        "end_ids": (2, 9),
        "min_new_tokens": 0,
        "max_new_tokens": 12,
        "min_length": "restrict",
        "constraint": None,
        "threshold": None,
        "tolerance": 0.0,
        "epsilon": 2.5e-6,
        "any_length": True,
        "stopped": "finished",
        "expansions": 212,
        "forward_passes": 18,
        "tokens_fed": 1204,
        "tokens_fed_again": 30,
        "largest_open": -math.inf,
        "largest_dropped": -math.inf,
        "largest_truncated": -math.inf,
        "at_most_better": 0,
        "mass": LEDGER,
        "prompt_ids": (0, 5, 6),
    }
    return Certificate(**(known | fields))  # type: ignore[arg-type]


def not_proven(**fields: object) -> Certificate:
    """Return a certificate with a gap, of a search that ran out of its budget."""
    known: dict[str, object] = {
        "status": "gap",
        "upper": OPTIMUM + 1.32,
        "gap": 1.32,
        "stopped": "budget",
        "any_length": False,
        "largest_open": OPTIMUM + 1.32,
        "largest_dropped": OPTIMUM + 0.25,
        "largest_truncated": -4.5,
        "at_most_better": 5,
        "mass": MassLedger(
            finished=0.30, open=0.25, pruned=0.2, dropped=0.1, truncated=0.05, excluded=0.0999,
            unnamed=0.0001,
        ),
    }  # fmt: skip
    return a_certificate(**(known | fields))


def a_tree() -> tuple[TreeNode, ...]:
    """Return the beginnings of `TREE`, and as pruned those that were not gone on with."""
    places: dict[Path, int] = {}
    out: list[TreeNode] = []
    todo: list[Path] = [()]
    while todo:
        path = todo.pop(0)
        kind: NodeKind = "expanded" if path in TREE else "pruned"
        if path == (" warm", " mat", ","):
            kind = "open"
        steps = steps_of(path)
        row = TREE.get(path, {})
        places[path] = len(out)
        out.append(
            TreeNode(
                parent=places[path[:-1]] if path else None,
                token_id=IDS[path[-1]] if path else None,
                text=path[-1] if path else "",
                logprob=math.fsum(steps),
                kind=kind,
                names=tuple(who for who, its in PATHS.items() if its[: len(path)] == path),
                end_logprob=math.log(row[END]) if END in row else None,
            )
        )
        todo += [(*path, token) for token in row if token != END]
    return tuple(out)


HISTORY = (
    Moment(seconds=0.0, expansions=1, lower=EMPTY.logprob, upper=0.0, open=3),
    Moment(seconds=0.2, expansions=12, lower=A_GREEDY.logprob + 0.6, upper=-0.8, open=14),
    Moment(seconds=0.5, expansions=60, lower=OPTIMUM, upper=-1.2, open=31),
    Moment(seconds=1.1, expansions=140, lower=OPTIMUM, upper=-1.4, open=12),
    Moment(seconds=1.6, expansions=212, lower=OPTIMUM, upper=OPTIMUM, open=0),
)


STUCK = (*HISTORY[:1], Moment(seconds=30.0, expansions=212, lower=OPTIMUM, upper=OPTIMUM + 1.32,
                              open=40))  # fmt: skip
"""The moments of a search that its budget ended."""


def a_decoding(**fields: object) -> Decoding:
    """Return the decoding in which greedy is not optimal; any field can be replaced."""
    known: dict[str, object] = {
        "prompt": "The cat sat on the",
        "prompt_ids": (0, 5, 6),
        "method": "exact",
        "width": None,
        "objective": "logprob",
        "best": MODE,
        "nbest": (MODE, EMPTY, A_BEAM),
        "greedy": A_GREEDY,
        "compared": (A_GREEDY, A_BEAM, SAMPLE, EMPTY),
        "empty_rank": (2, 2),
        "certificate": a_certificate(),
        "history": HISTORY,
        "tree": a_tree(),
        "seconds": 1.6,
        "peak_bytes": 3_200_000,
        "provenance": PROVENANCE,
    }
    return Decoding(**(known | fields))  # type: ignore[arg-type]


def greedy_is_best() -> Decoding:
    """Return a decoding whose greedy output is the optimum."""
    same = a_decoded(names=("mode", "greedy", "beam-5"))
    return a_decoding(best=same, nbest=(same,), greedy=same, compared=(same, EMPTY))


def unfinished() -> Decoding:
    """Return a search that its budget ended, with a greedy output that was cut."""
    cut = a_decoded(GREEDY, finished=False, names=("greedy",))
    return a_decoding(
        greedy=cut, compared=(cut, EMPTY, SAMPLE), nbest=(MODE,), certificate=not_proven(),
        empty_rank=(2, 41), seconds=30.0, tree=a_tree()[:5], history=STUCK,
    )  # fmt: skip


def by_beam(*, proven: bool) -> Decoding:
    """Return what beam search found, with the certificate that costs nothing."""
    proof = a_certificate() if proven else not_proven()
    return a_decoding(method="beam", width=5, greedy=None, certificate=proof, compared=())


def by_threshold(*, complete: bool) -> Decoding:
    """Return all outputs with Pr ≥ 0.05, or those that were found of them."""
    found = tuple(a_decoded(path) for path in (BEST, (), BEAM, GREEDY))
    proof = a_certificate if complete else not_proven
    missing = 0 if complete else 3
    return a_decoding(
        method="threshold", nbest=found, best=found[0], compared=(), greedy=None,
        certificate=proof(threshold=0.05, at_most_better=missing),
    )  # fmt: skip


def by_sampling(*, replaced: bool = True, drawn: int = 1) -> Decoding:
    """Return outputs drawn from a proposal, with replacement or without."""
    paths: tuple[Path, ...] = ((" warm", " mat"), BEST, ())
    found = tuple(
        a_decoded(path, proposal_logprob=-1.5 - at, gumbel=None if replaced else 2.0 - at)
        for at, path in enumerate(paths[:drawn])
    )
    method = "sample" if replaced else "sample_without_replacement"
    return a_decoding(
        method=method, nbest=found, best=found[0], compared=(), greedy=None,
        certificate=not_proven(), history=(), tree=(),
    )  # fmt: skip


def under_constraint(*, sharp: bool = False) -> Decoding:
    """Return the best of what a regular expression allows: its share of that is an interval."""
    low = OPTIMUM + 0.5
    best = a_decoded(names=("mode",), logprob_given_constraint=(low, low if sharp else low + 0.1))
    fits = Constraint(kind="regex", source=" (soft|warm) rug")
    return a_decoding(
        best=best, nbest=(best,), certificate=a_certificate(constraint=fits), compared=()
    )


def infeasible(**fields: object) -> Decoding:
    """Return a decoding that proves that no output exists."""
    proof = a_certificate(
        **({"status": "infeasible", "token_ids": None, "lower": -math.inf, "upper": -math.inf,
            "gap": math.nan, "mass": MassLedger(excluded=1.0)} | fields)
    )  # fmt: skip
    return a_decoding(best=None, nbest=(), greedy=None, compared=(), certificate=proof, tree=(),
                      history=(), empty_rank=None)  # fmt: skip


def nothing_finished(**claimed: object) -> Decoding:
    """Return a search that its budget ended before any output did."""
    proof = not_proven(token_ids=None, lower=-math.inf, upper=-0.75, gap=math.inf,
                       mass=MassLedger(open=1.0), at_most_better=None, **claimed)  # fmt: skip
    return a_decoding(best=None, nbest=(), greedy=None, compared=(), certificate=proof,
                      empty_rank=None, seconds=30.0)  # fmt: skip


def explained() -> Decoding:
    """Return a decoding with an explanation of why greedy lost."""
    return a_decoding(explanation=three("stop"))


def nasty(text: str) -> Decoding:
    """Return a decoding with `text` wherever a text can stand."""
    one = a_decoded(text=text, token_texts=(text, text), names=("mode", text))
    cut = a_decoded(GREEDY, finished=False, text=text, names=("greedy",))
    tree = tuple(
        TreeNode(
            parent=node.parent, token_id=node.token_id, text=text, logprob=node.logprob,
            kind=node.kind, names=node.names, end_logprob=node.end_logprob,
        )
        for node in a_tree()
    )  # fmt: skip
    fits = Constraint(kind="regex", source=text)
    return a_decoding(
        prompt=text, best=one, nbest=(one,), greedy=cut, compared=(cut,), tree=tree,
        warnings=(f"lossy: {text}",), certificate=a_certificate(constraint=fits),
    )  # fmt: skip


EVERY = {
    "not_optimal": a_decoding(),
    "greedy_is_best": greedy_is_best(),
    "gap": unfinished(),
    "beam": by_beam(proven=True),
    "beam_gap": by_beam(proven=False),
    "threshold": by_threshold(complete=True),
    "threshold_gap": by_threshold(complete=False),
    "sample": by_sampling(),
    "without_replacement": by_sampling(replaced=False, drawn=3),
    "constraint": under_constraint(),
    "infeasible": infeasible(),
    "nothing": nothing_finished(),
}

CLAIMS = (
    Claim(id="score", holds=True, detail="log Pr -1.5325 was found again within 2.5e-6"),
    Claim(id="bound", holds=True, detail="no beginning that is left exceeds -1.5325"),
    Claim(id="mass", holds=None, detail="the budget ended before the sum was made"),
)


def a_verification(*, verified: bool | None = True) -> Verification:
    """Return a second look that came out so."""
    claims = CLAIMS[:2] if verified else CLAIMS
    if verified is False:
        broken = Claim(id="bound", holds=False, detail="an output with log Pr -1.5325 exceeds it")
        claims = (CLAIMS[0], broken)
    other = a_decoded() if verified is False else None
    return Verification(verified=verified, claims=claims, expansions=340, counterexample=other)
