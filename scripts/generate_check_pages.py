"""Write docs/checks.md, a section for each check, and docs/kill-matrix.md, what each check finds.

The kill matrix takes a minute to run, so its outcome is kept in docs/kill-matrix.json.

    python scripts/generate_check_pages.py          # writes the pages from what is kept
    python scripts/generate_check_pages.py --run    # runs the matrix first, and keeps it
    python scripts/generate_check_pages.py --check  # writes nothing; exits 1 where a page is stale
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from logpr._values.check import CheckOutcome
from logpr.auditing.faults import FAULTS, STAGES
from logpr.conformance.declares import Declares
from logpr.conformance.laws import LAWS, Law
from logpr.conformance.matrix import CORRECT, MatrixRow, idle, kill_matrix
from logpr.conformance.mutants import EXACT, Mutant, mutants
from logpr.conformance.toy import VARIANTS

DOCS = Path(__file__).parents[1] / "docs"
TEXTS = DOCS / "_checks"
ROOM = "Room: "
WIDTH = 108
MOST = 4
"""Names in a cell."""

SIGNS: dict[CheckOutcome, str] = {
    "passed": ".",
    "failed": "X",
    "error": "E",
    "blocked": "o",
    "inconclusive": "?",
    "not_applicable": " ",
}
NEEDS = {
    "per_token": "token scores (`per_token`)",
    "text": "texts, not ids",
    "ids": "ids, not texts",
}
SHORT = {"per_token": "token scores", "text": "texts", "ids": "ids"}


def fragment(name: str) -> str:
    """Return a text that is kept by hand."""
    return (TEXTS / f"{name}.md").read_text(encoding="utf-8")


def filled(text: str) -> str:
    """Return a paragraph in lines."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def cell(text: str) -> str:
    """Return a text as it can stand in a cell of a table."""
    return text.replace("|", "\\|")


def room_and_text(check: str) -> tuple[str, str]:
    """Return what a check's text says of its room, and the text."""
    first, _, text = fragment(check).partition("\n")
    assert first.startswith(ROOM), f"docs/_checks/{check}.md says its room first"
    return first.removeprefix(ROOM), text.strip()


def stored() -> list[MatrixRow]:
    """Return the rows that are kept; a mutant of which none is kept has no outcome."""
    kept = json.loads((DOCS / "kill-matrix.json").read_text(encoding="utf-8"))
    by_id = {mutant.id: mutant for mutant in (CORRECT, *mutants())}
    return [
        MatrixRow(
            by_id[row["id"]],
            {check: cast("CheckOutcome", row.get(check, "passed")) for check in kept["checks"]},
        )
        for row in kept["rows"]
        if row["id"] in by_id
    ]


def matrix_json(rows: Sequence[MatrixRow]) -> str:
    """Return rows as they are kept: what is not said of a check is `passed`."""
    lines = [
        json.dumps(
            {"id": row.mutant.id}
            | {check: said for check, said in row.outcomes.items() if said != "passed"}
        )
        for row in rows
    ]
    joined = ",\n    ".join(lines)
    return f'{{\n  "checks": {json.dumps(list(LAWS))},\n  "rows": [\n    {joined}\n  ]\n}}\n'


def missing(rows: Sequence[MatrixRow]) -> list[str]:
    """Return what the kept rows say nothing of: scorers, then checks."""
    wanted = [CORRECT.id, *(mutant.id for mutant in mutants())]
    out = [name for name in wanted if name not in {row.mutant.id for row in rows}]
    return out + [name for name in LAWS if any(name not in row.outcomes for row in rows)]


def untold() -> list[str]:
    """Return the checks that have no text."""
    return [name for name in LAWS if not (TEXTS / f"{name}.md").is_file()]


def link(mutant: Mutant) -> str:
    """Return a mutant's name, leading to where it is explained."""
    page = f"faults/{mutant.id}.md" if mutant.zoo else "kill-matrix.md#habits"
    return f"[`{mutant.id}`]({page})"


def of_check(check: str) -> str:
    """Return a check's name, leading to its section."""
    return f"[`{check}`](checks.md#{check})"


def wrong(rows: Iterable[MatrixRow]) -> list[MatrixRow]:
    """Return the rows of mutants."""
    return [row for row in rows if row.mutant.id != CORRECT.id]


def kills(check: str, rows: Sequence[MatrixRow]) -> list[MatrixRow]:
    """Return the rows of what a check kills."""
    return [row for row in wrong(rows) if check in row.killed_by]


