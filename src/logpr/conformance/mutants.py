"""Scorers that are wrong in a known way: every entry of the zoo, and habits that are no formula.

The zoo's entries are formulas. `HABITS` are the ways to go wrong that no formula has: noise, state,
results in the wrong order, texts changed on the way.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from logpr._values import Query
from logpr.auditing._faulty import FaultyScorer, faulty_scorer
from logpr.auditing.faults import FAULTS
from logpr.conformance.declares import Declares
from logpr.conformance.exports import toy_scorer
from logpr.conformance.toy.backend import toy_model
from logpr.conformance.toy.export import toy_of
from logpr.conformance.toy.oracle import Toy

Make: TypeAlias = Callable[[str], object]

EXACT = Declares(dtype="float64", per_token=True)
"""What the mutants declare, but where a fault shows under another declaration alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A scorer that is wrong in a known way: an id, what it does, and how it is made."""

    id: str
    about: str
    make: Make
    declares: Declares = EXACT
    zoo: bool = False


@dataclass(frozen=True, slots=True)
class _Zoo:
    """Parameters that an entry is tried with, and what is declared."""

    parameters: dict[str, Any] = field(default_factory=dict)
    declares: Declares = EXACT


_STOP = replace(EXACT, end="stop")
_PLAIN = _Zoo()

_TRIED: dict[str, _Zoo] = {
    "eos_missing": _Zoo(declares=_STOP),
    "joint_boundary": _Zoo({"form": "split"}),
    "space_lost": _Zoo({"form": "dropped"}),
    "left_pad_unmasked": _Zoo({"pad_id": "end", "company": "query"}),
    "window_restart": _Zoo({"window": 1024, "start": "bos"}),
    "truncated_context": _Zoo({"keep": 64}),
    "row_reused": _Zoo({"representative": "longest"}),
    "linear_normalisation": _Zoo({"form": "per_step"}),
    "shortlist_softmax": _Zoo({"k": 5}),
    "shortlist_without_target": _Zoo({"k": 5, "per": "step"}),
    "nucleus_renormalised": _Zoo({"p": 0.9}),
    "temperature": _Zoo({"T": 0.7}),
    "logprob_over_temperature": _Zoo({"T": 0.7}),
    "log_epsilon": _Zoo({"epsilon": 1e-10}),
    "vocab_rows_masked": _Zoo({"ids": "end"}),
    "wrong_axis": _Zoo({"over": "continuation"}),
    "half_precision": _Zoo({"dtype": "bfloat16", "total": "float"}),
    "pad_counted": _Zoo({"pad_id": "end", "company": "query"}),
    "eos_as_pad_masked": _Zoo({"pad_id": 0}),
    "mean_over_padded": _Zoo({"company": "query"}),
    "loss_times_wrong_count": _Zoo({"count": "n_plus_1"}),
    "length_penalty": _Zoo({"alpha": 0.6, "form": "gnmt"}),
    "product_then_log": _Zoo({"dtype": "float64"}),
    "mean_probability": _Zoo({"log": "yes"}),
    # The right quantity, where another one is declared.
    "logprob": _Zoo(declares=replace(EXACT, aggregate="mean", per_token=False)),
    "nats": _Zoo(declares=replace(EXACT, unit="bits")),
}
"""How entries with parameters are tried; all others have none."""

_PADS_LEFT = frozenset({"left_pad_unmasked"})
"""Faults of left padding alone: on a tokenizer that pads on the right there is none."""

_LISTED = frozenset({"shortlist_given", "shortlist_unknown"})
"""Faults over lists that somebody logged."""


def zoo_mutants() -> Iterator[Mutant]:
    """Yield a scorer for every entry of the zoo."""
    for name, fault in FAULTS.items():
        tried = _TRIED.get(name, _PLAIN)
        yield Mutant(
            id=name,
            about=f"{fault.stage}, {fault.kind}",
            make=_zoo(name, tried),
            declares=tried.declares,
            zoo=True,
        )


def _zoo(name: str, tried: _Zoo) -> Make:
    def make(folder: str) -> object:
        toy = toy_of(folder)
        faults: list[Any] = [(name, _resolved(tried.parameters, toy))]
        if name in _PADS_LEFT and toy.variant.padding_side == "right":
            faults = []
        scorer = faulty_scorer(
            *faults,
            model=toy_model(toy.name, toy.architecture),
            end=tried.declares.end,
        )
        return Faulty(scorer, toy, lists=name in _LISTED)

    return make


def _resolved(parameters: dict[str, Any], toy: Toy) -> dict[str, Any]:
    """Return parameters with the name of the end token in its id's place."""
    end = toy.pieces.end_id
    out = {name: end if value == "end" else value for name, value in parameters.items()}
    return out | ({"ids": (end,)} if out.get("ids") == end else {})


