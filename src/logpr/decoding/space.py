"""Which outputs there are: what a search looks through, and what a certificate speaks of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from logpr._types import End
from logpr._values.decoding import MinLength
from logpr.decoding.automaton import Automaton
from logpr.decoding.objective import LOGPROB, Objective
from logpr.errors import QueryError


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The outputs of a prompt, and the number that ranks them.

    Under `stop` an output is tokens that are no end tokens, and END; under `open` it is exactly
    `max_tokens` tokens of any kind.

    Args:
        end: "stop" or "open".
        end_ids: the tokens that are END together; none under `open`.
        min_tokens: |y| at least, END not counted.
        max_tokens: |y| at most.
        min_length: what becomes of the probability of shorter outputs.
        objective: what is to be maximised.
        constraint: the sequences that are allowed; all by default.
        bias: nats, at most 0, added to the score for each use of a token.
    """

    end: End
    end_ids: tuple[int, ...]
    min_tokens: int
    max_tokens: int
    min_length: MinLength = "restrict"
    objective: Objective = LOGPROB
    constraint: Automaton | None = None
    bias: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what has no outputs, or no bound."""
        if self.max_tokens < 1 or not 0 <= self.min_tokens <= self.max_tokens:
            msg = (
                f"min_new_tokens is from 0 to max_new_tokens, and max_new_tokens at least 1; found "
                f"{self.min_tokens} and {self.max_tokens}"
            )
            raise QueryError(msg)
        if self.min_length not in ("restrict", "renormalise"):
            msg = f"min_length is 'restrict' or 'renormalise', found {self.min_length!r}"
            raise QueryError(msg)
        for token, nats in self.bias:
            if self.ended and token in self.end_ids:
                msg = (
                    f"bias of token {token}: it is an end token, and END is no token of y that a "
                    f"bias could be added for; leave it out (min_new_tokens keeps y from ending)"
                )
                raise QueryError(msg)
            if not -math.inf < nats <= 0.0:
                msg = (
                    f"bias of token {token} is {nats}: a bias is a finite number of nats, at most "
                    f"0. Above 0 an output may gain by growing, so no beginning bounds what it "
                    f"leads to and nothing can be proven; lower the other tokens instead"
                )
                raise QueryError(msg)

    @property
    def ended(self) -> bool:
        """Return whether END is part of every output."""
        return self.end == "stop"
