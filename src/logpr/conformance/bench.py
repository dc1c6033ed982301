"""Where a scorer stands while it is checked: asked, timed, converted to nats, and recorded."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, final

from logpr._types import Bos
from logpr.conformance.alphabet import Alphabet, Ids, Tokens, Words
from logpr.conformance.case import OWN, Part
from logpr.conformance.declares import TOLERANCE, Declares
from logpr.conformance.targets.base import Answer, Request, Scoring, Target, Text
from logpr.conformance.toy import Architecture, Toy, Truth, toy
from logpr.conformance.toy.export import write_folder

OWN_TOLERANCE: dict[str, float] = {
    "float64": 1e-4,
    "float32": 1e-4,
    "bfloat16": 0.05,
    "float16": 0.01,
}
"""Nats allowed for a token of a scorer's own model, against another of its own numbers. The same
call twice does not show what half precision does: it shows in other company."""

_FLOORS = 4.0
_MOST_SAID = 20


class CannotJudgeError(Exception):
    """A check has nothing to judge by.

    Args:
        why: what is not there.
        blocked: whether another check tells more, so that this one is blocked; else it does not
            apply.
    """

    def __init__(self, why: str, *, blocked: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.blocked = blocked


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt and its candidates, in a model's alphabet."""

    prompt: Part
    candidates: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate's score in nats, and its tokens'.

    `level` is a sum, or a mean where `uncounted` says why no sum can be made of it.
    """

    level: float
    tokens: tuple[float, ...] | None
    uncounted: str | None = None

    @property
    def total(self) -> float:
        """The sum.

        Raises:
            CannotJudgeError: it is a mean over tokens that nobody can count.
        """
        if self.uncounted is not None:
            raise CannotJudgeError(self.uncounted)
        return self.level


@dataclass(frozen=True, slots=True)
class Heard:
    """A request, and what the scorer answered: what its numbers are compared with formulas by."""

    model: str
    call: int
    """Requests of one call stood in each other's company."""
    request: Request
    answer: Answer


