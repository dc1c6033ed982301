"""The command line: each verb parses, calls one verb of the library, and renders."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from logpr._version import __version__
from logpr.cli import audit, check, decode, demo, doctor, explain, next_token, rank, score
from logpr.cli._group import Verbs, report_bug

__all__ = ["app", "main"]

app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _examples(commands: Iterable[str]) -> str:
    # The backslashes keep "[" from being markup.
    return "\n".join(line.replace("[", "\\[") for line in ("Examples:", *commands))


def _verb(name: str, function: Callable[..., None], examples: Iterable[str]) -> None:
    # A paragraph on one line: the terminal's width breaks it, not this file's.
    paragraphs = (function.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, help=text, epilog=_examples(examples))(function)


@app.callback(
    invoke_without_command=True,
    epilog=_examples(
        (
            "logpr rank",
            demo.EXAMPLES[1],
            next_token.EXAMPLES[1],
            rank.EXAMPLES[1],
            explain.EXAMPLES[1],
            decode.EXAMPLES[0],
            audit.EXAMPLES[1],
            check.EXAMPLES[0],
            "logpr doctor",
        )
    ),
)
def _logpr(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.")
    ] = False,
) -> None:
    """log Pr(y | x) under a language model: computed, ranked, and shown with its evidence."""
    if version:
        typer.echo(f"logpr {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


_verb("rank", rank.rank, rank.EXAMPLES)
_verb("score", score.score, score.EXAMPLES)
_verb("next", next_token.next_token, next_token.EXAMPLES)
_verb("explain", explain.explain, explain.EXAMPLES)
_verb("decode", decode.decode, decode.EXAMPLES)
_verb("audit", audit.audit, audit.EXAMPLES)
_verb("check", check.check, check.EXAMPLES)
_verb("demo", demo.demo, demo.EXAMPLES)
_verb("doctor", doctor.doctor, doctor.EXAMPLES)


def main() -> None:
    """Run the command line and leave with its exit code."""
    _open_streams()
    try:
        app()
    except Exception as error:  # noqa: BLE001 - whatever comes here is a bug, and is said to be one
        sys.exit(report_bug(error))


def _open_streams() -> None:
    # Python has None for a stream that was closed by whoever started it (`>&-`, some daemons).
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null, "r" if name == "stdin" else "w", encoding="utf-8"))
