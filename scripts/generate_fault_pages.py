"""Write docs/faults: a page for each entry of the zoo of faults, and an index of them.

`--check` writes nothing and exits 1 where a page is stale, missing, or of no entry.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from pathlib import Path

from logpr.auditing.faults import FAULTS, STAGES, Fault
from logpr.auditing.faults._texts import page, words

FOLDER = Path(__file__).parents[1] / "docs" / "faults"
COLUMNS = 100
PLACE = re.compile(r"\{(\w+)\}")
SIGNS = {"alpha": "α", "epsilon": "ε"}

KINDS = {
    "fault": "a fault: wrong under every reading",
    "choice": "a choice: another quantity, right where that was asked for",
}
STAGE_DOES = {
    "encode": "which token ids are fed",
    "context": "what stands before y",
    "align": "which row of logits is read for which token",
    "normalise": "from a row and a token to the token's score",
    "mask": "which tokens count",
    "aggregate": "from the tokens' scores to one number",
    "unit": "from that number to the one that is printed",
}
HEAD = """\
# Faults

How scorers go wrong, as formulas. `logpr audit` tries each of these on the numbers that it is
given, alone and in pairs. A **fault** is wrong under every reading. A **choice** is another
quantity than log Pr(y | x), and right where that one was asked for.

A scorer is a chain of stages: encode → context → align → normalise → mask → aggregate → unit. An
entry changes one of them.

In the formulas x is the prompt, y = y_1 … y_n the continuation, u the row of logits that predicts
the token, and Pr(y_i | x, y_<i) = exp(u[y_i] − logsumexp(u)). In the lines of code `ids` are the
tokens of x and y, `m` is the number of tokens before y, `y` holds the tokens of y, `logits` the
rows that predict them, and `logp` their log-probabilities. ⟨dtype⟩ and the like stand for a
parameter's value.

An entry can be put to work: `logpr.auditing.faulty_scorer("mean", model="builtin")` returns a
scorer that has it, and `faulty_scorer(model="builtin")` one that has none. The numbers on these
pages come from such scorers.

Written by `make fault-pages` from the entries; `make docs` fails where a page is stale.
"""


def by_name(piece: str) -> str:
    """Return a piece of a text with the name of each parameter, or its sign, in its place."""
    return PLACE.sub(
        lambda place: SIGNS.get(place[1], place[1] if len(place[1]) == 1 else f"⟨{place[1]}⟩"),
        piece,
    )


def facts(fault: Fault) -> str:
    """Return what stands under the title: stage, kind, how it shows, the parameters."""
    said = (
        f"Stage {fault.stage} ({STAGE_DOES[fault.stage]}); {KINDS[fault.kind]}.",
        f"How it shows: {by_name(words(fault.id).shows)}.",
    )
    lines = [line for sentence in said for line in textwrap.wrap(sentence, COLUMNS)]
    if fault.parameters:
        lines += ["", "| parameter | an audit tries | how |", "|---|---|---|"]
        lines += [f"| `{spec.name}` | {spec.values} | {spec.found} |" for spec in fault.parameters]
    return "\n".join(lines)


def fault_page(fault: Fault) -> str:
    """Return the page of one entry."""
    _, body = page(fault.id)
    return f"# `{fault.id}`\n\n{facts(fault)}\n\n{body}\n[All faults](index.md)\n"


def cell(piece: str) -> str:
    """Return a piece as it can stand in a cell of a table."""
    return by_name(piece).replace("|", "\\|")


def index() -> str:
    """Return the page of all entries, stage by stage."""
    parts = [HEAD]
    for stage in STAGES:
        rows = [fault for fault in FAULTS.values() if fault.stage == stage]
        lines = [
            f"## {stage.capitalize()}",
            "",
            f"{STAGE_DOES[stage].capitalize()}.",
            "",
            "| id | kind | what is computed | how it shows |",
            "|---|---|---|---|",
        ]
        for fault in rows:
            text = words(fault.id)
            link = f"[`{fault.id}`]({fault.id}.md)"
            lines.append(f"| {link} | {fault.kind} | `{cell(text.used)}` | {cell(text.shows)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def pages() -> dict[str, str]:
    """Return every page by its file name."""
    return {"index.md": index()} | {f"{id_}.md": fault_page(it) for id_, it in FAULTS.items()}


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    fresh = pages()
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
    stale = sorted(name for name in fresh | found if fresh.get(name) != found.get(name))
    if check:
        for name in stale:
            print(f"docs/faults/{name} is stale; run: make fault-pages", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in fresh:
            (FOLDER / name).write_text(fresh[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
