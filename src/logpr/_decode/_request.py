"""What a caller of `decode` asks for, checked: a model that goes on from a prompt, and a space."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from logpr._score import Settings, as_exact_model
from logpr._score._prompt import Prompt, prompt_of
from logpr._score.encode import encode_candidate, end_ids_of
from logpr._types import Special
from logpr._values import Constraint, Provenance, Query
from logpr._values.decoding import Method, MinLength
from logpr._version import __version__
from logpr.decoding.constraints import automaton_of
from logpr.decoding.objective import objective_named
from logpr.decoding.space import Space
from logpr.errors import ContextLengthError, QueryError, UnknownNameError, WrongTypeError
from logpr.models._prefix_steps import PrefixSteps
from logpr.models.base import EncoderDecoder, Glimpsing, Model, Predictive, Stepper, Stepwise
from logpr.tokens.base import Tokenizer

DEFAULT_LONGEST = 64
METHODS: tuple[Method, ...] = (
    "exact",
    "beam",
    "greedy",
    "threshold",
    "sample",
    "sample_without_replacement",
)

_TRAILING = (
    "trailing_space: the prompt ends with a space, and outputs go on after it; most tokenizers put "
    "the space at the front of the next word, so leave it out of the prompt"
)


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt, the outputs that may follow it, and how to talk about them."""

    query: Query
    model: Model
    prompt: Prompt
    space: Space
    constraint: Constraint | None
    settings: Settings
    warnings: tuple[str, ...]

    def stepper(self, kv_bytes: int) -> Stepper:
        """Return the beginnings of the prompt.

        Args:
            kv_bytes: keys and values held at most.

        Raises:
            QueryError: the model shows no next-token distributions.
        """
        model = self.prompt.model
        if isinstance(model, Stepwise) and self.prompt.fed:
            return model.stepper(self.prompt.fed, kv_bytes=kv_bytes)
        if isinstance(model, (Predictive, Glimpsing)):
            return PrefixSteps(model, self.prompt.fed)
        msg = (
            f"{self.model.provenance.model} scores given tokens but does not show next-token "
            f"distributions, so nothing can be decoded from it; load a model folder, a table, a "
            f"GGUF file, or an endpoint that gives top_logprobs"
        )
        raise QueryError(msg)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Return the tokenizer of the outputs."""
        return self.prompt.model.tokenizer

    @property
    def noise(self) -> float:
        """Return the model's measured packing noise: nats a token that batches may differ by."""
        return self.model.provenance.noise_packing

    @property
    def whole_rows(self) -> bool:
        """Return whether the model shows whole distributions, and not its best tokens alone."""
        return isinstance(self.prompt.model, (Predictive, Stepwise))

    @property
    def provenance(self) -> Provenance:
        """Return what the numbers rest on."""
        return Provenance(
            model=self.model.provenance,
            boundary=self.query.boundary,
            end=self.space.end,
            bos=self.query.bos,
            bos_count=self.prompt.bos_count,
            end_ids=self.space.end_ids,
            logpr=__version__,
        )


def request_of(
    query: Query,
    model: Model | str | None,
    *,
    objective: str,
    end_ids: Sequence[int] | None,
    special: Special,
    max_new_tokens: int | None,
    min_new_tokens: int | None,
    min_length: MinLength,
    constraint: Constraint | None,
    choices: Iterable[str] | None,
    bias: Mapping[int, float] | None,
) -> Request:
    """Return what is asked for.

    Args:
        query: the prompt alone.
        model: or its name; the caller needs one.
        objective: by name.
        end_ids: in place of those that the model declares.
        special: whether special-token strings in the prompt are parsed.
        max_new_tokens: |y| at most; None takes 64, the longest choice where that is more, and less
            where the context ends before.
        min_new_tokens: |y| at least.
        min_length: what becomes of shorter outputs.
        constraint: other than choices of texts.
        choices: texts, encoded as `rank` encodes candidates.
        bias: nats a token.

    Raises:
        InputError: something in it cannot be meant.
    """
    lm = as_exact_model(model)
    if lm is None:
        msg = "decoding needs a model: model=logpr.load('builtin') (--model)"
        raise QueryError(msg)
    if isinstance(end_ids, (int, str)):
        msg = (
            f"end_ids is a list of token ids; found {end_ids!r}; e.g. end_ids=[15] (--end-ids 15); "
            f"model.tokenizer.encode(text, parse_special=True, start=False) gives a text's ids"
        )
        raise WrongTypeError(msg)
    settings = Settings(special=special, end_ids=None if end_ids is None else tuple(end_ids))
    prompt = prompt_of(query, lm, special)
    ends = end_ids_of(query, model=lm, settings=settings)
    end = query.effective_end
    least = min_new_tokens or 0
    if end == "open" and (max_new_tokens is None or min_new_tokens != max_new_tokens):
        raise QueryError(_fixed(max_new_tokens, listed=choices is not None))
    warnings = prompt.warnings
    if choices is not None:
        constraint, notes, context = _choices(query, choices, lm, settings)
        warnings = (*warnings, *notes)
        if context is not None and not isinstance(lm, EncoderDecoder):
            prompt = replace(prompt, ids=context, fed=context)
    elif isinstance(query.prompt, str) and query.prompt.endswith(" "):
        warnings = (*warnings, _TRAILING)
    wanted = max(map(len, constraint.sequences), default=0) if constraint is not None else 0
    longest = _longest(lm, prompt, max_new_tokens, wanted=wanted, ended=end == "stop")
    if min_length == "renormalise" and end == "stop" and not least:
        msg = (
            "min_length='renormalise' masks END before a least length, and there is none; give "
            "one: min_new_tokens=4 (--min-new-tokens 4), or leave it out"
        )
        raise QueryError(msg)
    automaton = None
    if constraint is not None:
        automaton = automaton_of(
            constraint, tokenizer=lm.tokenizer, end_ids=ends, vocab_size=prompt.model.vocab_size
        )
    space = Space(
        end=end,
        end_ids=tuple(dict.fromkeys(ends)),
        min_tokens=least,
        max_tokens=longest,
        min_length=min_length,
        objective=objective_named(objective),
        constraint=automaton,
        bias=_bias(bias, prompt.model.vocab_size),
    )
    out = Request(query, lm, prompt, space, constraint, settings, warnings)
    if min_length == "renormalise" and not out.whole_rows:
        msg = (
            "min_length='renormalise' needs whole next-token distributions, and this model shows "
            "its best tokens alone; use min_length='restrict'"
        )
        raise QueryError(msg)
    return out


