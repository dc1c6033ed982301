"""`logpr check`: which laws of log Pr(y | x) a scorer's code keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

import logpr
from logpr._values import CheckReport
from logpr.cli import _options as opt
from logpr.cli._beside import beside
from logpr.cli._command import given, spelled
from logpr.cli._progress import Trying
from logpr.cli._say import emit, say, shown
from logpr.conformance.pairs import declared_words
from logpr.errors import QueryError
from logpr.io.writers import write_whole

CHECKED = "What is checked"
WHICH = "Which checks"

EXAMPLES = (
    "logpr check my_package.my_module:score",
    "logpr check --factory my_package.my_module:make --declares per_token=true,dtype=float64",
    "logpr check minicons --html check.html",
    "logpr check http://localhost:8000/v1 --declares boundary=joint",
    "logpr check 'python scorer.py --model {model}' --only chain_rule,oracle",
    "logpr check my_module:score --expect-failure 'batch_composition=no mask, issue 12'",
    "logpr check --list",
)

_ALONE = ("only", "skip", "expect_failure")
"""Options that say which checks run."""

_OF_TARGETS = ("factory", "declares", "toy", "api_model")


def check(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="pkg.mod:fn, a completions URL, a command that answers JSON Lines, or a known "
            "package (minicons, lm-eval, …). None: logpr itself, on the built-in model.",
            show_default=False,
        ),
    ] = None,
    *,
    factory: Annotated[
        bool,
        typer.Option(
            "--factory",
            help="TARGET is make(model_folder), which returns a scorer: it is run on the suite's "
            "own models, whose log-probabilities are known exactly.",
            rich_help_panel=CHECKED,
        ),
    ] = False,
    declares: Annotated[
        str | None,
        typer.Option(
            metavar="unit=bits,end=stop",
            help="What its numbers are said to be: unit (nats, bits, log10, probability, "
            "perplexity), aggregate (sum, mean), end (open, stop), per_token, ids, boundary "
            "(separate, joint, split, verbatim), bos (auto, always, never), dtype (float64, "
            "float32, bfloat16, float16). Left out: log Pr(y | x) in nats.",
            rich_help_panel=CHECKED,
        ),
    ] = None,
    toy: Annotated[
        Literal["gpt2", "llama"] | None,
        typer.Option(
            help="Which of the suite's models a factory is handed; default gpt2.",
            rich_help_panel=CHECKED,
            show_default=False,
        ),
    ] = None,
    api_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of a URL that serves several models.",
            rich_help_panel=CHECKED,
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.01,
            help="How long one call may take.",
            rich_help_panel=CHECKED,
        ),
    ] = 60.0,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ID,ID", help="Run these checks alone.", rich_help_panel=WHICH),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="ID,ID", help="Leave these out.", rich_help_panel=WHICH),
    ] = None,
    expect_failure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=REASON",
            help="A check that is known to fail, and why; once for each. Where it passes, it is "
            "stale, and the exit code is 1.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of the cases drawn by lot.", rich_help_panel=WHICH),
    ] = 0,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="CASE",
            help="Run one case alone, by its id in a report.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    list_: Annotated[
        bool,
        typer.Option("--list", help="List all checks and leave.", rich_help_panel=WHICH),
    ] = False,
    json: opt.Json = False,
    html: opt.Html = None,
    junit: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also write the report as JUnit XML, for CI.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
) -> None:
    """Check a scorer's code: say which laws of log Pr(y | x) it keeps, and which it breaks.

    A scorer is fn(prompt, candidates), which returns one number a candidate. Of one that holds its
    own model, laws are told from its own numbers alone; a factory, make(model_folder), is handed
    the suite's models, whose numbers are known, and every law is tried. A command reads
    {"id": 0, "prompt": "…", "candidates": ["…"]} and writes {"id": 0, "scores": […]}, a line each.

    This is about code, whatever numbers it is asked for: not about numbers that were printed
    (logpr audit), and not about the installation and a model (logpr doctor). Exit code 0: every
    law that is a MUST is kept. 1: one is not, the scorer gave no numbers, or a failure that was
    expected did not come. 2: the input cannot be used.
    """
    if list_:
        _refuse_beside_list(context, target)
        _list(json=json)
        return
    expected = _expected(expect_failure)
    pages = {
        option: beside(option, name, example)
        for option, name, example in (
            ("--html", html, "check.html"),
            ("--junit", junit, "check.xml"),
        )
        if name is not None
    }
    if replay is not None and given(context, *_ALONE):
        name = spelled(context, given(context, *_ALONE)[0])
        msg = f"--replay runs one case alone, and {name} says which checks run; leave one out"
        raise QueryError(msg)
    if target is None:
        _refuse_without_target(context)
    said = {} if declares is None else declared_words(declares)
    # The suite is imported by whoever checks something, and by nobody else.
    from logpr.cli import _targets  # noqa: PLC0415 - as said

    opened = (
        _targets.ourselves(time_limit)
        if target is None
        else _targets.typed(
            target, declared=said, factory=factory, time_limit=time_limit, api_model=api_model
        )
    )
    with opened as named, _targets.stdout_apart(), Trying() as trying:
        if toy is not None and not named.target.factory:
            msg = (
                f"--toy says which of the suite's models a factory is handed, and {target} holds a "
                f"model of its own; leave it out, or give a factory"
            )
            raise QueryError(msg)
        report = logpr.check(
            named.target,
            declares=named.declares,
            only=_split(only),
            skip=_split(skip) or (),
            expected_failures=expected,
            architecture=toy or ("llama" if named.architecture == "llama" else "gpt2"),
            seed=seed,
            time_limit=time_limit,
            replay=replay,
            progress=trying,
        )
    _give(report, json=json, pages=pages)
    raise typer.Exit(report.exit_code)


def _refuse_without_target(context: typer.Context) -> None:
    found = given(context, *_OF_TARGETS)
    if found:
        msg = (
            f"{spelled(context, found[0])} is about a TARGET, and none is given; write\n"
            f"  logpr check {'--factory ' if 'factory' in found else ''}pkg.mod:"
            f"{'make' if 'factory' in found else 'score'}"
        )
        raise QueryError(msg)


def _refuse_beside_list(context: typer.Context, target: str | None) -> None:
    others = [
        name
        for name in (parameter.name or "" for parameter in context.command.params)
        if name not in ("list_", "json", "target") and given(context, name)
    ]
    if target is not None or others:
        what = target if target is not None else spelled(context, others[0])
        msg = f"--list lists all checks and runs none; leave {what} out, or --list"
        raise QueryError(msg)


def _expected(texts: list[str] | None) -> dict[str, str]:
    """Return reasons by check."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, reason = (piece.strip() for piece in text.partition("="))
        if not (name and equals and reason):
            msg = (
                f"--expect-failure is ID=REASON; found {text!r}; write --expect-failure "
                f"'{name or 'batch_composition'}=why it fails'"
            )
            raise QueryError(msg)
        found[name] = reason
    return found


