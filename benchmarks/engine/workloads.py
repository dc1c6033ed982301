"""What is asked, in token ids: the seven workloads of the table, drawn from one seed.

Prompts and candidates are random ids, so nothing is shared but what a workload says is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

Ids = tuple[int, ...]

_FIRST_ID = 3
"""The ids below it are often special ones, which some peers treat apart."""

_SEED = 20_260


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt and the candidates after it."""

    prompt: Ids
    candidates: tuple[Ids, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """Queries under a name.

    `shared` says that queries share a prefix with each other, so that a few of them cost more a
    query than all. With `top` only so many winners are asked for.
    """

    name: str
    queries: tuple[Asked, ...]
    shared: bool = False
    top: int | None = None

    def first(self, count: int) -> Workload:
        """Return the workload cut to its first queries."""
        return Workload(self.name, self.queries[:count], shared=self.shared, top=self.top)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the workloads are; `QUICK` keeps their forms."""

    choices: int = 64
    long_prompt: int = 16
    few_shot: int = 32
    beam: int = 256
    labels: int = 1_000
    label_prompts: int = 64
    corpus: int = 64
    window: int = 1_024


QUICK = Sizes(
    choices=4,
    long_prompt=2,
    few_shot=4,
    beam=32,
    labels=100,
    label_prompts=2,
    corpus=2,
    window=256,
)


def choices(draw: Draw, sizes: Sizes) -> Workload:
    """Return prompts of about 80 tokens, four candidates of about 25."""
    asked = tuple(draw.asked(80, 4, 25) for _ in range(sizes.choices))
    return Workload("choices", asked)


def long_prompt(draw: Draw, sizes: Sizes) -> Workload:
    """Return prompts of about 400 tokens, four candidates of about 10."""
    asked = tuple(draw.asked(400, 4, 10) for _ in range(sizes.long_prompt))
    return Workload("long-prompt", asked)


def few_shot(draw: Draw, sizes: Sizes) -> Workload:
    """Return prompts of about 80 tokens behind one header of 600, four candidates of about 25."""
    header = draw.ids(600)
    asked = tuple(draw.asked(80, 4, 25, header=header) for _ in range(sizes.few_shot))
    return Workload("few-shot", asked, shared=True)


def n_best(draw: Draw, sizes: Sizes) -> Workload:
    """Return one prompt of 200 tokens, the finished hypotheses of one beam."""
    return Workload("n-best", (Asked(draw.ids(200), draw.beam(sizes.beam)),))


def labels(draw: Draw, sizes: Sizes) -> Workload:
    """Return prompts of about 80 tokens, all with the same labels of 1 to 4 tokens."""
    candidates = draw.labels(sizes.labels)
    asked = tuple(Asked(draw.ids(draw.about(80)), candidates) for _ in range(sizes.label_prompts))
    return Workload("labels", asked)


def corpus(draw: Draw, sizes: Sizes) -> Workload:
    """Return one long text in windows side by side, each after the last token of the one before."""
    text = draw.ids(sizes.corpus * sizes.window + 1)
    starts = range(0, len(text) - 1, sizes.window)
    windows = tuple(
        Asked(text[start : start + 1], (text[start + 1 : start + sizes.window + 1],))
        for start in starts
    )
    return Workload("corpus", windows)


def top_n_best(draw: Draw, sizes: Sizes) -> Workload:
    """Return the n-best list, of which only the winner is asked for."""
    return Workload("n-best top-1", n_best(draw, sizes).queries, top=1)


def top_labels(draw: Draw, sizes: Sizes) -> Workload:
    """Return the labels, of which only the winner is asked for."""
    return Workload("labels top-1", labels(draw, sizes).queries, top=1)


class Draw:
    """Random ids, lengths, beams and label sets of one vocabulary."""

    def __init__(self, vocab: int, seed: int = _SEED) -> None:
        self._vocab = vocab
        self._random = Random(seed)  # noqa: S311 - no secret

    def ids(self, count: int) -> Ids:
        """Return so many ids, uniform over the ordinary ones."""
        return tuple(self._random.choices(range(_FIRST_ID, self._vocab), k=count))

    def about(self, size: int) -> int:
        """Return a length within a fifth of `size`, at least 1."""
        return max(1, self._random.randint(size - size // 5, size + size // 5))

    def asked(self, prompt: int, candidates: int, size: int, *, header: Ids = ()) -> Asked:
        """Return a query with a prompt and candidates of about these lengths."""
        return Asked(
            header + self.ids(self.about(prompt)),
            tuple(self.ids(self.about(size)) for _ in range(candidates)),
        )

    def beam(self, width: int, shortest: int = 25, longest: int = 35) -> tuple[Ids, ...]:
        """Return what a beam search of this width finishes with, 25 to 35 tokens each.

        Each live hypothesis proposes four tokens with random log-probabilities; the best `width`
        survive, so the survivors descend from few ancestors and share their stems. From the
        shortest length on, an equal part of the list finishes at each step.
        """
        live: list[tuple[float, Ids]] = [(0.0, ())]
        finished: list[Ids] = []
        for step in range(1, longest + 1):
            grown = [
                (score - self._random.expovariate(0.5), (*ids, token))
                for score, ids in live
                for token in set(self.ids(4))
            ]
            grown.sort(reverse=True)
            live = grown[:width]
            if step >= shortest:
                steps_left = longest - step + 1
                leaving = -(-(width - len(finished)) // steps_left)
                finished.extend(ids for _, ids in live[:leaving])
                live = live[leaving:]
        return tuple(finished)

    def labels(self, count: int) -> tuple[Ids, ...]:
        """Return distinct labels of 1 to 4 tokens, as many of each; about one stem for four."""
        out: dict[Ids, None] = {}
        heads = self.ids(max(2, count // 4))
        while len(out) < count:
            size = 1 + len(out) % 4
            label = (self._random.choice(heads), *self.ids(size - 1)) if size > 1 else self.ids(1)
            out[label] = None
        return tuple(out)


_MAKERS: dict[str, Callable[[Draw, Sizes], Workload]] = {
    "choices": choices,
    "long-prompt": long_prompt,
    "few-shot": few_shot,
    "n-best": n_best,
    "n-best top-1": top_n_best,
    "labels": labels,
    "labels top-1": top_labels,
    "corpus": corpus,
}

NAMES = tuple(_MAKERS)


def workload(name: str, *, vocab: int, sizes: Sizes) -> Workload:
    """Return the workload of that name in ids of a vocabulary; always the same one.

    Args:
        name: one of `NAMES`.
        vocab: ids are drawn from 3 … vocab − 1.
        sizes: how many queries, candidates and tokens.
    """
    return _MAKERS[name](Draw(vocab), sizes)


def fed_alone(queries: Sequence[Asked]) -> int:
    """Return the tokens that go through the network where each sequence is run by itself."""
    return sum(
        len(query.prompt) + len(candidate) - 1
        for query in queries
        for candidate in query.candidates
    )
