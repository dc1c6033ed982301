"""An OpenAI-compatible completions URL as a scorer: the prompt is echoed with log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, final

from logpr.conformance.declares import Declares
from logpr.conformance.targets.base import Answer, Request, ScorerError, Scoring, Text
from logpr.conformance.targets.called import TIME_LIMIT
from logpr.conformance.targets.echoes import (
    Echo,
    NotEchoedError,
    candidate_scores,
    ids_echo,
    listed_echo,
    text_echo,
)
from logpr.conformance.targets.reading import shown
from logpr.conformance.targets.wire import Wire, base_of, public
from logpr.errors import QueryError
from logpr.models.openai.address import api_key

_TOGETHER = 64
"""Prompts of one HTTP request at most."""

_MOST_MODELS = 5
_ECHO: dict[str, Any] = {"echo": True, "logprobs": 1}
_LISTED: dict[str, Any] = {"prompt_logprobs": 0}
_SINGLE = 1


@final
class Url:
    """A completions URL: http://host:8000/v1, or …/v1/completions.

    Each candidate is sent behind its prompt, in one text or as one list of ids, to be echoed with
    log-probabilities: `echo=true, logprobs=1, max_tokens=0`, with `max_tokens=1` where a server
    refuses 0, and `prompt_logprobs` where it echoes nothing (as vLLM may).

    Args:
        url: of the endpoint.
        declares: what is sent (ids), and which tokens count (boundary).
        model: which of the models that it serves; its only one by default.
        time_limit: seconds for all that one call asks.
        name: what reports call it; the URL by default, without what is secret in it.

    Raises:
        QueryError: no such URL, or a declaration that no such endpoint can keep.
    """

    factory = False

    def __init__(
        self,
        url: str,
        *,
        declares: Declares | None = None,
        model: str | None = None,
        time_limit: float = TIME_LIMIT,
        name: str | None = None,
    ) -> None:
        self.name = public(url) if name is None else name
        self._base = base_of(url)
        self._declares = declares or Declares()
        self._model = model
        self._time_limit = time_limit
        _refuse_declared(self.name, self._declares)

    def open(self, folder: Path | None) -> Scoring:
        """Return the endpoint, once it says which model it serves.

        Raises:
            ScorerError: it cannot be reached, or serves none or several.
            QueryError: the API key cannot be sent.
        """
        assert folder is None, "it holds a model of its own"
        wire = Wire(self._base, key=api_key(), time_limit=self._time_limit)
        try:
            model = _only_model(wire) if self._model is None else self._model
        except BaseException:
            wire.close()
            raise
        return Served(wire, model, self._declares)


@final
class Served:
    """An endpoint that is asked."""

    together = True
    vocab_size = None

    def __init__(self, wire: Wire, model: str, declares: Declares) -> None:
        self._wire = wire
        self._model = model
        self._declares = declares
        self._most: int | None = None
        """The max_tokens that it takes, once that is known."""
        self._how: dict[str, Any] | None = None
        """What makes it say the prompt's log-probabilities, once that is known."""
        self._lists = True
        self._counts: dict[str, int] = {}

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Return an answer for each request."""
        self._wire.begin()
        texts: list[Text] = [
            _joined(request.prompt, candidate)
            for request in requests
            for candidate in request.candidates
        ]
        counted: list[str] = []
        if self._declares.boundary == "split":
            prompts = {each.prompt for each in requests if isinstance(each.prompt, str)}
            counted = [each for each in sorted(prompts) if each and each not in self._counts]
        echoes = self._echoes([*texts, *counted])
        for prompt, echo in zip(counted, echoes[len(texts) :], strict=True):
            self._counts[prompt] = len(echo.names)
        rest = iter(echoes[: len(texts)])
        return [
            self._answer([self._scores(request.prompt, next(rest)) for _ in request.candidates])
            for request in requests
        ]

    def said(self) -> list[str]:
        """Return nothing: an endpoint says it all in its answers."""
        return []

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _answer(self, tokens: Sequence[tuple[float, ...]]) -> Answer:
        return Answer(tuple(sum(each, 0.0) for each in tokens), tuple(tokens))

    def _scores(self, prompt: Text, echo: Echo) -> tuple[float, ...]:
        if not isinstance(prompt, str):
            return echo.scores(len(prompt))
        count = self._counts.get(prompt, 0) if self._declares.boundary == "split" else None
        return candidate_scores(echo, prompt, self._declares.boundary, count)

    def _echoes(self, prompts: Sequence[Text]) -> list[Echo]:
        out: list[Echo] = []
        for start in range(0, len(prompts), _TOGETHER):
            part = prompts[start : start + _TOGETHER]
            out += self._read(part) if self._lists else self._one_by_one(part)
        return out

    def _read(self, prompts: Sequence[Text]) -> list[Echo]:
        """Return the echoes of prompts sent in one request, or one by one where that is refused."""
        try:
            return self._echoed(prompts)
        except ScorerError as error:
            if len(prompts) == _SINGLE or error.kind != "raised" or error.fatal:
                raise
            # Which of them it refuses, or whether it takes no lists, is seen from each alone: some
            # servers break at a list, and say nothing of it.
            out = self._one_by_one(prompts)
            self._lists = False
            return out

    def _one_by_one(self, prompts: Sequence[Text]) -> list[Echo]:
        return [echo for prompt in prompts for echo in self._echoed([prompt])]

    def _echoed(self, prompts: Sequence[Text]) -> list[Echo]:
        if self._how is not None:
            return self._said_of(prompts, self._how)
        try:
            out = self._said_of(prompts, _ECHO)
            self._how = _ECHO
        except NotEchoedError:
            try:
                out = self._said_of(prompts, _LISTED)
            except (NotEchoedError, ScorerError):
                raise ScorerError(kind="wrong_shape", message=_NOT_ECHOED, fatal=True) from None
            self._how = _LISTED
        return out

    def _said_of(self, prompts: Sequence[Text], how: dict[str, Any]) -> list[Echo]:
        choices, usage = self._completions(prompts, how)
        sent = [each for each in prompts if not isinstance(each, str)]
        if len(sent) == len(prompts) and isinstance(usage, int):
            _require_count(usage, sum(map(len, sent)))
        read: Callable[[dict[str, Any], Text], Echo] = _echo_of if how is _ECHO else listed_echo
        return [read(choice, prompt) for choice, prompt in zip(choices, prompts, strict=True)]

    def _completions(
        self, prompts: Sequence[Text], how: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], object]:
        """Return a choice for each prompt, and how many prompt tokens the server counts."""
        given = [each if isinstance(each, str) else list(each) for each in prompts]
        body = {
            "model": self._model,
            "prompt": given[0] if len(given) == _SINGLE else given,
            "temperature": 0,
            **how,
        }
        # vLLM's prompt_logprobs come with a token at least.
        tries = (self._most,) if self._most is not None else (0, 1) if how is _ECHO else (1,)
        for most in tries:
            try:
                found = self._wire.post({**body, "max_tokens": most})
            except ScorerError as error:
                if not error.refusal or most == tries[-1]:
                    raise
                continue
            break
        choices = _choices(found, len(prompts))
        # Where 0 means "without limit", 1 is less.
        self._most = 1 if how is _LISTED or _generated(choices[0], prompts[0]) else most
        usage = found.get("usage")
        return choices, usage.get("prompt_tokens") if isinstance(usage, dict) else None


_NOT_ECHOED = (
    "the endpoint did not echo the prompt with log-probabilities: neither echo=true, logprobs=1 "
    "nor prompt_logprobs of a completion brought any of the prompt's tokens. vLLM, SGLang and "
    "llama-cpp-python's server give them; llama.cpp's own server and chat endpoints do not"
)


def _echo_of(choice: dict[str, Any], prompt: Text) -> Echo:
    return text_echo(choice, prompt) if isinstance(prompt, str) else ids_echo(choice, len(prompt))


def _joined(prompt: Text, candidate: Text) -> Text:
    if isinstance(prompt, str) and isinstance(candidate, str):
        return prompt + candidate
    assert not isinstance(prompt, str), "a prompt of ids has candidates of ids"
    assert not isinstance(candidate, str), "a prompt of ids has candidates of ids"
    return prompt + candidate


def _choices(found: dict[str, Any], count: int) -> list[dict[str, Any]]:
    given = found.get("choices")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        msg = f"the endpoint answered otherwise: choices is {shown(given)}; wanted is a list"
        raise ScorerError(kind="wrong_shape", message=msg)
    if len(given) != count:
        msg = f"the endpoint answered {len(given)} choices to {count} prompts"
        raise ScorerError(kind="wrong_shape", message=msg)
    order = [each.get("index", place) for place, each in enumerate(given)]
    if sorted(map(str, order)) != sorted(map(str, range(count))):
        msg = f"the endpoint numbered its choices {shown(order)}; wanted is 0 to {count - 1}"
        raise ScorerError(kind="wrong_shape", message=msg)
    return [given[order.index(place)] for place in range(count)]


def _generated(choice: dict[str, Any], prompt: Text) -> bool:
    """Return whether tokens were generated behind an echoed prompt."""
    if isinstance(prompt, str):
        return len(str(choice.get("text", ""))) > len(prompt)
    said = choice.get("logprobs")
    names = said.get("tokens") if isinstance(said, dict) else None
    return isinstance(names, list) and len(names) > len(prompt)


def _require_count(counted: int, sent: int) -> None:
    if counted != sent:
        msg = (
            f"the endpoint counts {counted} prompt tokens where {sent} ids were sent: it adds "
            f"tokens to them, or drops some"
        )
        raise ScorerError(kind="wrong_shape", message=msg)


def _only_model(wire: Wire) -> str:
    """Return the model that is served.

    Raises:
        ScorerError: there are none, or several.
    """
    wire.begin()
    found = wire.models()
    data = found.get("data")
    names = [
        str(each["id"])
        for each in (data if isinstance(data, list) else [])
        if isinstance(each, dict) and "id" in each
    ]
    if len(names) == 1:
        return names[0]
    if names:
        more = ", …" if len(names) > _MOST_MODELS else ""
        served = ", ".join(names[:_MOST_MODELS]) + more
        msg = f"the endpoint serves {len(names)} models, {served}; name one: --api-model NAME"
    else:
        msg = f"the endpoint lists no model, {shown(found)}; name one: --api-model NAME"
    raise ScorerError(kind="raised", message=msg, fatal=True)


def _refuse_declared(name: str, declares: Declares) -> None:
    if declares.end == "stop":
        msg = (
            f"{name} is an endpoint of completions, whose prompts end where their text ends: END "
            f"is not scored; leave end=stop out"
        )
        raise QueryError(msg)
    for field, only in (("unit", "nats"), ("aggregate", "sum")):
        if getattr(declares, field) != only:
            msg = (
                f"{name} is an endpoint of completions, whose token log-probabilities are natural "
                f"and are summed here; leave {field}={getattr(declares, field)} out"
            )
            raise QueryError(msg)