class Faulty:
    """A scorer of the zoo on a model of the suite, in the shape that the suite asks.

    Args:
        scorer: of the zoo.
        toy: the model.
        lists: whether the same few ids are logged as every step's shortlist.
    """

    def __init__(self, scorer: FaultyScorer, toy: Toy, *, lists: bool = False) -> None:
        self._scorer = scorer
        self._toy = toy
        self._lists = lists

    def many(self, queries: Sequence[Query]) -> list[tuple[list[float], list[list[float]]]]:
        """Return scores and token scores of each query, all in each other's company."""
        shortlists = [self._logged(query) for query in queries] if self._lists else None
        scores = self._scorer.many(queries, shortlists=shortlists)
        tokens = self._scorer.many_tokens(queries, shortlists=shortlists)
        return list(zip(scores, tokens, strict=True))

    def _logged(self, query: Query) -> list[list[list[int]]]:
        longest = max(len(each.text or each.token_ids or ()) for each in query.candidates)
        return [[[0, 2, 4]] * (longest + 2) for _ in query.candidates]


Text: TypeAlias = str | Sequence[int]
Scores: TypeAlias = tuple[list[float], list[list[float]]]
Plain: TypeAlias = Callable[[Text, Sequence[Text]], Scores]


def _habit(change: Callable[[Plain, Text, Sequence[Text]], Scores]) -> Make:
    """Return a factory of the correct scorer with a habit."""

    def make(folder: str) -> object:
        plain = toy_scorer(folder)

        def score(prompt: Text, candidates: Sequence[Text]) -> Scores:
            return change(plain, prompt, candidates)

        return score

    return make


def _unstable(folder: str) -> object:
    plain = toy_scorer(folder)
    rng = np.random.default_rng(0)

    def score(prompt: Text, candidates: Sequence[Text]) -> Scores:
        scores, tokens = plain(prompt, candidates)
        moved = [[value - float(rng.exponential(0.1)) for value in each] for each in tokens]
        return [
            total - sum(a) + sum(b) for total, a, b in zip(scores, tokens, moved, strict=True)
        ], (moved)

    return score


def _deduplicated(plain: Plain, prompt: Text, candidates: Sequence[Text]) -> Scores:
    once = list(dict.fromkeys(candidates))
    scores, tokens = plain(prompt, once)
    rest = len(candidates) - len(once)
    return [*scores, *[0.0] * rest], [*tokens, *[[0.0]] * rest]


def _sorted(plain: Plain, prompt: Text, candidates: Sequence[Text]) -> Scores:
    return plain(prompt, sorted(candidates, key=len, reverse=True))


def _sampled(folder: str) -> object:
    said = json.loads((Path(folder) / "generation_config.json").read_text(encoding="utf-8"))
    temperature = said.get("temperature")
    toy = toy_of(folder)
    faults: list[Any] = [] if temperature is None else [("temperature", {"T": temperature})]
    return Faulty(faulty_scorer(*faults, model=toy_model(toy.name, toy.architecture)), toy)


def _silent_cut(folder: str) -> object:
    toy = toy_of(folder)
    plain = toy_scorer(folder)

    def score(prompt: Text, candidates: Sequence[Text]) -> Scores:
        longest = max(len(candidate) for candidate in candidates)
        return plain(prompt[-(toy.context_length - longest - 1) :], candidates)

    return score


def _on_texts(change: Callable[[str], str]) -> Make:
    def changed(plain: Plain, prompt: Text, candidates: Sequence[Text]) -> Scores:
        return plain(prompt, [change(str(candidate)) for candidate in candidates])

    return _habit(changed)


def _folded(text: str) -> str:
    """Return a text with one space wherever it has some, none at its end."""
    return " " * text.startswith(" ") + " ".join(text.split())


def _zero_for_empty(plain: Plain, prompt: Text, candidates: Sequence[Text]) -> Scores:
    if prompt:
        return plain(prompt, candidates)
    return [0.0 for _ in candidates], [[0.0] * len(candidate) for candidate in candidates]


def _verbatim(folder: str) -> object:
    return toy_scorer(folder, policy="verbatim")


HABITS: tuple[Mutant, ...] = (
    Mutant(id="dropout_left_on", about="its numbers move from call to call", make=_unstable),
    Mutant(
        id="duplicates_dropped",
        about="candidates are made a set; what is missing is filled with 0",
        make=_habit(_deduplicated),
    ),
    Mutant(
        id="order_not_restored",
        about="candidates are sorted by length for the batch, and results left in that order",
        make=_habit(_sorted),
    ),
    Mutant(
        id="generation_config_applied",
        about="the temperature of generation_config.json is applied to scores",
        make=_sampled,
    ),
    Mutant(id="silent_cut", about="a prompt that is too long loses its head", make=_silent_cut),
    Mutant(id="spaces_folded", about="' '.join(text.split())", make=_on_texts(_folded)),
    Mutant(
        id="ascii_only",
        about="letters beyond ASCII are dropped",
        make=_on_texts(lambda text: text.encode("ascii", "ignore").decode()),
    ),
    Mutant(
        id="composed",
        about="texts are composed (NFC) before they are read",
        make=_on_texts(lambda text: unicodedata.normalize("NFC", text)),
    ),
    Mutant(id="zero_for_empty", about="an empty prompt scores 0", make=_habit(_zero_for_empty)),
    Mutant(
        id="verbatim", about="tok(x) and tok(y) side by side, whatever is declared", make=_verbatim
    ),
)
"""Ways to go wrong that no formula has."""


def mutants() -> Iterator[Mutant]:
    """Yield the correct scorer's mutants: the zoo, then the habits."""
    yield from zoo_mutants()
    yield from HABITS
