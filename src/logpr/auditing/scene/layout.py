"""How one candidate lies before the rows are read: its sequence, and where windows cut it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from logpr.auditing.scene.rows import Prefix
from logpr.auditing.scene.scene import Case, Company, Material, Scene
from logpr.auditing.scene.steps import Step


@dataclass(frozen=True, slots=True)
class Layout:
    """One candidate after encode and context: `context` before y, `tokens` of y.

    `materials` are those of all candidates under the same encoding, which `key` names. With
    `window` = W, the token at index p is read after the tokens from W⌊p/W⌋ on alone, with
    `restart` before them in all windows but the first. `context_run` is the change of context that
    this layout has been through, if any, and `context_key` names it.
    """

    scene: Scene
    case: Case
    key: object
    materials: tuple[Material | None, ...]
    context: tuple[int, ...]
    tokens: tuple[int, ...]
    end_ids: tuple[int, ...] = ()
    window: int | None = None
    restart: tuple[int, ...] = ()
    context_key: object = None
    context_run: Callable[[Layout], Layout] | None = None

    @property
    def sequence(self) -> tuple[int, ...]:
        """Return all that is fed."""
        return self.context + self.tokens

    @property
    def asked(self) -> tuple[tuple[int, int], ...]:
        """Return (index in the sequence, token) of what is to be scored, END (-1) last."""
        start = len(self.context)
        found = [(start + place, token) for place, token in enumerate(self.tokens)]
        if self.end_ids:
            found.append((start + len(self.tokens), -1))
        return tuple(found)

    def readable(self, index: int) -> bool:
        """Return whether there is a row before the token at `index`, wherever the rows start."""
        begin = 0 if self.window is None else self.window * (index // self.window)
        return self.scene.source.starts or index > begin or bool(begin and self.restart)

    def step(self, index: int, cut: int, token: int, sequence: Prefix | None = None) -> Step | None:
        """Return the step that reads the token at `index` in the row after the first `cut` tokens.

        None where nothing stands before it, and the rows know no start.
        """
        fed = self.sequence if sequence is None else sequence
        begin = 0
        before: tuple[int, ...] = ()
        if self.window is not None:
            begin = self.window * (index // self.window)
            before = self.restart if begin else ()
        prefix = (*before, *fed[begin:index])
        # A row too early or too late is one of the same window's.
        prefix = prefix[: cut - index] if cut < index else (*prefix, *fed[index:cut])
        if not prefix and not self.scene.source.starts:
            return None
        place = index - len(self.context)
        of_y = 0 <= place < len(self.tokens) or token < 0
        return Step(prefix, token, place if of_y else None)

    def steps(self) -> list[Step]:
        """Return the correct steps: each token after all before it."""
        found = [self.step(index, index, token) for index, token in self.asked]
        return [step for step in found if step is not None]

    def pads(self, company: Company) -> int:
        """Return by how many tokens the longest sequence of the company is longer than this.

        Lengths are those after encode, and after context where this layout comes from there.
        """
        own = len(self.context) + len(self.tokens)

        def lengths() -> Sequence[int]:
            return [
                0 if item is None else self._length(number, item)
                for number, item in enumerate(self.materials)
            ]

        key = (self.key, self.context_key)
        longest: Int64[np.ndarray, " candidates"] = self.scene.longest(key, lengths, company)
        return int(longest[self.case.number]) - own

    def _length(self, number: int, material: Material) -> int:
        if self.context_run is None:
            return material.length
        other = self.context_run(
            replace(
                self,
                case=self.scene.cases[number],
                context=material.context,
                tokens=material.tokens,
                context_key=None,
                context_run=None,
            )
        )
        return len(other.context) + len(other.tokens)
