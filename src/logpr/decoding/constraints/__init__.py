"""Constraints on outputs, as automata over the model's tokens.

- `choices` and `choice_ids`: the output is one of the given token sequences.
- `regex`: the text of the output, all of it, is matched as by `re.fullmatch`.
- `json_schema`: the text of the output is a JSON value of the schema; `_schema` says which
  spellings.

The text of an output is what its tokens stand for in the middle of a text, one after the other
(`token_bytes`); every spelling of a text in tokens is allowed. Special tokens and tokens without
text are never among the steps.

An expression goes through three rooms: `_regex` reads it into an NFA over bytes, `_nfa` makes that
deterministic within bounds, and `_grammar` walks the vocabulary's trie beside it, state by state as
a search comes to them. The libraries for constrained sampling build the whole table beforehand and
without bounds: an expression of twenty characters can take all memory, and a schema's keywords that
they do not know are passed over, which no certificate can stand on.
"""

from __future__ import annotations

from collections.abc import Collection

from logpr._values.decoding import Constraint
from logpr.decoding.automaton import Automaton
from logpr.decoding.constraints._choices import ChoiceAutomaton
from logpr.decoding.constraints._grammar import TextAutomaton
from logpr.decoding.constraints._pieces import pieces_of
from logpr.decoding.constraints._regex import automaton_of_pattern
from logpr.decoding.constraints._schema import pattern_of_schema
from logpr.errors import QueryError
from logpr.tokens.base import Tokenizer

__all__ = ["automaton_of"]

_MOST_SHOWN = 60


def automaton_of(
    constraint: Constraint,
    *,
    tokenizer: Tokenizer | None,
    end_ids: Collection[int],
    vocab_size: int,
) -> Automaton:
    """Return the automaton of the token sequences that a constraint allows.

    Its states are trimmed: each leads to an accepting one by tokens that there are. Where nothing
    is allowed, its start has no steps and does not accept.

    Args:
        constraint: choices are encoded already.
        tokenizer: of the model; constraints on text need it.
        end_ids: tokens that end an output: never among the steps.
        vocab_size: rows of the model.

    Raises:
        QueryError: a choice cannot be an output; the expression or the schema cannot be read,
            holds what is not supported, or needs too large an automaton; there is no tokenizer.
    """
    if constraint.kind in ("choices", "choice_ids"):
        return ChoiceAutomaton(
            f"{len(constraint.sequences)} {constraint.kind}",
            constraint.sequences,
            end_ids=frozenset(end_ids),
            vocab_size=vocab_size,
        )
    source = constraint.source
    if source is None:
        msg = f"a constraint of kind {constraint.kind} needs its source, and there is none"
        raise QueryError(msg)
    if tokenizer is None:
        msg = (
            f"{constraint.kind} is about text, and this model has no tokenizer; give the token ids "
            f"that are allowed: choice_ids=[[…], …]"
        )
        raise QueryError(msg)
    pattern = pattern_of_schema(source) if constraint.kind == "json_schema" else source
    shown = source if len(source) <= _MOST_SHOWN else source[: _MOST_SHOWN - 1] + "…"
    name = f"{constraint.kind} {shown!r}"
    return TextAutomaton(
        name,
        automaton_of_pattern(pattern, name=name),
        pieces_of(tokenizer, vocab_size, frozenset(end_ids)),
    )
