"""Quiet processes for the tests, and the examples of README.md, docs/ and docstrings run as tests.

Code blocks of documents, by their tag:

- `python`: the blocks of one document share their names. A comment `# -> …` states what the
  statement before it prints, or the repr of its value; `...` in it stands for any text, alone on a
  line for any lines. What a block prints must be stated.
- `console`: each `$ command` runs in a shell and must print the lines that follow it, `...` as
  above. A command may fail only where the next one is `$ echo $?`.
- `sh`, `json`, `yaml`, `toml`, `text`: to read, not to run. No other tag is known.

Examples in docstrings are ordinary doctests; those of one file share their names.

The working folder is a fresh one that holds a copy of `examples/`, as a clone's root does.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import doctest
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown import CodeBlockParser
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.parsers.rest import DocTestParser

ROOT = Path(__file__).parent
READ_ONLY = frozenset({"sh", "json", "yaml", "toml", "text"})
STATED = "# ->"
TIMEOUT_S = 120

# This file is read before any that imports NumPy or torch. Test files run side by side, so each
# process keeps to one thread; and no test may reach for a hub.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"


def expected_pattern(lines: list[str]) -> re.Pattern[str]:
    """Return the pattern of an output: `...` is any text, alone on a line any number of lines."""
    parts = []
    for line in lines:
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append("[^\n]*".join(map(re.escape, line.rstrip().split("..."))) + r"\n")
    return re.compile("".join(parts))


def difference(expected: list[str], printed: str) -> str | None:
    """Return None where `printed` is what the document says, else both, line against line."""
    found = [line.rstrip() for line in printed.rstrip().splitlines()]
    wanted = [line.rstrip() for line in "\n".join(expected).rstrip().splitlines()]
    if expected_pattern(wanted).fullmatch("".join(f"{line}\n" for line in found)):
        return None
    return "\n".join(difflib.unified_diff(wanted, found, "documented", "printed", lineterm=""))


def stated_outputs(source: str) -> list[tuple[int, str]]:
    """Return (line, text) of each `# -> text` comment."""
    return [
        (token.start[0], token.string.removeprefix(STATED).removeprefix(" "))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and token.string.startswith(STATED)
    ]


def run_statement(statement: ast.stmt, path: str, namespace: dict[str, Any]) -> tuple[str, str]:
    """Run one statement; return what it printed, and the repr of its value as a prompt shows it."""
    printed = io.StringIO()
    shown = ""
    with contextlib.redirect_stdout(printed):
        if isinstance(statement, ast.Expr):
            code = compile(ast.Expression(statement.value), path, "eval", dont_inherit=True)
            value = eval(code, namespace)  # noqa: S307 - the documents are ours
            shown = "" if value is None else f"{value!r}\n"
        else:
            code = compile(ast.Module([statement], []), path, "exec", dont_inherit=True)
            exec(code, namespace)  # noqa: S102 - as above
    return printed.getvalue(), shown


def run_python(example: Example) -> str | None:
    """Run a `python` block statement by statement against its `# ->` comments."""
    source = str(example.parsed)
    statements = ast.parse(source).body
    outputs = stated_outputs(source)
    if outputs and (not statements or outputs[0][0] < statements[0].lineno):
        return (
            "a `# ->` comment states what the statement before it prints; there is none before it"
        )
    for index, statement in enumerate(statements):
        last = index + 1 == len(statements)
        stop = sys.maxsize if last else statements[index + 1].lineno
        expected = [text for line, text in outputs if statement.lineno <= line < stop]
        ast.increment_lineno(statement, example.line)  # tracebacks then name the document's line
        printed, shown = run_statement(statement, example.path, example.namespace)
        if printed and not expected:
            return f"state what it prints, each line after `# -> `:\n{printed}"
        problem = difference(expected, printed + shown) if expected else None
        if problem:
            return problem
    return None


def console_steps(source: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with the lines documented after it; a trailing backslash continues it."""
    command: str | None = None
    expected: list[str] = []
    for line in source.splitlines():
        if command is not None and command.endswith("\\") and not expected:
            command += "\n" + line.removeprefix("> ")
        elif line.startswith("$ "):
            if command is not None:
                yield command, expected
            command, expected = line.removeprefix("$ "), []
        elif command is None:
            msg = f"a console block begins with `$ command`, not with {line!r}"
            raise ValueError(msg)
        else:
            expected.append(line)
    if command is not None:
        yield command, expected


def run_console(example: Example) -> str | None:
    """Run a `console` block command by command against its printed lines."""
    steps = list(console_steps(str(example.parsed)))
    status = 0
    for index, (command, expected) in enumerate(steps):
        # Each command gets a shell of its own, which has to be told how the last one ended.
        done = subprocess.run(  # noqa: S602 - the documents are ours, and their pipes need a shell
            f"(exit {status})\n{command}",
            shell=True,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=TIMEOUT_S,
        )
        status = done.returncode
        problem = difference(expected, done.stdout)
        if problem:
            return f"$ {command}\n{problem}"
        asked = index + 1 < len(steps) and steps[index + 1][0].startswith("echo $?")
        if status and not asked:
            return f"$ {command}\nexit code {status}; where that is meant, `$ echo $?` follows"
    return None


class UnknownTags:
    """Refuse code blocks that would silently not be run."""

    def __call__(self, document: Document) -> Iterable[Region]:
        """Raise ValueError on a fence whose tag is none of the known ones; claim no region."""
        for region in FencedCodeBlockLexer(".*")(document):
            tag = region.lexemes["language"]
            if tag not in READ_ONLY | {"python", "console"}:
                where = document.line_column(region.start)
                known = ", ".join(sorted(READ_ONLY | {"python", "console"}))
                msg = f"{document.path}, {where}: code block tagged {tag!r}; write one of {known}"
                raise ValueError(msg)
        return ()


def enter_folder(namespace: dict[str, Any]) -> None:
    """Move into a fresh working folder, with a terminal of fixed width and no colours."""
    stack = contextlib.ExitStack()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="logpr-docs-")))
    if (ROOT / "examples").is_dir():
        shutil.copytree(ROOT / "examples", folder / "examples")
    stack.enter_context(contextlib.chdir(folder))
    before = dict(os.environ)
    stack.callback(os.environ.update, before)
    stack.callback(os.environ.clear)
    commands = str(Path(sys.executable).parent)
    os.environ.update(
        COLUMNS="100",
        NO_COLOR="1",
        PATH=os.pathsep.join([commands, os.environ.get("PATH", os.defpath)]),
        TERM="dumb",
    )
    namespace["__docs__"] = stack


def leave_folder(namespace: dict[str, Any]) -> None:
    """Undo `enter_folder`."""
    namespace.pop("__docs__").close()


documents = Sybil(
    parsers=[
        UnknownTags(),
        CodeBlockParser("python", run_python),
        CodeBlockParser("console", run_console),
    ],
    patterns=["README.md", "docs/*.md", "docs/faults/*.md", "docs/cases/*.md"],
    setup=enter_folder,
    teardown=leave_folder,
)
docstrings = Sybil(
    parsers=[DocTestParser(doctest.ELLIPSIS)],
    path="src",
    pattern="*.py",
    setup=enter_folder,
    teardown=leave_folder,
)
pytest_collect_file = (documents + docstrings).pytest()
