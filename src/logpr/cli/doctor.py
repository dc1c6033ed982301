"""`logpr doctor`: whether the installation is whole, the arithmetic right, a model run well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import typer
from rich.table import Table
from rich.text import Text

from logpr.cli import _options as opt
from logpr.cli._bench import model_checks
from logpr.cli._checks import Check, arithmetic, builtin, installation
from logpr.cli._group import MODEL_FAILED
from logpr.cli._model import ModelChoice
from logpr.cli._say import emit, say, shown
from logpr.report.texts import prose

EXAMPLES = (
    "logpr doctor",
    "logpr doctor --model ./my-model",
    "logpr doctor --model ./my-model --dtype bfloat16 --json",
)


def doctor(
    context: typer.Context,
    *,
    model: opt.Model = None,
    dtype: opt.Dtype = None,
    device: opt.Device = None,
    executor: opt.Executor = None,
    adapter: opt.Adapter = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    batch_invariant: opt.BatchInvariant = False,
    json: opt.Json = False,
) -> None:
    """Check the installation and a model: versions, arithmetic, executors, noise, speed.

    Exit code 3 where something that should work does not. This is about the installation and the
    model, not about numbers that another scorer gave.
    """
    choice = ModelChoice(
        model=model,
        dtype=dtype,
        device=device,
        executor=executor,
        adapter=adapter,
        trust_remote_code=trust_remote_code,
        batch_invariant=batch_invariant,
    )
    found: list[Check] = []
    for check in chain(_always(), _of_model(choice, context)):
        found.append(check)
        if not json:
            _draw([check])
    failed = [check.name for check in found if check.verdict == "failed"]
    if json:
        emit({"ok": not failed, "checks": [check.to_dict() for check in found]})
    if failed:
        say(f"failed: {', '.join(failed)}")
        raise typer.Exit(MODEL_FAILED)


def _always() -> Iterator[Check]:
    yield from installation()
    yield arithmetic()
    yield builtin()


def _of_model(choice: ModelChoice, context: typer.Context) -> Iterator[Check]:
    model = choice.load_named(context)
    if model is not None:
        yield from model_checks(model)


def _draw(checks: Iterable[Check]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=7)
    table.add_column(width=10)
    table.add_column(overflow="fold")
    styles = {
        "ok": "green",
        "absent": "dim",
        "skipped": "dim",
        "refused": "yellow",
        "failed": "bold red",
    }
    for check in checks:
        table.add_row(
            Text(check.verdict, styles[check.verdict]), Text(check.name), Text(prose(check.says))
        )
    shown(table)