def alone(check: str, rows: Sequence[MatrixRow]) -> list[MatrixRow]:
    """Return the rows of what a check kills and no other does."""
    return [row for row in wrong(rows) if row.killed_by == (check,)]


def facts(law: Law) -> str:
    """Return what the suite itself says of a check: when it applies, and on what it runs."""
    names = ", ".join(f"`{name}`" for name in law.models)
    own = "; for any scorer, on its own model" if law.own else ""
    said = [f"{law.severity}. For a factory, on {names}{own}."]
    if len(law.applies) == 1:
        said.append(f"Under `end={law.applies[0]}` alone.")
    needs = [NEEDS[need] for need in law.needs if need in NEEDS]
    if needs:
        said.append(f"Needs {' and '.join(needs)}.")
    if law.after:
        said.append(f"After {', '.join(f'[`{name}`](#{name})' for name in law.after)}.")
    room, _ = room_and_text(law.id)
    return filled(" ".join([*said, f"{ROOM}{room}"]))


def killed(law: Law, rows: Sequence[MatrixRow]) -> str:
    """Return what a check kills, in a paragraph."""
    found, every = kills(law.id, rows), wrong(rows)
    listed, but = found, ""
    if len(found) > len(every) / 2:
        listed, but = [row for row in every if row not in found], "all but "
    names = ", ".join(link(row.mutant) for row in listed)
    only = [link(row.mutant) for row in alone(law.id, rows)]
    more = f" No other check kills {', '.join(only)}." if only else ""
    return filled(f"**Kills** {len(found)} of {len(every)}: {but}{names}.{more}")


def section(law: Law, rows: Sequence[MatrixRow]) -> str:
    """Return a check's section."""
    _, text = room_and_text(law.id)
    parts = (f"## {law.id}", f"> {law.statement}", facts(law), text, killed(law, rows))
    return "\n\n".join(parts) + "\n"


def models() -> str:
    """Return the section of the suite's models."""
    lines = [fragment("_models"), "| model | what it is | checks |", "|---|---|---|"]
    for variant in VARIANTS.values():
        using = [f"[`{law.id}`](#{law.id})" for law in LAWS.values() if variant.name in law.models]
        most = f"{len(using)} of them" if len(using) > MOST else ", ".join(using)
        lines.append(f"| `{variant.name}` | {variant.about} | {most} |")
    return "\n".join(lines) + "\n"


def checks_page(rows: Sequence[MatrixRow]) -> str:
    """Return docs/checks.md."""
    lines = ["| check | | what it says | catches | needs |", "|---|---|---|---|---|"]
    for law in LAWS.values():
        needs = [] if law.own else ["factory"]
        needs += [SHORT[need] for need in law.needs if need in SHORT]
        needs += [f"end {law.applies[0]}"] if len(law.applies) == 1 else []
        row = (
            f"[`{law.id}`](#{law.id})",
            law.severity,
            law.statement,
            law.catches,
            ", ".join(needs),
        )
        lines.append(f"| {' | '.join(map(cell, row))} |")
    sections = [section(law, rows) for law in LAWS.values()]
    return "\n".join([fragment("_checks"), "\n".join(lines) + "\n", *sections, models()])


def declared(declares: Declares) -> str:
    """Return what a mutant declares beside what all do."""
    usual = dict(EXACT.pairs())
    other = [f"`{name}={said}`" for name, said in declares.pairs() if usual[name] != said]
    return ", ".join(other)


def summary(rows: Sequence[MatrixRow]) -> str:
    """Return what came of it: how many were killed, and what was not."""
    every = wrong(rows)
    zoo = sum(row.mutant.zoo for row in every)
    alive = [row for row in every if not row.killed_by]
    accused = [name for row in rows if row.mutant.id == CORRECT.id for name in row.killed_by]
    useless = idle(every)
    said = [f"{len(every)} scorers: {zoo} faults and choices, {len(every) - zoo} habits."]
    said.append(
        f"**Not killed: {', '.join(link(row.mutant) for row in alive)}.**"
        if alive
        else "Every one is killed by at least one check."
    )
    said.append(
        f"**The correct scorer is accused by {', '.join(map(of_check, accused))}.**"
        if accused
        else "The correct scorer is killed by none."
    )
    said.append(
        f"**Checks that kill nothing: {', '.join(map(of_check, useless))}.**"
        if useless
        else f"Each of the {len(LAWS)} checks kills at least one."
    )
    lone = sum(len(row.killed_by) == 1 for row in every)
    said.append(f"{lone} are killed by one check alone.")
    return filled(" ".join(said))


