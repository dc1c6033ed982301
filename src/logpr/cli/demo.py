"""`logpr demo`: worked examples, step by step: what goes wrong, what log Pr says, the lesson."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from logpr.cli import _options as opt
from logpr.cli._beside import beside
from logpr.cli._command import given, spelled
from logpr.cli._say import emit, say, shown
from logpr.cli.demos import SUMMARIES, Name, story
from logpr.errors import QueryError
from logpr.io.writers import write_whole
from logpr.report.demo import Story
from logpr.report.terminal import stories
from logpr.report.terminal import story as view

EXAMPLES = (
    "logpr demo",
    "logpr demo raw-logits",
    "logpr demo shortlist --html shortlist.html",
    "logpr demo raw-logits --picture raw-logits.svg",
    "logpr demo linear --json",
)


def demo(
    context: typer.Context,
    name: Annotated[
        Name | None,
        typer.Argument(metavar="NAME", help="Which one. Left out: a list of them."),
    ] = None,
    *,
    html: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also write it as one page that needs no other file.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
    picture: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.svg",
            help="Also write its picture: the numbers, the wrong way's pick, log Pr's pick.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the numbers as JSON.", rich_help_panel=opt.OUTPUT),
    ] = False,
) -> None:
    """Tell a worked example of how scores go wrong, step by step.

    raw-logits: sums of logits. greedy: the best first word. linear: u / Σu in place of softmax.
    lengths: dividing by the number of tokens. shortlist: a softmax over 50 tokens.

    Each says what is asked, what the wrong way computes, what log Pr says, the lesson, and the
    command to run on your own data. Every number is computed as it is told, from a few rows of
    numbers or by the built-in model; nothing is downloaded, and it takes seconds.
    """
    if name is None:
        _list(context, json=json)
        return
    page = None if html is None else beside("--html", html, f"{name}.html")
    drawing = None if picture is None else beside("--picture", picture, f"{name}.svg")
    told = story(name)
    if json:
        emit(told.to_dict())
    else:
        shown(view(told))
    _write(told, page, drawing)


def _list(context: typer.Context, *, json: bool) -> None:
    beside_it = given(context, "html", "picture")
    if beside_it:
        option = spelled(context, beside_it[0])
        msg = f"{option} is of one demo; name it: logpr demo {next(iter(SUMMARIES))} {option} FILE"
        raise QueryError(msg)
    if json:
        emit({"demos": [{"name": each, "about": about} for each, about in SUMMARIES.items()]})
        return
    shown(stories(tuple(SUMMARIES.items())))


def _write(told: Story, page: Path | None, drawing: Path | None) -> None:
    if page is not None:
        # Templates take 30 ms to load, for this option alone.
        from logpr.report.demo_page import page as html_of  # noqa: PLC0415 - as said

        write_whole(page, html_of(told))
        say(f"wrote the page to {page}")
    if drawing is not None:
        from logpr.report.demo_picture import svg  # noqa: PLC0415 - for this option alone

        write_whole(drawing, svg(told.picture))
        say(f"wrote the picture to {drawing}")
