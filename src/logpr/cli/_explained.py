"""Which two are explained, by what the prompt is cut, and where the explanation goes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import typer

import logpr
from logpr._explain import InfluenceOf, decisions_of
from logpr._values import Decisions, Explanation, Message, Query, Ranking
from logpr.cli._beside import beside
from logpr.cli._command import given, spelled
from logpr.cli._say import emit, say, shown
from logpr.errors import QueryError
from logpr.io.rankings import open_rankings
from logpr.io.writers import output_format, write_whole
from logpr.models.base import Model

OF_ONE = ("first", "second", "influence", "span", "plot", "alternatives", "markdown")
"""Options that mean something for one ranking alone."""

_PICTURES = (".png", ".svg")
_PLOTS = "logpr.report.plots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Which two candidates are explained, and which parts of the prompt are left out."""

    first: int | None
    second: int | None
    influence: InfluenceOf | None

    @classmethod
    def of(
        cls,
        *,
        first: int | None,
        second: int | None,
        influence: Literal["sentences", "turns"] | None,
        span: Sequence[str],
    ) -> Pairing:
        """Return what the options say.

        Raises:
            QueryError: a span is none, or the prompt is to be cut in two ways.
        """
        if span and influence is not None:
            msg = f"--span says what is left out, and so does --influence {influence}; give one"
            raise QueryError(msg)
        spans = [_span(text) for text in span]
        return cls(first=first, second=second, influence=spans or influence)

    def explain(
        self,
        ranking: Ranking,
        *,
        query: Query | None,
        model: Model | None,
        settings: logpr.Settings,
    ) -> Explanation:
        """Return why the one leads the other.

        Args:
            ranking: whose candidates they are.
            query: that was asked, where it is known.
            model: that ranked, where there is one.
            settings: of the ranking.

        Raises:
            InputError: as `logpr.explain`.
        """
        messages = None if query is None else query.messages
        self._require_parts(ranking, messages)
        return logpr.explain(
            ranking,
            first=self.first,
            second=self.second,
            model=model,
            influence=self.influence,
            messages=None if self.influence is None else messages,
            settings=settings,
            alternatives=settings.alternatives,
        )

    def _require_parts(self, ranking: Ranking, messages: Sequence[Message] | None) -> None:
        if self.influence is None:
            return
        if messages is not None and self.influence != "turns":
            msg = (
                "the prompt is a chat, and what is left out of it are turns: write "
                "--influence turns in place of --influence sentences or --span"
            )
            raise QueryError(msg)
        if messages is None and self.influence == "turns":
            msg = (
                "--influence turns leaves out turns of a chat, and the prompt is a text: write "
                "--influence sentences, or give the chat: --messages chat.json"
            )
            raise QueryError(msg)
        if messages is None and ranking.prompt is None:
            msg = (
                "--influence and --span leave out parts of the prompt's text, and no text of it is "
                "known here, only token ids or nothing: rank with a prompt of text"
            )
            raise QueryError(msg)