def _split(texts: list[str] | None) -> list[str] | None:
    """Return ids, given once or more, with commas between them."""
    if texts is None:
        return None
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def _list(*, json: bool) -> None:
    from logpr.conformance.laws import LAWS  # noqa: PLC0415 - as above

    if json:
        for law in LAWS.values():
            emit(
                {
                    "check": law.id,
                    "severity": law.severity,
                    "statement": law.statement,
                    "catches": law.catches,
                    "applies": list(law.applies),
                    "needs": list(law.needs),
                }
            )
        return
    table = Table.grid(padding=(0, 2))
    for law in LAWS.values():
        table.add_row(Text(law.id, "bold"), Text(law.severity), Text(law.statement))
    shown(table)


def _give(report: CheckReport, *, json: bool, pages: dict[str, Path]) -> None:
    if json:
        emit(report.to_dict())
    else:
        shown(report)
    for option, path in pages.items():
        if option == "--html":
            # Templates take 30 ms to load, for this option alone.
            from logpr.report.html import check_page  # noqa: PLC0415 - as said

            write_whole(path, check_page(report))
        else:
            from logpr.report.junit import junit  # noqa: PLC0415 - as above

            write_whole(path, junit(report))
        say(f"wrote the {'page' if option == '--html' else 'results'} to {path}")