def constraint_of(
    *,
    choices: Iterable[str] | None,
    choice_ids: Iterable[Sequence[int]] | None,
    regex: str | None,
    json_schema: Mapping[str, object] | str | None,
) -> Constraint | None:
    """Return the constraint among the options; choices of texts are left to `request_of`.

    Raises:
        QueryError: more than one is given, or one is not what it should be.
    """
    given = {
        "choices": choices,
        "choice_ids": choice_ids,
        "regex": regex,
        "json_schema": json_schema,
    }
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        msg = f"{' and '.join(named)}: give one constraint; a regex can join several"
        raise QueryError(msg)
    if choice_ids is not None:
        sequences = tuple(tuple(int(token) for token in ids) for ids in choice_ids)
        return Constraint(kind="choice_ids", sequences=sequences)
    if regex is not None:
        return Constraint(kind="regex", source=regex)
    if json_schema is not None:
        text = json_schema if isinstance(json_schema, str) else json.dumps(json_schema)
        return Constraint(kind="json_schema", source=text)
    return None


def _fixed(longest: int | None, *, listed: bool) -> str:
    """Return why a search under `open` needs one length, and what to type."""
    most = longest or 12
    ways = (
        f"Fix the length: min_new_tokens={most}, max_new_tokens={most} (--min-new-tokens {most} "
        f"--max-new-tokens {most}), or let outputs end: end='stop' (--end stop), with end_ids=[…] "
        f"(--end-ids) where the model declares none"
    )
    if listed:
        ways = f"To compare what outputs begin with, use logpr.rank (logpr rank). {ways}"
    return (
        f"with end='open' an output is any beginning, and log Pr never rises as it grows: the "
        f"shortest one always wins, so there is nothing to search for. {ways}"
    )


def method_named(method: str) -> Method:
    """Return the method that is called so.

    Raises:
        UnknownNameError: there is none.
    """
    for known in METHODS:
        if method == known:
            return known
    msg = f"no method is called {method!r}; the methods are {', '.join(METHODS)}"
    raise UnknownNameError(msg)


def _longest(model: Model, prompt: Prompt, asked: int | None, *, wanted: int, ended: bool) -> int:
    """Return |y| of the longest output, of `wanted` tokens where nothing else is asked.

    The last token is fed only where END is asked after it.
    """
    room = prompt.model.context_length - len(prompt.fed) + (0 if ended else 1)
    if asked is None and room >= 1:
        return min(max(wanted, DEFAULT_LONGEST), room)
    longest = 1 if asked is None else asked
    if longest > room:
        msg = (
            f"{len(prompt.fed)} tokens of prompt and {longest} new ones, and the context of "
            f"{model.provenance.model} holds {prompt.model.context_length}; shorten the prompt, or "
            f"take max_new_tokens={max(room, 0)} (--max-new-tokens)"
        )
        raise ContextLengthError(msg)
    return longest


def _choices(
    query: Query, choices: Iterable[str], model: Model, settings: Settings
) -> tuple[Constraint, tuple[str, ...], tuple[int, ...] | None]:
    """Return texts as token sequences, each as `rank` would feed it, and what it is fed after.

    That is not the prompt's own ids where spaces at its end have moved into the choices.
    """
    if isinstance(choices, str):
        msg = f"choices is a list; found the single {choices!r}; write [{choices!r}]"
        raise WrongTypeError(msg)
    texts = tuple(choices)
    if query.messages is not None:
        asked = Query.of(messages=query.messages, candidates=texts, end=query.end, bos=query.bos)
    elif query.prompt_ids is not None:
        asked = Query.of(
            prompt_ids=query.prompt_ids, candidates=texts, end=query.end, bos=query.bos
        )
    else:
        asked = Query.of(query.prompt, texts, end=query.end, bos=query.bos)
    sequences: list[tuple[int, ...]] = []
    contexts: set[tuple[int, ...]] = set()
    warnings: list[str] = []
    for index, candidate in enumerate(asked.candidates):
        encoded = encode_candidate(asked, candidate, index, model=model, settings=settings)
        sequences.append(encoded.token_ids)
        contexts.add(encoded.context_ids)
        warnings += [f"choice {index}: {note}" for note in encoded.warnings]
    assert len(contexts) <= 1, "texts after one prompt have one context"
    constraint = Constraint(kind="choices", sequences=tuple(sequences))
    return constraint, tuple(warnings), next(iter(contexts), None)


def _bias(bias: Mapping[int, float] | None, vocab: int) -> tuple[tuple[int, float], ...]:
    out = tuple((int(token), float(nats)) for token, nats in (bias or {}).items())
    for token, _ in out:
        if not 0 <= token < vocab:
            msg = f"bias: token id {token} is outside the model's vocabulary of {vocab}"
            raise QueryError(msg)
    return tuple(pair for pair in out if pair[1] != 0.0)
