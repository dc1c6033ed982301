"""Properties of candidates that formulas have been seen to fail on, one array entry a candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int64

from logpr.auditing.claims.values import ClaimRow
from logpr.auditing.scene.scene import Case, Material, Scene

Flags: TypeAlias = Bool[np.ndarray, " candidates"]
Counts: TypeAlias = Int64[np.ndarray, " candidates"]


@dataclass(frozen=True, slots=True)
class Feature:
    """A yes-or-no property; `says` completes "these candidates …".

    Properties of one `family` say nearly the same, and one of them is enough.
    """

    says: str
    flags: Flags
    family: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of which a threshold may matter, and how being above it or up to it is said."""

    values: Counts
    above: Callable[[int], str]
    up_to: Callable[[int], str]
    family: str


def features(scene: Scene, rows: Sequence[ClaimRow]) -> Iterator[Feature]:
    """Yield the properties of all candidates, the more telling of two alike first."""
    yield _flagged(
        scene,
        "boundary",
        "have a boundary where the tokenizer merges prompt and candidate",
        lambda case: case.merged,
    )
    yield from _sharing(scene)
    yield from _padding(scene)
    special = frozenset((*scene.special_ids, *scene.end_ids))
    for family, says, of_tokens in _of_tokens(special):
        yield _flagged(scene, family, says, _on_material(of_tokens))
    for pad in scene.pad_ids:
        # An ordinary token too may be what batches are padded with: 0, for want of a pad token.
        says = f"contain the token id {pad}, which a batch may be padded with"
        yield _flagged(scene, "special", says, _on_material(_contains(pad)))
    for family, says, of_text in _TEXTS:
        yield _flagged(scene, family, says, _on_text(of_text))
    for family, says, of_text in _PROMPTS:
        yield _flagged(scene, family, says, _on_prompt(of_text))
    yield from _of_record(scene, rows)


def _flagged(scene: Scene, family: str, says: str, holds: Callable[[Case], bool]) -> Feature:
    flags = np.array([holds(case) for case in scene.cases], dtype=np.bool_)
    return Feature(says, flags, family)


def _contains(token: int) -> Callable[[Material], bool]:
    return lambda material: token in material.tokens


def _on_material(holds: Callable[[Material], bool]) -> Callable[[Case], bool]:
    return lambda case: holds(case.material)


def _on_text(holds: Callable[[str], bool]) -> Callable[[Case], bool]:
    return lambda case: holds("".join(case.token_texts or ()) if case.text is None else case.text)


def _on_prompt(holds: Callable[[str], bool]) -> Callable[[Case], bool]:
    return lambda case: case.prompt is not None and holds(case.prompt)


def _sharing(scene: Scene) -> Iterator[Feature]:
    groups: dict[tuple[int, ...], list[Case]] = {}
    for case in scene.cases:
        material = case.material
        # A model is fed all but the last token; nothing is scored of a candidate without any.
        fed = (*material.context, *material.tokens[:-1]) if material.tokens else ()
        if fed:
            groups.setdefault(fed, []).append(case)
    earlier, later, longer, other, same = (
        np.zeros(len(scene.cases), dtype=np.bool_) for _ in range(5)
    )
    for members in groups.values():
        splits = [len(member.material.context) for member in members]
        for member, split in zip(members, splits, strict=True):
            # A cache of rows by fed tokens keeps those of one request: the first, the last, or the
            # one with the longest continuation, which is split the earliest.
            earlier[member.number] = split != splits[0]
            later[member.number] = split != splits[-1]
            longer[member.number] = split != min(splits)
            other[member.number] = len(set(splits)) > 1
            same[member.number] = len(members) > 1
    for whom, flags in (
        ("an earlier request, split elsewhere", earlier),
        ("a later request, split elsewhere", later),
        ("a request of a longer continuation, split elsewhere", longer),
        ("another request, split elsewhere", other),
        ("another candidate", same),
    ):
        yield Feature(f"share their fed tokens with {whom}", flags, "sharing")


def _padding(scene: Scene) -> Iterator[Feature]:
    lengths = np.array([case.material.length for case in scene.cases], dtype=np.int64)
    longest = scene.longest(("features", "length"), lengths.tolist, "query")
    shorter = "are shorter than the longest of their record, so padded in a batch"
    yield Feature(shorter, lengths < longest, "padding")
    yield Feature("are the longest of their record, so never padded", lengths == longest, "padding")