def grid(rows: Sequence[MatrixRow]) -> str:
    """Return every outcome, a line a scorer and a column a check, under the checks' numbers."""
    numbers = range(1, len(LAWS) + 1)
    width = max(len(row.mutant.id) for row in rows)
    tens = "".join(str(number // 10) if number % 10 == 0 else " " for number in numbers)
    ones = "".join(str(number % 10) for number in numbers)
    lines = [f"{'':{width}}  {digits}".rstrip() for digits in (tens, ones)]
    for row in rows:
        signs = "".join(SIGNS[row.outcomes[name]] for name in LAWS)
        lines.append(f"{row.mutant.id:{width}}  {signs}".rstrip())
    return "\n".join(lines)


def killers(rows: Iterable[MatrixRow], *, about: bool = False) -> list[str]:
    """Return the lines of a table of what kills each mutant."""
    lines = []
    for row in rows:
        name = f"`{row.mutant.id}`" if about else link(row.mutant)
        others = declared(row.mutant.declares)
        cell = row.mutant.about if about else others
        by = ", ".join(map(of_check, row.killed_by)) or "**nothing**"
        lines.append(f"| {name} | {cell} | {by} |")
    return lines


def matrix_page(rows: Sequence[MatrixRow]) -> str:
    """Return docs/kill-matrix.md.

    Args:
        rows: of the correct scorer and of every mutant, as `kill_matrix` returns them.
    """
    parts = [fragment("_matrix"), summary(rows) + "\n", fragment("_matrix_how")]
    lines = ["## Checks", "", "| | check | kills | alone |", "|---|---|---|---|"]
    for number, name in enumerate(LAWS, 1):
        only = ", ".join(link(row.mutant) for row in alone(name, rows))
        lines.append(f"| {number} | {of_check(name)} | {len(kills(name, rows))} | {only} |")
    parts.append("\n".join(lines) + "\n")
    parts.append(f"## Grid\n\n{fragment('_grid')}\n```text\n{grid(rows)}\n```\n")
    parts.append("## Faults\n\nBy the stage of the scorer that they are in.\n")
    for stage in STAGES:
        held = [row for row in rows if row.mutant.zoo and FAULTS[row.mutant.id].stage == stage]
        lines = [
            f"### {stage.capitalize()}",
            "",
            "| fault | declares | killed by |",
            "|---|---|---|",
        ]
        parts.append("\n".join([*lines, *killers(held)]) + "\n")
    habits = [row for row in wrong(rows) if not row.mutant.zoo]
    lines = ["## Habits", "", "Ways to go wrong that no formula has.", ""]
    lines += ["| habit | what it does | killed by |", "|---|---|---|", *killers(habits, about=True)]
    parts.append("\n".join(lines) + "\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts))


def pages(rows: Sequence[MatrixRow]) -> dict[str, str]:
    """Return each page by its file name."""
    return {"checks.md": checks_page(rows), "kill-matrix.md": matrix_page(rows)}


def check(rows: Sequence[MatrixRow]) -> int:
    """Return 1 where something is stale, and say what."""
    stale = [
        f"docs/{name} is stale; run: make check-pages"
        for name, text in pages(rows).items()
        if not (DOCS / name).is_file() or (DOCS / name).read_text(encoding="utf-8") != text
    ]
    stale += [
        f"docs/_checks/{path.name} belongs to no check; delete it"
        for path in sorted(TEXTS.glob("*.md"))
        if path.stem not in LAWS and not path.stem.startswith("_")
    ]
    for line in stale:
        print(line, file=sys.stderr)
    return 1 if stale else 0


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    parser.add_argument("--run", action="store_true", help="run the kill matrix first")
    options: Any = parser.parse_args()
    if options.run:
        rows = kill_matrix(progress=lambda name: print(name, file=sys.stderr))
        (DOCS / "kill-matrix.json").write_text(matrix_json(rows), encoding="utf-8")
    if untold():
        print(f"docs/_checks has no text of {', '.join(untold())}; write it", file=sys.stderr)
        return 1
    rows = stored()
    lacking = missing(rows)
    if lacking:
        print(
            f"docs/kill-matrix.json lacks {', '.join(lacking)}; run: make kill-matrix",
            file=sys.stderr,
        )
        return 1
    if options.check:
        return check(rows)
    for name, text in pages(rows).items():
        (DOCS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
