"""Scorers with a fault of the zoo in them: for tests, for teaching, and to see what checks kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, final

import numpy as np

from logpr._score import Settings, as_exact_model
from logpr._types import Bos, Boundary, End
from logpr._values import Query
from logpr.auditing.claims.values import Claim, ClaimRow
from logpr.auditing.faults import FAULTS, STAGES, Change
from logpr.auditing.faults.totals import declared_totals
from logpr.auditing.scene.build import build
from logpr.auditing.scene.scene import Scene
from logpr.auditing.search.panel import predict_all
from logpr.auditing.search.pipeline import Declared, Pipeline
from logpr.auditing.search.race import Trial
from logpr.auditing.search.tokens import step_scores
from logpr.errors import QueryError, UnknownNameError
from logpr.models.base import Model

Named: TypeAlias = str | tuple[str, Mapping[str, Any]]
"""A fault's id, with its parameters where it has any."""

Shortlists: TypeAlias = Sequence[Sequence[Sequence[int]]]
"""For each candidate, for each of its steps, token ids."""


def faulty_scorer(
    *faults: Named,
    model: Model | str = "builtin",
    end: End | None = None,
    boundary: Boundary = "separate",
    bos: Bos = "auto",
    end_ids: Sequence[int] | None = None,
    **parameters: Any,  # noqa: ANN401 - each fault has its own
) -> FaultyScorer:
    """Return a scorer that goes wrong in a known way: at most one fault for each stage.

    >>> from logpr.auditing import faulty_scorer
    >>> mean = faulty_scorer("mean", model="builtin")
    >>> [round(score, 3) for score in mean("The cat sat on the", [" mat.", " of."])]
    [-3.995, -11.611]

    Args:
        faults: ids of the zoo, none for the correct scorer; for two with parameters each a tuple,
            ("shortlist_softmax", {"k": 50}).
        model: from `logpr.load`, or a name that it takes; it has to show whole rows.
        end: whether END is scored, as in `score`.
        boundary: "separate" or "joint".
        bos: whether a start token is fed.
        end_ids: the end tokens, in place of those the model declares.
        parameters: of the one fault, such as k=50.

    Raises:
        UnknownNameError: no fault has that id, or that parameter.
        QueryError: two faults of one stage.
    """
    given = [fault if isinstance(fault, tuple) else (fault, {}) for fault in faults]
    if parameters:
        if len(given) != 1 or given[0][1]:
            msg = (
                f"parameters {', '.join(parameters)} belong to one fault, and {len(given)} are "
                f"given; write each with its own: ('shortlist_softmax', {{'k': 50}})"
            )
            raise QueryError(msg)
        given = [(given[0][0], parameters)]
    changes = sorted(
        (_change(name, values) for name, values in given),
        key=lambda change: STAGES.index(change.stage),
    )
    for first, second in pairwise(changes):
        if first.stage == second.stage:
            msg = (
                f"{first.fault} and {second.fault} both change stage {first.stage}; a scorer has "
                f"one change a stage"
            )
            raise QueryError(msg)
    settings = Settings(end_ids=None if end_ids is None else tuple(end_ids))
    loaded = as_exact_model(model)
    assert loaded is not None, "a model is given or loaded"
    return FaultyScorer(Pipeline(tuple(changes)), loaded, settings, (end, boundary, bos))


def _change(name: str, parameters: Mapping[str, Any]) -> Change:
    if name not in FAULTS:
        msg = f"no fault is called {name!r}; the zoo has {', '.join(FAULTS)}"
        raise UnknownNameError(msg)
    fault = FAULTS[name]
    try:
        return fault.apply(**parameters)
    except (TypeError, KeyError) as error:
        known = ", ".join(f"{spec.name} ({spec.values})" for spec in fault.parameters) or "none"
        told = ", ".join(f"{key}={value!r}" for key, value in parameters.items()) or "none"
        msg = f"{name}: found parameters {told}; it takes {known}"
        raise UnknownNameError(msg) from error


