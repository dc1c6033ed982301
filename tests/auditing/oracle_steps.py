"""The first half of a slow scorer: which token is read after which tokens.

Encode, context, align: one small function for each entry of the zoo. Nothing here knows a number of
the model's but the greedy continuation of `not_teacher_forced`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from logpr._types import END
from logpr._values import Query
from logpr.models.base import Unconditional
from logpr.tokens.base import Tokenizer
from logpr.tokens.boundary import Text, encode
from tests.auditing.oracle_rows import Ids, Rows

Params: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One candidate: x and y as given, and their ids as they now stand.

    `text` is the text scored, `before` what is fed before the index q of s = c + y.
    """

    record: int
    x: Text
    y: Text
    context: Ids
    tokens: Ids
    text: str
    end: bool
    window: int | None = None
    window_start: Ids = ()

    @property
    def sequence(self) -> Ids:
        """Return s = c + y."""
        return self.context + self.tokens

    def before(self, sequence: Ids, q: int) -> Ids:
        """Return what the token at index q of a sequence is read after."""
        if self.window is None:
            return sequence[:q]
        begin = self.window * (q // self.window)
        return (self.window_start if begin else ()) + sequence[begin:q]


@dataclass(frozen=True)
class Step:
    """A token (or END) read in the row after a prefix.

    `place` is its index in y, len(y) for END, negative for tokens of the prompt, and None for pads.
    """

    prefix: Ids
    token: int
    place: int | None


@dataclass(frozen=True, kw_only=True)
class World:
    """What stands fixed while candidates are scored."""

    rows: Rows
    end: str
    boundary: str
    bos: str

    @property
    def tokenizer(self) -> Tokenizer:
        """Return the model's tokenizer."""
        tokenizer = self.rows.model.tokenizer
        assert tokenizer is not None, "the oracle reads texts"
        return tokenizer

    @property
    def start(self) -> Ids:
        """Return the start token, or nothing."""
        bos = self.tokenizer.bos_id
        return () if bos is None else (bos,)

    def readable(self, prefix: Ids) -> bool:
        """Return whether there is a row after a prefix."""
        return bool(prefix) or isinstance(self.rows.model, Unconditional)


def items_of(queries: Sequence[Query], world: World) -> list[Item]:
    """Return the correct encoding of all candidates, in file order."""
    out = []
    for record, query in enumerate(queries):
        assert query.messages is None, "the oracle reads plain prompts"
        x = query.prompt_ids if query.prompt is None else query.prompt
        assert x is not None
        for candidate in query.candidates:
            y = candidate.text if candidate.token_ids is None else candidate.token_ids
            assert y is not None
            blank = Item(record=record, x=x, y=y, context=(), tokens=(), text="", end=False)
            out.append(encoded(blank, x, y, world.boundary, world))
    return out


def encoded(item: Item, x: Text, y: Text, boundary: str, world: World) -> Item:
    """Return an item with the correct encoding of x and y under a boundary policy."""
    found = encode(world.tokenizer, x, y, boundary=boundary, bos=world.bos)  # type: ignore[arg-type]
    return replace(
        item,
        context=found.context_ids,
        tokens=found.token_ids,
        text=found.text or "",
        end=world.end == "stop",
    )


# encode


def bos_missing(item: Item, world: World) -> Item:
    """Leave out all leading start tokens."""
    context = item.context
    while context and context[:1] == world.start:
        context = context[1:]
    return replace(item, context=context)


def bos_doubled(item: Item, world: World) -> Item:
    """Put one more start token in front."""
    return replace(item, context=world.start + item.context)


def eos_missing(item: Item, world: World) -> Item:  # noqa: ARG001 - one shape for all entries
    """Leave END out."""
    return replace(item, end=False)


def eos_added(item: Item, world: World) -> Item:
    """Score END."""
    return replace(item, end=bool(world.rows.model.end_ids))


def joint_boundary(item: Item, world: World, *, form: str = "split") -> Item:
    """Split tok(x + y) where tok(x) ends, or before the first token that reaches into y.

    Ids that were given stay as they are.
    """
    x, y = item.x, item.y
    if not (isinstance(x, str) and isinstance(y, str)):
        return item
    if form == "straddling":
        return encoded(item, x, y, "joint", world)
    assert form == "split"
    alone = world.tokenizer.encode(x, parse_special=True)
    both = world.tokenizer.encode_around(x + y, world.tokenizer.special_spans(x))
    size = len(alone)
    start = item.context[: len(item.context) - len(bos_missing(item, world).context)]
    if both[:1] == world.start:
        start = ()
    return replace(item, context=start + both[:size], tokens=both[size:], text=y)


def space_lost(item: Item, world: World, *, form: str) -> Item:
    """Drop the spaces between x and y, or put one more; ids that were given stay as they are."""
    x, y = item.x, item.y
    if not (isinstance(x, str) and isinstance(y, str)):
        return item
    bare = x.rstrip(" ")
    if form == "dropped":
        return encoded(item, bare, y.lstrip(" "), "separate", world)
    assert form == "doubled"
    return encoded(item, bare, " " + x[len(bare) :] + y, "separate", world)


ENCODE: dict[str, Callable[..., Item]] = {
    "bos_missing": bos_missing,
    "bos_doubled": bos_doubled,
    "eos_missing": eos_missing,
    "eos_added": eos_added,
    "joint_boundary": joint_boundary,
    "space_lost": space_lost,
}


# context


def company_of(items: Sequence[Item], place: int, company: str | int) -> list[int]:
    """Return the candidates that stand in one batch with a candidate, itself among them."""
    if company == "file":
        return list(range(len(items)))
    if company == "query":
        return [i for i, other in enumerate(items) if other.record == items[place].record]
    assert isinstance(company, int)
    batch = place // company
    return list(range(batch * company, min((batch + 1) * company, len(items))))


def pads(items: Sequence[Item], place: int, company: str | int) -> int:
    """Return how much shorter a candidate is than the longest in its company."""
    longest = max(len(items[i].sequence) for i in company_of(items, place, company))
    return longest - len(items[place].sequence)


def prompt_dropped(items: Sequence[Item], world: World) -> list[Item]:
    """Put y after the start token alone."""
    return [replace(item, context=world.start) for item in items]


def left_pad_unmasked(
    items: Sequence[Item],
    world: World,  # noqa: ARG001 - one shape for all entries
    *,
    pad_id: int,
    company: str | int,
) -> list[Item]:
    """Put padding in front, visible to the model."""
    return [
        replace(item, context=(pad_id,) * pads(items, place, company) + item.context)
        for place, item in enumerate(items)
    ]


def window_restart(items: Sequence[Item], world: World, *, window: int, start: str) -> list[Item]:
    """Read every window of W tokens as though nothing came before it."""
    first = world.start if start == "bos" else ()
    return [replace(item, window=window, window_start=first) for item in items]


def truncated_context(items: Sequence[Item], world: World, *, keep: int) -> list[Item]:  # noqa: ARG001
    """Keep the last k tokens of the context."""
    return [replace(item, context=item.context[-keep:]) for item in items]


CONTEXT: dict[str, Callable[..., list[Item]]] = {
    "prompt_dropped": prompt_dropped,
    "left_pad_unmasked": left_pad_unmasked,
    "window_restart": window_restart,
    "truncated_context": truncated_context,
}


# align


def correct_steps(item: Item) -> list[Step]:
    """Return the steps of y, each token read after all tokens before it."""
    s, m, n = item.sequence, len(item.context), len(item.tokens)
    steps = [Step(item.before(s, m + i), s[m + i], i) for i in range(n)]
    if item.end:
        steps.append(Step(item.before(s, m + n), END, n))
    return steps


def unshifted(items: Sequence[Item], place: int, world: World) -> list[Step]:  # noqa: ARG001
    """Read every token after itself; END has no row after it, and keeps its own."""
    return [
        step if step.token == END else replace(step, prefix=(*step.prefix, step.token))
        for step in correct_steps(items[place])
    ]


def shifted_twice(items: Sequence[Item], place: int, world: World) -> list[Step]:  # noqa: ARG001
    """Read every token one row too early."""
    return [replace(step, prefix=step.prefix[:-1]) for step in correct_steps(items[place])]


def first_token_dropped(items: Sequence[Item], place: int, world: World) -> list[Step]:  # noqa: ARG001
    """Leave the first step out."""
    return correct_steps(items[place])[1:]


def last_token_dropped(items: Sequence[Item], place: int, world: World) -> list[Step]:  # noqa: ARG001
    """Leave the last step out."""
    return correct_steps(items[place])[:-1]


def prompt_last_included(items: Sequence[Item], place: int, world: World) -> list[Step]:  # noqa: ARG001
    """Score the last token of the context too."""
    item = items[place]
    m = len(item.context)
    if not m:
        return correct_steps(item)
    extra = Step(item.before(item.context, m - 1), item.context[m - 1], -1)
    return [extra, *correct_steps(item)]


def prompt_included(items: Sequence[Item], place: int, world: World) -> list[Step]:  # noqa: ARG001
    """Score every token of the context that has one before it."""
    item = items[place]
    m = len(item.context)
    extra = [Step(item.before(item.context, j), item.context[j], j - m) for j in range(1, m)]
    return [*extra, *correct_steps(item)]


def not_teacher_forced(items: Sequence[Item], place: int, world: World) -> list[Step]:
    """Read the tokens of y along the model's own greedy continuation."""
    item = items[place]
    m = len(item.context)
    if not world.readable(item.context):
        return []
    greedy = item.context
    for _ in item.tokens:
        greedy = (*greedy, world.rows[greedy].best)
    return [
        replace(step, prefix=item.before(greedy, m + i))
        for i, step in enumerate(correct_steps(item))
    ]


def row_reused(
    items: Sequence[Item],
    place: int,
    world: World,  # noqa: ARG001
    *,
    representative: str,
) -> list[Step]:
    """Read the rows where another candidate with the same fed ids has its own."""
    item = items[place]
    if not item.tokens:
        return correct_steps(item)
    fed = item.sequence[:-1]
    group = [other for other in items if other.tokens and other.sequence[:-1] == fed]
    longest = max(group, key=lambda other: len(other.tokens))
    chosen = {"first": group[0], "last": group[-1], "longest": longest}[representative]
    m = len(chosen.context)
    out = []
    for i, step in enumerate(correct_steps(item)):
        if step.token != END and m + i <= len(fed):
            out.append(replace(step, prefix=item.before(item.sequence, m + i)))
        else:
            out.append(step)
    return out


ALIGN: dict[str, Callable[..., list[Step]]] = {
    "unshifted": unshifted,
    "shifted_twice": shifted_twice,
    "first_token_dropped": first_token_dropped,
    "last_token_dropped": last_token_dropped,
    "prompt_last_included": prompt_last_included,
    "prompt_included": prompt_included,
    "not_teacher_forced": not_teacher_forced,
    "row_reused": row_reused,
}