def _of_tokens(special: frozenset[int]) -> tuple[tuple[str, str, Callable[[Material], bool]], ...]:
    return (
        (
            "special",
            "contain a special token",
            lambda material: not special.isdisjoint(material.tokens),
        ),
        (
            "special in prompt",
            "have a special token inside their prompt",
            lambda material: not special.isdisjoint(material.context[1:]),
        ),
        (
            "repeated",
            "contain some token twice",
            lambda material: len(set(material.tokens)) < len(material.tokens),
        ),
        ("end", "are scored with END", lambda material: bool(material.end_ids)),
    )


_Test: TypeAlias = Callable[[str], bool]

_TEXTS: tuple[tuple[str, str, _Test], ...] = (
    ("ascii", "contain characters outside ASCII", lambda text: not text.isascii()),
    ("space", "begin with a space", lambda text: text[:1].isspace()),
    ("space", "begin without a space", lambda text: bool(text) and not text[:1].isspace()),
    ("digit", "contain a digit", lambda text: any(char.isdigit() for char in text)),
    ("line", "contain a line break", lambda text: "\n" in text),
)

_PROMPTS: tuple[tuple[str, str, _Test], ...] = (
    ("empty", "follow an empty prompt", lambda prompt: not prompt),
    ("end of prompt", "follow a prompt that ends with a space", lambda text: text[-1:].isspace()),
    (
        "ascii in prompt",
        "follow a prompt with characters outside ASCII",
        lambda prompt: not prompt.isascii(),
    ),
)


def _of_record(scene: Scene, rows: Sequence[ClaimRow]) -> Iterator[Feature]:
    last = {case.record: case.number for case in scene.cases}

    def feature(family: str, says: str, holds: Callable[[Case, ClaimRow], bool]) -> Feature:
        return _flagged(scene, family, says, lambda case: holds(case, rows[case.record]))

    yield feature("place", "stand first in their record", lambda case, _: case.place == 0)
    yield feature(
        "place", "stand last in their record", lambda case, _: last[case.record] == case.number
    )
    yield feature("chosen", "were chosen", lambda case, row: row.chosen == case.place)
    yield feature(
        "messages",
        "answer messages, not a plain prompt",
        lambda _, row: row.query.messages is not None,
    )
    arms = [rows[case.record].arm for case in scene.cases]
    for arm in dict.fromkeys(arm for arm in arms if arm is not None):
        flags = np.array([other == arm for other in arms], dtype=np.bool_)
        yield Feature(f"belong to arm {arm!r}", flags, "arm")
    declares = [rows[case.record].declares for case in scene.cases]
    declared = [(one.rule, one.unit) for one in declares]
    for rule, unit in dict.fromkeys(declared):
        flags = np.array([other == (rule, unit) for other in declared], dtype=np.bool_)
        yield Feature(f"are declared to be {rule} in {unit}", flags, "declared")


def quantities(scene: Scene) -> Iterator[Quantity]:
    """Yield the numbers of all candidates of which a threshold may matter."""

    def of(
        family: str,
        value: Callable[[Case], int],
        above: Callable[[int], str],
        up_to: Callable[[int], str],
    ) -> Quantity:
        values = np.array([value(case) for case in scene.cases], dtype=np.int64)
        return Quantity(values, above, up_to, family)

    yield of(
        "size",
        lambda case: len(case.material.tokens),
        lambda n: f"have more than {_tokens(n)}",
        lambda n: "have a single token" if n == 1 else f"have {n} tokens at most",
    )
    yield of(
        "size",
        lambda case: case.material.length,
        lambda n: f"have more than {_tokens(n)} with their prompt",
        lambda n: f"have {_tokens(n)} at most with their prompt",
    )
    yield of(
        "size",
        lambda case: len(case.material.context),
        lambda n: f"follow a prompt of more than {_tokens(n)}",
        lambda n: f"follow a prompt of {_tokens(n)} at most",
    )
    yield of(
        "company",
        lambda case: len(scene.record_of(case.number)),
        lambda n: f"stand in a record of more than {n} candidates",
        lambda n: f"stand in a record of {n} candidates at most",
    )
    yield of(
        "file",
        lambda case: case.number,
        lambda n: f"come after the first {n + 1} candidates of the file",
        lambda n: f"are among the first {n + 1} candidates of the file",
    )


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number} tokens"