@final
class FaultyScorer:
    """Scores candidates the way a scorer with these faults does, in float64."""

    def __init__(
        self,
        pipeline: Pipeline,
        model: Model,
        settings: Settings,
        conventions: tuple[End | None, Boundary, Bos],
    ) -> None:
        self._pipeline = pipeline
        self._model = model
        self._settings = settings
        self._end, self._boundary, self._bos = conventions
        self._declared = Declared(*declared_totals("logprob", "nats"))

    def __repr__(self) -> str:
        """Return the faults, with their parameters."""
        said = [
            f"{change.fault}({', '.join(f'{k}={v}' for k, v in change.fixed)})"
            for change in self._pipeline.changes
        ]
        return f"<scorer: {' + '.join(said) or 'correct'}>"

    def __call__(
        self,
        prompt: str,
        candidates: Sequence[str | Sequence[int]],
        *,
        shortlists: Shortlists | None = None,
    ) -> list[float]:
        """Return a score for each candidate; `shortlists` for faults over logged lists."""
        query = Query.of(prompt, candidates)
        return self.many([query], shortlists=None if shortlists is None else [shortlists])[0]

    def many(
        self, queries: Sequence[Query], *, shortlists: Sequence[Shortlists] | None = None
    ) -> list[list[float]]:
        """Return the scores of each query's candidates, all of them in each other's company."""
        scene = self._scene(queries, shortlists)
        everyone = range(len(scene.cases))
        values = predict_all(scene, self._declared, self._pipeline, {}, everyone)
        self._require(values.known, scene)
        out: list[list[float]] = [[] for _ in queries]
        for case in scene.cases:
            out[case.record].append(float(values.value[case.number]))
        return out

    def tokens(
        self,
        prompt: str,
        candidates: Sequence[str | Sequence[int]],
        *,
        shortlists: Shortlists | None = None,
    ) -> list[list[float]]:
        """Return the step scores of each candidate, before they are put together."""
        query = Query.of(prompt, candidates)
        return self.many_tokens([query], shortlists=None if shortlists is None else [shortlists])[0]

    def many_tokens(
        self, queries: Sequence[Query], *, shortlists: Sequence[Shortlists] | None = None
    ) -> list[list[list[float]]]:
        """Return the step scores of each query's candidates, before they are put together."""
        scene = self._scene(queries, shortlists)
        everyone = [case.number for case in scene.cases]
        found = step_scores(scene, self._declared, Trial(self._pipeline), everyone)
        known = np.array([number in found for number in everyone])
        self._require(known, scene)
        out: list[list[list[float]]] = [[] for _ in queries]
        for case in scene.cases:
            out[case.record].append(list(found[case.number].values))
        return out

    def _scene(self, queries: Sequence[Query], shortlists: Sequence[Shortlists] | None) -> Scene:
        rows = [
            ClaimRow(
                query=Query.of(
                    query.prompt,
                    query.candidates,
                    messages=query.messages,
                    prompt_ids=query.prompt_ids,
                    end=self._end or query.end,
                    boundary=self._boundary,
                    bos=self._bos,
                ),
                claims=tuple(
                    Claim(shortlist_ids=_lists(shortlists, record, place))
                    for place in range(len(query.candidates))
                ),
                where=f"query {record}",
            )
            for record, query in enumerate(queries)
        ]
        built = build(rows, self._model, self._settings)
        assert built is not None, "a model is evidence"
        return built.scene

    def _require(self, known: np.ndarray, scene: Scene) -> None:
        if known.all():
            return
        case = scene.cases[int(np.argmin(known))]
        msg = (
            f"{self!r} cannot score candidate {case.place} of query {case.record}: it would feed "
            f"more than the model's context, or nothing at all"
        )
        raise QueryError(msg)


def _lists(
    shortlists: Sequence[Shortlists] | None, record: int, place: int
) -> tuple[tuple[int, ...], ...] | None:
    if shortlists is None:
        return None
    return tuple(tuple(ids) for ids in shortlists[record][place])
