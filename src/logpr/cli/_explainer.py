"""Explaining what a command asked for: the line's candidates, a record, rankings, a whole file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import typer

from logpr._values import Ranking
from logpr.cli import _options as opt
from logpr.cli._asked import Asked
from logpr.cli._command import corrected, given, spelled
from logpr.cli._explained import Pairing, Places, index_of, refuse_for_index
from logpr.cli._files import (
    FileOptions,
    require_model,
    require_model_for,
    running,
    worked,
)
from logpr.cli._model import BUILTIN, ModelChoice
from logpr.cli._progress import Meter
from logpr.cli._records import (
    asked_anew,
    ranked_with_id,
    rankings_of,
    record_with_id,
    require_tokens,
)
from logpr.cli._say import say
from logpr.cli.rank import SAMPLE, Ranker
from logpr.errors import InputError, QueryError, RecordError
from logpr.io import RecordStream
from logpr.io.rankings import RankedFile, RankedRecord

_OF_RANKING = (
    *("rule", "neutral", "among", "end", "boundary", "bos"),
    *("map", "template", "sep", "on_error", "rejects", "window"),
)
"""Options that say how records are read and ranked: idle where they were ranked already."""

_OF_ASKING = ("end_ids", "special", "truncate", "alternatives", "marginal_budget")
"""Options that say how a model is asked."""

_EVERY = 256
"""Rankings between two steps of the progress bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """How it is explained, and by which model; what, its methods are told."""

    context: typer.Context
    ranker: Ranker
    pairing: Pairing
    places: Places
    choice: ModelChoice

    def of_the_line(self, asked: Asked) -> None:
        """Explain the candidates that stand on the command line."""
        query = asked.query()
        needed = any(candidate.needs_model for candidate in query.candidates)
        lm = self.choice.load() if needed else self.choice.load_named(self.context)
        (ranking,) = self.ranker.rank([query], lm)
        found = self.pairing.explain(ranking, query=query, model=lm, settings=self.ranker.settings)
        self.places.give(found)

    def of_the_sample(self, stream: RecordStream, wanted: str | None) -> None:
        """Explain one record of the sample that ships with logpr."""
        say(
            "no input: explaining a record of the sample that ships with logpr, by the built-in "
            "model. Your own:\n"
            "  logpr explain --prompt PROMPT CANDIDATE CANDIDATE ...\n"
            "  logpr explain FILE --model MODEL --id ID"
        )
        first = stream.peek()
        assert first is not None, "the sample has records"
        chosen = replace(self.choice, model=self.choice.model or BUILTIN)
        replace(self, choice=chosen).of_record(stream, wanted or str(first.query.id), SAMPLE)

    def of_record(self, stream: RecordStream, wanted: str, source: str) -> None:
        """Explain one record of a file."""
        record = record_with_id(stream, wanted)
        if self.choice.model is None:
            require_model_for(self.context, record, source)
        lm = self.choice.load_named(self.context)
        try:
            (ranking,) = self.ranker.rank([record.query], lm)
            found = self.pairing.explain(
                ranking, query=record.query, model=lm, settings=self.ranker.settings
            )
        except InputError as error:
            raise record.located(error) from error
        self.places.give(found)

    def of_file(self, stream: RecordStream, files: FileOptions, source: str) -> None:
        """Show all decisions of a file, which is ranked window by window."""
        refuse_for_index(self.context, source)
        if self.choice.model is None:
            require_model(self.context, stream, source)
        lm = self.choice.load_named(self.context)
        # What the tokens say is no part of an index.
        plain = replace(self.ranker.settings, evidence=False)
        ranker = replace(self.ranker, settings=plain, tokens=False)
        with running(stream, files, {}) as run:
            self._index(
                (ranking for _, ranking in worked(run, lambda queries: ranker.rank(queries, lm))),
                source,
            )

    def of_rankings(self, ranked: RankedFile, wanted: str | None) -> None:
        """Explain one ranking of a file that logpr wrote, or show all of them."""
        name = ranked.source.name
        idle = given(self.context, *_OF_RANKING)
        if idle:
            msg = (
                f"{name} has rankings already, and {spelled(self.context, idle[0])} says how "
                f"records are read and ranked; leave it out, or give the file that was ranked"
            )
            raise QueryError(msg)
        if wanted is None:
            self._refuse_idle_model(name)
            refuse_for_index(self.context, name)
            self._index(rankings_of(_metered(ranked)), name)
            return
        record = ranked_with_id(ranked, wanted, name)
        lm = self.choice.load_named(self.context)
        if lm is None:
            self._refuse_without_model()
            require_tokens(record, name)
            ranking = record.ranking
        else:
            ranking = asked_anew(record, lm, self.ranker.settings)
        try:
            found = self.pairing.explain(
                ranking, query=record.query, model=lm, settings=self.ranker.settings
            )
        except InputError as error:
            msg = f"{record.where}: {error}"
            raise type(error)(msg) from error
        self.places.give(found)

    def _index(self, rankings: Iterator[Ranking], source: str) -> None:
        found = index_of(rankings)
        if found is None:
            msg = f"{source}: no row of it could be ranked, so there is nothing to show"
            raise RecordError(msg)
        self.places.give_index(found)

    def _refuse_idle_model(self, name: str) -> None:
        beside = given(self.context, *opt.OF_MODELS, *_OF_ASKING)
        if beside:
            msg = (
                f"{spelled(self.context, beside[0])} is for asking a model, and an index of {name} "
                f"asks none: leave it out, or name the record to explain: --id ID"
            )
            raise QueryError(msg)

    def _refuse_without_model(self) -> None:
        beside = given(self.context, *_OF_ASKING, "influence", "span")
        if beside:
            command = corrected(
                self.context, self.context.params["inputs"] or (), {"model": "MODEL"}
            )
            msg = (
                f"{spelled(self.context, beside[0])} asks the model that ranked, and none is "
                f"named; write\n  {command}"
            )
            raise QueryError(msg)


def _metered(ranked: RankedFile) -> Iterable[RankedRecord]:
    with Meter.of(ranked.source) as meter:
        for record in ranked:
            yield record
            if record.index % _EVERY == _EVERY - 1:
                meter.advance(record.index + 1)
