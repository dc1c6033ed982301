"""The probe at connection: what a server can be asked, and whether its numbers are the model's.

A server may report log-probabilities after its own temperature or truncation, may name tokens so
that they cannot be told apart, may put tokens before those it is sent. The same step is asked in
several ways; where they contradict each other the endpoint is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from logpr.errors import ModelError, ModelLoadError
from logpr.models.openai.answers import Best, NotGivenError, known_best, shown
from logpr.models.openai.asking import Asker, Ids, Manner, Scoring
from logpr.models.openai.wire import EndpointError
from logpr.tokens.base import Tokenizer

_TOPS = (1000, 200, 100, 50, 20, 10, 5, 2)
_BY_ID = {"return_tokens_as_token_ids": True}
_LENGTHS = (1, 2, 4, 8)

_TOLERANCE = 0.05
_SLOPE = 0.02
"""What two answers to one step may differ by: 0.05 nats and a fiftieth of their size. Servers that
compute in half precision round differently from call to call, by less than this."""


def probe_prefixes(tokenizer: Tokenizer, vocab_size: int, *, seed: int = 0) -> list[Ids]:
    """Return token ids to probe with: a start token where there is one, then tokens by lot.

    Args:
        tokenizer: of the model; only tokens that are whole characters are drawn.
        vocab_size: ids are smaller.
        seed: of the NumPy generator.
    """
    draw = np.random.default_rng(seed)
    size = min(tokenizer.vocab_size, vocab_size)
    start = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    out: list[Ids] = []
    for length in _LENGTHS:
        path: list[int] = []
        for token in draw.integers(0, size, 64 * length).tolist():
            if len(path) < length and token not in tokenizer.special_ids:
                path += [token] if _is_whole(tokenizer.token_bytes(token)) else []
        out.append((*start, *path))
    return out


def connect(asker: Asker, prefixes: Sequence[Ids], vocab_size: int) -> None:
    """Find how the server is to be asked, and hold its answers against each other.

    Args:
        asker: whose `manner` is set.
        prefixes: of at least two tokens, to ask about.
        vocab_size: no more tokens than this can be listed.

    Raises:
        ModelLoadError: the server lists no log-probabilities of next tokens, or they are not the
            model's own.
    """
    try:
        _find_top(asker, prefixes[0], vocab_size)
        cold = [best for prefix in prefixes for best in asker.best([prefix])]
        _find_together(asker, prefixes, cold)
        warm = asker.best(prefixes, temperature=1)
        for first, second in zip(cold, warm, strict=True):
            _require_greedy(first)
            _require_same(first, second)
        _require_known(cold, asker.manner)
        _find_scoring(asker, prefixes, cold)
    except NotGivenError:
        raise ModelLoadError(_NOTHING) from None
    except ModelLoadError:
        raise
    except ModelError as error:
        raise ModelLoadError(str(error)) from None


def _find_top(asker: Asker, prefix: Ids, vocab_size: int) -> None:
    """Find whether tokens come by id, and how many of the best are listed."""
    for extra in (_BY_ID, {}):
        asker.manner = Manner(top=1, extra=extra)
        try:
            asker.best([prefix])
        except EndpointError as error:
            if not error.refused or not extra:
                raise
            continue
        break
    for top in sorted({min(top, vocab_size) for top in _TOPS}, reverse=True):
        asker.manner = dataclasses.replace(asker.manner, top=top)
        try:
            (best,) = asker.best([prefix])
        except EndpointError as error:
            if not error.refused:
                raise
            continue
        # Some list fewer than they are asked for, and say nothing of it.
        asker.manner = dataclasses.replace(asker.manner, top=min(top, len(best.listed)))
        return
    asker.manner = dataclasses.replace(asker.manner, top=1)


def _find_together(asker: Asker, prefixes: Sequence[Ids], alone: Sequence[Best]) -> None:
    """Find whether several prompts may be sent together, and come back in their order."""
    try:
        together = asker.best(prefixes)
    except EndpointError:
        # Which of them it refuses, or whether it takes no lists: some servers break at one.
        asker.manner = dataclasses.replace(asker.manner, together=1)
        return
    for first, second in zip(alone, together, strict=True):
        if _difference(first, second) is not None:
            asker.manner = dataclasses.replace(asker.manner, together=1)


def _require_greedy(best: Best) -> None:
    top, own = best.listed[0], best.generated
    if own.logprob < top.logprob - _allowed(top.logprob):
        msg = (
            f"asked for the most probable token, the endpoint generated {own.name!r} of "
            f"log-probability {own.logprob:.6g}, and lists {top.name!r} with {top.logprob:.6g}: "
            f"its numbers are not of the distribution it generates from; switch off penalties, "
            f"logit biases and samplers in the server's defaults"
        )
        raise ModelLoadError(msg)


def _require_same(cold: Best, warm: Best) -> None:
    """Refuse numbers that depend on the temperature asked for."""
    found = _difference(cold, warm)
    if found is not None:
        name, first, second = found
        msg = (
            f"the endpoint gives {name!r} the log-probability {first:.6g} at temperature 0 and "
            f"{second:.6g} at temperature 1, after the same tokens: it reports what its sampler "
            f"makes of the model's numbers; have it report them as the model gives them (vLLM: "
            f"--logprobs-mode raw_logprobs; llama.cpp's server: post_sampling_probs false)"
        )
        raise ModelLoadError(msg)


def _difference(one: Best, other: Best) -> tuple[str, float, float] | None:
    """Return a token whose log-probability differs by more than is allowed, and both."""
    values: dict[tuple[str, int | None], list[float]] = {}
    for each in (*one.listed, *other.listed):
        values[each.name, each.token] = []
    for each in other.listed:
        values[each.name, each.token].append(each.logprob)
    for each in one.listed:
        # Of several tokens that are called the same, which is which is not known.
        found = values[each.name, each.token]
        second = found[0] if len(found) == 1 else None
        if not found and each is one.listed[0]:
            # The best of all: in the other answer it is not even listed.
            second = -np.inf
        if second is not None and not _same(each.logprob, second):
            return each.name, each.logprob, second
    return None


def _require_known(found: Sequence[Best], manner: Manner) -> None:
    """Refuse a server whose names for tokens mean nothing here."""
    if any(known_best(best, manner.top) for best in found):
        return
    names = [each.name for best in found for each in best.listed][:5]
    msg = (
        f"the endpoint calls its most probable tokens {shown(names)}: in the tokenizer given each "
        f"of these names several tokens or none; give the model's own tokenizer, or a server that "
        f"names tokens by id (vLLM: return_tokens_as_token_ids; llama.cpp's server)"
    )
    raise ModelLoadError(msg)


def _find_scoring(asker: Asker, prefixes: Sequence[Ids], found: Sequence[Best]) -> None:
    """Find whether tokens that are given can be scored, and hold that against the lists."""
    base = asker.manner
    asked: list[tuple[Ids, float]] = [
        ((*prefix, each.token), each.logprob)
        for prefix, best in zip(prefixes, found, strict=True)
        for each in (*known_best(best, base.top)[:2], *known_best(best, base.top)[-1:])
        if each.token is not None
    ]
    ways: tuple[tuple[Scoring, int], ...] = (("echo", 0), ("echo", 1), ("prompt_logprobs", 1))
    for scoring, least in ways:
        asker.manner = dataclasses.replace(base, scoring=scoring, least=least)
        try:
            echoes = asker.scored([sequence for sequence, _ in asked])
        except NotGivenError:
            continue
        except EndpointError as error:
            if not error.refused:
                raise
            continue
        for (sequence, listed), (names, logprobs) in zip(asked, echoes, strict=True):
            _require_sent(asker, sequence, names)
            if not _same(listed, logprobs[-1]):
                msg = (
                    f"the endpoint lists {names[-1]!r} with log-probability {listed:.6g} as next "
                    f"token, and gives it {logprobs[-1]:.6g} where it is echoed after the same "
                    f"tokens: one of the two is not the model's own; check what the server's "
                    f"defaults do to generated tokens (temperature, top_p, penalties)"
                )
                raise ModelLoadError(msg)
        return
    asker.manner = base


def _require_sent(asker: Asker, sequence: Ids, names: Sequence[str]) -> None:
    for token, name in zip(sequence[1:], names, strict=True):
        if not asker.names.may_mean(name, token):
            msg = (
                f"the endpoint was sent token {token} and calls it {name!r}, which is token "
                f"{asker.names.of_name(name)} of the tokenizer given; give the tokenizer of the "
                f"model that is served: #tokenizer=FOLDER"
            )
            raise ModelLoadError(msg)


def _same(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= _allowed(one)


def _allowed(logprob: float) -> float:
    return _TOLERANCE + _SLOPE * abs(logprob) if np.isfinite(logprob) else 0.0


def _is_whole(piece: bytes) -> bool:
    try:
        return bool(piece.decode())
    except UnicodeDecodeError:
        return False


_NOTHING = (
    "the endpoint lists no log-probabilities of next tokens (a completion with logprobs=1, "
    "max_tokens=1); take a server of completions that does: vLLM, SGLang, llama.cpp's"
)