@final
class Bench:
    """A scorer under check, on the suite's models or on its own.

    Args:
        target: what is checked.
        declares: what its numbers are said to be.
        architecture: which of the suite's models it is made for.
    """

    def __init__(
        self, target: Target, declares: Declares, architecture: Architecture = "gpt2"
    ) -> None:
        self.target = target
        self.declares = declares
        self.architecture: Architecture = architecture
        self.noise: float | None = None
        """The largest |Δ| per token between two runs of one call, once it is measured."""
        self.heard: list[Heard] = []
        self.notes: dict[str, None] = {}
        self.calls = 0
        self.candidates = 0
        self._open: dict[str, Scoring] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        """Return the bench."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the scorers and of the models' folders."""
        for scoring in self._open.values():
            scoring.close()
        self._open.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @cached_property
    def together(self) -> bool:
        """Whether several prompts reach the scorer in one call."""
        return self.scoring("toy" if self.target.factory else OWN).together

    @cached_property
    def vocab_size(self) -> int | None:
        """Of the scorer's own model, where it says."""
        return self.scoring(OWN).vocab_size

    def scoring(self, model: str) -> Scoring:
        """Return the scorer on one model, made when it is first asked for.

        Raises:
            ScorerError: it could not be made.
        """
        if model not in self._open:
            folder = None if model == OWN else self.folder(model)
            self._open[model] = self.target.open(folder)
        return self._open[model]

    def folder(self, model: str) -> Path:
        """Return the transformers folder of a model of the suite."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="logpr-check-")
        path = Path(self._folder.name) / self.architecture / model
        return path if path.is_dir() else write_folder(self.toy(model), path)

    def toy(self, model: str) -> Toy:
        """Return a model of the suite."""
        return toy(model, self.architecture)

    def alphabet(self, model: str) -> Alphabet:
        """Return what this model's texts are made of."""
        if model != OWN:
            return Tokens(self.toy(model), ids=self.declares.ids)
        return Ids(self.vocab_size) if self.declares.ids else Words()

    def ask(
        self, model: str, asks: Sequence[Ask], *, apart: bool = False
    ) -> list[tuple[Scored, ...]]:
        """Return what the scorer says of requests: in one call where it takes them, else in turn.

        Args:
            model: which.
            asks: the requests.
            apart: a call each, even where it takes several.

        Raises:
            ScorerError: it gave no numbers.
        """
        alphabet = self.alphabet(model)
        requests = [
            Request(alphabet.prompt(ask.prompt), tuple(map(alphabet.candidate, ask.candidates)))
            for ask in asks
        ]
        scoring = self.scoring(model)
        if scoring.together and not apart:
            answers = self._heard(model, scoring, requests)
        else:
            answers = [
                answer for request in requests for answer in self._heard(model, scoring, [request])
            ]
        return [
            tuple(self._scored(model, ask, place, answer) for place in range(len(ask.candidates)))
            for ask, answer in zip(asks, answers, strict=True)
        ]

    def score(self, model: str, prompt: Part, *candidates: Part) -> tuple[Scored, ...]:
        """Return what the scorer says of one prompt's candidates."""
        return self.ask(model, [Ask(prompt, candidates)])[0]

    def _heard(self, model: str, scoring: Scoring, requests: Sequence[Request]) -> list[Answer]:
        self.calls += 1
        self.candidates += sum(len(request.candidates) for request in requests)
        try:
            answers = scoring.ask(requests)
        finally:
            self._note(scoring)
        self.heard += [
            Heard(model, self.calls, request, answer)
            for request, answer in zip(requests, answers, strict=True)
        ]
        return answers

    def _note(self, scoring: Scoring) -> None:
        self.last_said = scoring.said()
        for text in self.last_said:
            if len(self.notes) < _MOST_SAID:
                self.notes[text] = None

    last_said: Sequence[str] = ()
    """What the scorer said beside the numbers of the last call."""

    def _scored(self, model: str, ask: Ask, place: int, answer: Answer) -> Scored:
        count = self.steps(model, ask.prompt, ask.candidates[place])
        given = answer.scores[place]
        tokens = None if answer.token_scores is None else answer.token_scores[place]
        steps = None if tokens is None else tuple(map(self.declares.step, tokens))
        if count is None and self.declares.needs_count:
            how = "means" if self.declares.aggregate == "mean" else "perplexities"
            why = f"it declares {how}, and only a factory's tokens can be counted"
            return Scored(self.declares.step(given), steps, uncounted=why)
        return Scored(self.declares.total(given, tokens=1 if count is None else count), steps)

    def steps(self, model: str, prompt: Part, candidate: Part) -> int | None:
        """Return how many tokens a score is over, END among them; None where nobody knows."""
        if model != OWN:
            tokens = len(self.read(model, prompt, candidate)[1])
        elif self.declares.ids:
            tokens = len(candidate)
        else:
            return None
        return tokens + (self.declares.end == "stop")

    def read(
        self, model: str, prompt: Part, candidate: Part, *, bos: Bos | None = None
    ) -> tuple[Part, Part]:
        """Return (context, tokens) as the scorer declares to feed them on a model of the suite."""
        of, alphabet = self.toy(model), self.alphabet(model)
        given: tuple[Text, Text] = alphabet.prompt(prompt), alphabet.candidate(candidate)
        first, second = given
        if isinstance(first, str) and isinstance(second, str):
            return of.read(
                first, second, policy=self.declares.boundary, bos=bos or self.declares.bos
            )
        assert not isinstance(first, str), "a scorer of ids is given ids"
        assert not isinstance(second, str), "a scorer of ids is given ids"
        return first, second

    def truth(self, model: str, prompt: Part, candidate: Part, *, bos: Bos | None = None) -> Truth:
        """Return the closed form of what the scorer declares.

        Raises:
            CannotJudgeError: nothing would be fed before the first token.
        """
        context, tokens = self.read(model, prompt, candidate, bos=bos)
        if not context:
            msg = "without a start token nothing stands before the first token"
            raise CannotJudgeError(msg)
        return self.toy(model).truth(context, tokens, self.declares.end)

    def tolerance(self, model: str, tokens: int) -> float:
        """Return the nats by which a sum over so many tokens may be off."""
        size = max(1, tokens)
        if model == OWN:
            base = OWN_TOLERANCE[self.declares.dtype]
            return max(base, _FLOORS * (self.noise or 0.0)) * size
        base = TOLERANCE[self.declares.dtype]
        if self.architecture == "llama":
            # transformers takes rotary angles and norms in float32 even in a double model.
            base = max(base, TOLERANCE["float32"])
        return base * size

    def floor(self, model: str, tokens: int) -> float:
        """Return the part of the tolerance that the scorer's own noise makes."""
        return _FLOORS * (self.noise or 0.0) * max(1, tokens) if model == OWN else 0.0

    def words(self, model: str, prompt: Part, *candidates: Part) -> str:
        """Return a call in words: s('ab', ' c')."""
        alphabet = self.alphabet(model)
        given = [alphabet.prompt(prompt), *map(alphabet.candidate, candidates)]
        return f"s({', '.join(_short(each) for each in given)})"


def _short(given: Text, most: int = 60) -> str:
    text = repr(given) if isinstance(given, str) else repr(list(given))
    if len(text) <= most:
        return text
    unit = "characters" if isinstance(given, str) else "ids"
    return f"{text[: most - 24]}… ({len(given):,} {unit})"


@dataclass(frozen=True, slots=True)
class Compared:
    """Two numbers that a law holds against each other.

    `relation` "=": equal. "<=": found is not larger. "!=": they differ. `effect` is the smallest
    difference in nats that is looked for: where noise is larger, nothing can be told.
    """

    what: str
    found: float | str
    expected: float | str
    tolerance: float = 0.0
    relation: str = "="
    effect: float = math.inf
    floor: float = 0.0

    @property
    def difference(self) -> float | None:
        """Return |found − expected| where both are numbers."""
        if isinstance(self.found, str) or isinstance(self.expected, str):
            return None
        if self.found == self.expected:
            return 0.0
        return abs(self.found - self.expected)

    @property
    def kept(self) -> bool:
        """Return whether the law is kept; NaN equals NaN, and nothing else."""
        if isinstance(self.found, str) or isinstance(self.expected, str):
            return self.found == self.expected
        difference = self.difference
        assert difference is not None, "both are numbers"
        if self.relation == "<=":
            return self.found <= self.expected + self.tolerance
        if self.relation == "!=":
            return difference > self.tolerance
        if math.isnan(self.found) and math.isnan(self.expected):
            return True  # other laws say that it is no number
        return difference <= self.tolerance

    @property
    def hidden(self) -> bool:
        """Return whether noise is larger than what is looked for."""
        return self.floor > self.effect