def _span(text: str) -> tuple[int, int]:
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError  # noqa: TRY301 - said below
        return int(start), int(end)
    except ValueError as error:
        msg = (
            f"--span {text}: a span is START:END, two numbers of the prompt's characters, the "
            f"first one being 0; write --span 0:12"
        )
        raise QueryError(msg) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where an explanation goes: the terminal, stdout as JSON or Markdown, and files beside."""

    html: Path | None
    plot: Path | None
    markdown: Path | None
    markdown_on_stdout: bool
    json: bool

    @classmethod
    def of(
        cls,
        *,
        html: str | None,
        plot: str | None,
        markdown: str | None,
        json: bool,
        source: str | None,
    ) -> Places:
        """Return what the options say; the files are looked at before anything is computed.

        Raises:
            InputError: one of them cannot be written.
            MissingExtraError: a picture is wanted, and matplotlib is not installed.
        """
        on_stdout = markdown == "-"
        if on_stdout and json:
            msg = "--json and --markdown - both take stdout; write --markdown explain.md"
            raise QueryError(msg)
        picture = None if plot is None else beside("--plot", plot, "explain.svg", source=source)
        if picture is not None and picture.suffix.lower() not in _PICTURES:
            msg = (
                f"--plot {plot}: its ending says which picture, {' or '.join(_PICTURES)}; write "
                f"--plot {picture.with_suffix('.svg')}"
            )
            raise QueryError(msg)
        if picture is not None:
            # Whether there is matplotlib is said before a model runs for nothing.
            import_module(_PLOTS)
        return cls(
            html=None if html is None else beside("--html", html, "explain.html", source=source),
            plot=picture,
            markdown=None
            if markdown is None or on_stdout
            else beside("--markdown", markdown, "explain.md", source=source),
            markdown_on_stdout=on_stdout,
            json=json,
        )

    def give(self, value: Explanation) -> None:
        """Show an explanation, and write its files."""
        if self.json:
            emit(value.to_dict())
        elif self.markdown_on_stdout:
            typer.echo(_markdown(value), nl=False)
        else:
            shown(value)
        if self.html is not None:
            write_page(value, self.html)
        if self.plot is not None:
            # matplotlib takes half a second, for this option alone.
            from logpr.report.plots import explanation_plot  # noqa: PLC0415 - as said

            explanation_plot(value, self.plot)
            say(f"wrote the picture to {self.plot}")
        if self.markdown is not None:
            write_whole(self.markdown, _markdown(value))
            say(f"wrote the Markdown to {self.markdown}")

    def give_index(self, value: Decisions) -> None:
        """Show what a whole file of rankings says, and write its page."""
        if self.json:
            emit(value.to_dict())
        else:
            shown(value)
        if self.html is not None:
            write_index(value, self.html)


def write_page(value: Explanation, path: Path) -> None:
    """Write the page of one explanation, and say where."""
    # Templates take 30 ms to load, for pages alone.
    from logpr.report.html import explanation_page  # noqa: PLC0415 - as said

    write_whole(path, explanation_page(value))
    say(f"wrote the page to {path}")


def write_index(value: Decisions, path: Path) -> None:
    """Write the page of a whole file of rankings, and say where."""
    from logpr.report.html import decisions_page  # noqa: PLC0415 - as in write_page

    write_whole(path, decisions_page(value))
    say(f"wrote the page of {value.total} rankings to {path}")


def index_of(rankings: Iterator[Ranking]) -> Decisions | None:
    """Return what a file of rankings shows, read to its end; None where it has none."""
    first = next(rankings, None)
    return None if first is None else decisions_of(itertools.chain([first], rankings))


def write_index_of_run(
    found: Decisions | None, path: Path, *, output: Path | None, resumed: int
) -> None:
    """Write the index of a run over a file.

    Of a run that went on where an earlier one had left off, this process saw the end alone: the
    output has all of it, without prompts unless they were kept.
    """
    if resumed:
        ranked = None
        if output is not None and output_format(output.name) != "csv":
            ranked = open_rankings(str(output))
        if ranked is None:
            say(
                f"no page was written: {resumed} records were ranked by an earlier process, and "
                f"{output} cannot be read back; the whole file again: --restart"
            )
            return
        found = index_of(record.ranking for record in ranked)
    if found is None:
        say(f"no page was written to {path}: there is no ranking to show")
        return
    write_index(found, path)


def _markdown(value: Explanation) -> str:
    from logpr.report.markdown import explanation  # noqa: PLC0415 - for this option alone

    text = explanation(value)
    return text if text.endswith("\n") else f"{text}\n"


def refuse_for_index(context: typer.Context, source: str) -> None:
    """Refuse options of one ranking where a whole file is shown.

    Raises:
        QueryError: says to name one.
    """
    useless = given(context, *OF_ONE)
    if useless:
        name = spelled(context, useless[0])
        msg = (
            f"{name} is for one ranking, and all of {source} is shown; name one of its records: "
            f"--id ID"
        )
        raise QueryError(msg)
