"""Completions asked for token ids: how one server wants to be asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar, final

from logpr.models.openai.answers import (
    Best,
    best_of,
    choices_of,
    echoed_of,
    prompt_logprobs_of,
    require_count,
)
from logpr.models.openai.names import Names
from logpr.models.openai.wire import EndpointError, Json, Wire

Ids: TypeAlias = tuple[int, ...]
Scoring: TypeAlias = Literal["echo", "prompt_logprobs"]
Said = TypeVar("Said")

_TOGETHER = 64
"""Prompts of one HTTP request at most."""

_MOST_NAMED = 5
_MOST_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Manner:
    """How a server is asked.

    `top`: how many of the best next tokens it lists; `extra`: what makes it name them by id;
    `scoring`: what makes it score the tokens of a prompt, None where nothing does; `least`: the
    smallest max_tokens it takes for that; `together`: prompts of one request.
    """

    top: int = 1
    extra: dict[str, Any] = field(default_factory=dict)
    scoring: Scoring | None = None
    least: int = 0
    together: int = _TOGETHER


@final
class Asker:
    """Asks one model of one endpoint.

    Args:
        wire: to the endpoint.
        model: its name there.
        names: of its tokens.
    """

    def __init__(self, wire: Wire, model: str, names: Names) -> None:
        self._wire = wire
        self._model = model
        self.names = names
        self.manner = Manner()

    def best(self, prefixes: Sequence[Ids], *, temperature: float = 0) -> list[Best]:
        """Return the best next tokens after each prefix.

        Raises:
            NotGivenError: the server lists none.
            EndpointError: it refused, failed, or answered otherwise.
            ModelOutputError: what it lists are no log-probabilities.
        """
        how = {"logprobs": self.manner.top, "max_tokens": 1, "temperature": temperature}

        def read(choice: Json, _: Ids) -> Best:
            return best_of(choice, self.names)

        return self._asked(prefixes, how | self.manner.extra, read)

    def scored(self, sequences: Sequence[Ids]) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
        """Return names and log-probabilities of the tokens of sequences, from the second on.

        Raises:
            NotGivenError: the server gives none.
            EndpointError: it refused, failed, or answered otherwise.
            ModelOutputError: what it gives are no log-probabilities.
        """
        how: dict[str, Any] = {"max_tokens": self.manner.least, "temperature": 0}
        if self.manner.scoring == "echo":
            how |= {"echo": True, "logprobs": 1}
            return self._asked(sequences, how | self.manner.extra, echoed_of)
        return self._asked(sequences, how | {"prompt_logprobs": 0}, prompt_logprobs_of)

    def _asked(
        self, prompts: Sequence[Ids], how: Json, read: Callable[[Json, Ids], Said]
    ) -> list[Said]:
        out: list[Said] = []
        size = self.manner.together
        for part in (prompts[start : start + size] for start in range(0, len(prompts), size)):
            body = {
                "model": self._model,
                "prompt": list(part[0]) if len(part) == 1 else [list(each) for each in part],
                "top_p": 1,
                **how,
            }
            found = self._wire.post(body)
            choices = choices_of(found, len(part))
            require_count(found, part)
            out += [read(choice, prompt) for choice, prompt in zip(choices, part, strict=True)]
        return out


def only_model(wire: Wire) -> Json:
    """Return what is said of the one model that is served.

    Raises:
        EndpointError: there are none, or several.
    """
    models = listed_models(wire)
    if len(models) == 1:
        return models[0]
    if models:
        names = ", ".join(_short(each["id"]) for each in models[:_MOST_NAMED])
        more = ", …" if len(models) > _MOST_NAMED else ""
        msg = (
            f"the endpoint serves {len(models)} models, {names}{more}; name one behind its URL: "
            f"#model={_short(models[0]['id'])}"
        )
    else:
        msg = "the endpoint lists no model; name one behind its URL: #model=NAME"
    raise EndpointError(msg)


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def listed_models(wire: Wire) -> list[Json]:
    """Return the models that GET /models lists."""
    data = wire.models().get("data")
    given = data if isinstance(data, list) else []
    return [each for each in given if isinstance(each, dict) and "id" in each]
