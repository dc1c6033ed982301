"""Text after a context: greedy or sampled, up to a stop string, an end token or a length."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field

import numpy as np

from logpr._types import FloatVocab
from logpr.errors import QueryError
from logpr.models.base import Predictive
from logpr.tokens.base import Tokenizer

MAX_NEW_TOKENS = 256
"""Where a task does not say how long an answer may be: the harness's own number."""

WIDTH = 16
"""Texts that grow side by side."""

_LENGTH = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
# Options of `generate` that change nothing at these values.
_NEUTRAL: Mapping[str, object] = {
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1,
    "use_cache": True,
}
_TAKEN = ("until", *_LENGTH, "do_sample", "temperature", "top_k", "top_p")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How one text is written.

    Args:
        until: strings that end it; the text stops before the first of them.
        max_new_tokens: its length at most.
        temperature: of sampling; None takes the most likely token, of equals the smallest id.
        top_k: sampling among this many best; None for all.
        top_p: sampling among the fewest best tokens that have this much probability; None for all.
    """

    until: tuple[str, ...] = ()
    max_new_tokens: int = MAX_NEW_TOKENS
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None


def read_options(given: Mapping[str, object]) -> Generation:
    """Return what a task's `generation_kwargs` ask for.

    `do_sample` decides between greedy and sampling; where it is not given, a temperature above 0
    does. Without sampling temperature, top_k and top_p have no part.

    Raises:
        QueryError: an option that is not known, or a value that it cannot have.
    """
    for name, value in given.items():
        if name in _NEUTRAL and value == _NEUTRAL[name]:
            continue
        if name not in _TAKEN:
            at = f" (but at {_NEUTRAL[name]!r})" if name in _NEUTRAL else ""
            msg = (
                f"generation_kwargs: {name}={value!r} is not supported{at}; there are "
                f"{', '.join(_TAKEN)}: take it out of the task or of --gen_kwargs"
            )
            raise QueryError(msg)
    temperature = _number(given, "temperature", 0.0)
    if temperature < 0:
        msg = f"generation_kwargs: temperature is 0 or more, found {temperature:g}"
        raise QueryError(msg)
    sampled = given.get("do_sample")
    if sampled is None:
        sampled = temperature > 0
    if not isinstance(sampled, bool):
        msg = f"generation_kwargs: do_sample is true or false, found {sampled!r}"
        raise QueryError(msg)
    if sampled and temperature == 0:
        msg = (
            "generation_kwargs: do_sample=true needs a temperature above 0, found "
            f"{given.get('temperature', 'none')}; give temperature=1.0, or do_sample=false"
        )
        raise QueryError(msg)
    length = next((given[name] for name in _LENGTH if given.get(name) is not None), MAX_NEW_TOKENS)
    return Generation(
        until=_until(given.get("until")),
        max_new_tokens=_count("max_gen_toks", length),
        temperature=temperature if sampled else None,
        top_k=_top_k(given.get("top_k")) if sampled else None,
        top_p=_top_p(given) if sampled else None,
    )


def request_seeds(
    seed: int, requests: Iterable[tuple[str | None, str, Generation]]
) -> list[np.random.SeedSequence]:
    """Return what each text is drawn by: it hangs on the request, not on what else is asked.

    Equal requests are counted, so that repeats of one differ.

    Args:
        seed: of the whole run.
        requests: task, context and options of each text. The task is part of it, so that the count
            is the same whichever other tasks ask the same.
    """
    seen: Counter[tuple[str | None, str, Generation]] = Counter()
    out: list[np.random.SeedSequence] = []
    for request in requests:
        task, context, options = request
        identity = json.dumps([seed, task, context, astuple(options), seen[request]])
        seen[request] += 1
        digest = hashlib.sha256(identity.encode()).digest()
        out.append(np.random.SeedSequence(int.from_bytes(digest, "big")))
    return out


def generate(
    model: Predictive,
    contexts: Sequence[Sequence[int]],
    options: Sequence[Generation],
    *,
    end_ids: frozenset[int],
    seeds: Sequence[np.random.SeedSequence],
) -> Iterator[tuple[int, str]]:
    """Yield (index, text) of each context's continuation as it is finished, not in order.

    The text holds no special tokens, nothing from its first stop string on, and no end token.

    Args:
        model: with a tokenizer.
        contexts: token ids, at least one each.
        options: one a context.
        end_ids: tokens that end any text.
        seeds: one a context; what is sampled depends on it alone.
    """
    tokenizer = model.tokenizer
    assert tokenizer is not None, "whoever has contexts of text has a tokenizer"
    growing: list[_Text] = []
    waiting = iter(range(len(contexts)))
    while True:
        while len(growing) < WIDTH and (index := next(waiting, None)) is not None:
            growing.append(
                _Text(index, tuple(contexts[index]), options[index], _generator(seeds[index]))
            )
        if not growing:
            return
        rows = model.next_logits([(*text.context, *text.ids) for text in growing])
        still: list[_Text] = []
        for place, text in enumerate(growing):
            # Logits where there are any: argmax of log-probabilities would see ties of rounding.
            row = (rows.logprobs if rows.logits is None else rows.logits)[place]
            text.ids.append(_pick(text, row, rows.logprobs[place]))
            if _finished(text, tokenizer, end_ids):
                yield text.index, _written(text, tokenizer, end_ids)
            else:
                still.append(text)
        growing = still


@dataclass(slots=True)
class _Text:
    index: int
    context: tuple[int, ...]
    options: Generation
    random: np.random.Generator
    ids: list[int] = field(default_factory=list)


def _generator(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.default_rng(seed)


def _pick(text: _Text, row: FloatVocab, logprobs: FloatVocab) -> int:
    options = text.options
    if options.temperature is None:
        return int(np.argmax(row))
    order = np.argsort(-logprobs, kind="stable")
    if options.top_k is not None:
        order = order[: options.top_k]
    scaled = logprobs[order] / options.temperature
    weights = np.exp(scaled - scaled[0])
    probs = weights / weights.sum()
    if options.top_p is not None:
        # A token stays while those before it have less than top_p: the best one always.
        kept = int(np.count_nonzero(np.cumsum(probs) - probs < options.top_p))
        order, probs = order[:kept], probs[:kept] / probs[:kept].sum()
    return int(text.random.choice(order, p=probs))


def _finished(text: _Text, tokenizer: Tokenizer, end_ids: frozenset[int]) -> bool:
    if text.ids[-1] in end_ids or len(text.ids) >= text.options.max_new_tokens:
        return True
    if not text.options.until:
        return False
    so_far = tokenizer.decode(text.ids)
    return any(stop in so_far for stop in text.options.until)


def _written(text: _Text, tokenizer: Tokenizer, end_ids: frozenset[int]) -> str:
    silent = tokenizer.special_ids | end_ids
    written = tokenizer.decode([token for token in text.ids if token not in silent])
    for stop in text.options.until:
        written = written.partition(stop)[0]
    return written


def _until(given: object) -> tuple[str, ...]:
    listed = [given] if isinstance(given, str) else given or []
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) for one in listed):
        msg = f"generation_kwargs: until is a string or a list of strings, found {given!r}"
        raise QueryError(msg)
    return tuple(stop for stop in listed if stop)


def _number(given: Mapping[str, object], name: str, default: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        msg = f"generation_kwargs: {name} is a number, found {value!r}"
        raise QueryError(msg)
    return float(value)


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        msg = f"generation_kwargs: {name} is a whole number of tokens, at least 1; found {value!r}"
        raise QueryError(msg)
    return value


def _top_k(value: object) -> int | None:
    # 0 and −1 are how other libraries say "all".
    return None if value in (None, 0, -1) else _count("top_k", value)


def _top_p(given: Mapping[str, object]) -> float | None:
    value = _number(given, "top_p", 1.0)
    if not 0 < value <= 1:
        msg = f"generation_kwargs: top_p is above 0 and at most 1, found {value:g}"
        raise QueryError(msg)
    return None if value == 1 else value
