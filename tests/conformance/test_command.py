"""A program as a scorer: the protocol, and programs that die, hang, chatter or answer otherwise."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from logpr.conformance import toy_scorer, write_folder
from logpr.conformance.declares import Declares
from logpr.conformance.targets.base import Answer, Request, ScorerError, Scoring
from logpr.conformance.targets.command import Command
from logpr.conformance.toy import toy

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands are run on POSIX systems")

Field = Any
Program = Callable[[str], str]

ASKED = Request("ab", (" c", "d"))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return a function that writes a program in Python, and returns the command that runs it."""

    def write(code: str) -> str:
        path = tmp_path / f"program{len(list(tmp_path.iterdir()))}.py"
        path.write_text(code, encoding="utf-8")
        return f"{sys.executable} {path}"

    return write


@contextmanager
def opened(
    command: str, folder: Path | None = None, time_limit: float = 20.0, **declared: Field
) -> Iterator[Scoring]:
    """Yield a command, ready to be asked."""
    scoring = Command(command, declares=Declares(**declared), time_limit=time_limit).open(folder)
    try:
        yield scoring
    finally:
        scoring.close()


def error(command: str, *requests: Request, **more: Field) -> ScorerError:
    """Return the error that asking a command ends in."""
    with opened(command, **more) as scoring, pytest.raises(ScorerError) as caught:
        scoring.ask(requests or (ASKED,))
    return caught.value


def test_requests_are_answered_by_their_ids(program: Program) -> None:
    """All are written before one is read; answers may come in any order, call after call."""
    code = """
import json, sys
lines = [json.loads(sys.stdin.readline()) for _ in range(3)]
for asked in reversed(lines):
    print(json.dumps({"id": asked["id"], "scores": [-len(c) for c in asked["candidates"]]}))
asked = json.loads(sys.stdin.readline())
print(json.dumps({"id": asked["id"], "scores": [asked["id"]]}))
"""
    with opened(program(code)) as scoring:
        assert scoring.together
        answers = scoring.ask([ASKED, Request("", ("",)), Request("é", ("😀\ud800",))])
        assert answers == [Answer((-2.0, -1.0)), Answer((0.0,)), Answer((-2.0,))]
        assert scoring.ask([Request("", ("x",))]) == [Answer((3.0,))]


def test_what_is_sent(program: Program) -> None:
    """A text and texts, or ids and lists of ids; one line each, in ASCII."""
    code = """
import json, sys
for line in sys.stdin:
    assert line.isascii()
    asked = json.loads(line)
    print(json.dumps({"id": asked["id"], "error": repr(asked)}))
"""
    found = error(program(code), Request("é", (" c",)))
    assert "{'id': 0, 'prompt': 'é', 'candidates': [' c']}" in found.message
    found = error(program(code), Request((1, 2), ((3,), ())), ids=True)
    assert "{'id': 0, 'prompt_ids': [1, 2], 'candidate_ids': [[3], []]}" in found.message


def test_a_command_made_for_a_model(program: Program, tmp_path: Path) -> None:
    """`{model}` stands for the folder, whatever is in its name; scores and token scores come."""
    command = program("""
import json, sys
from logpr.conformance import toy_scorer
score = toy_scorer(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    scores, tokens = score(asked["prompt"], asked["candidates"])
    print(json.dumps({"id": asked["id"], "scores": scores, "token_scores": tokens}))
""")
    assert not Command(command).factory
    assert Command(f"{command} {{model}}").factory
    folder = write_folder(toy("toy"), tmp_path / "a 'toy'; $HOME")
    scores, tokens = toy_scorer(str(folder))("ab", ["dd", " c"])
    with opened(f"{command} {{model}}", folder, per_token=True) as scoring:
        (answer,) = scoring.ask([Request("ab", ("dd", " c"))])
    assert answer == Answer(tuple(scores), tuple(map(tuple, tokens)))


def test_an_error_is_a_refusal(program: Program) -> None:
    """With its message; one without is none."""
    code = 'import sys\nfor line in sys.stdin: print(\'{"id": 0, "error": %s}\')'
    found = error(program(code % '"too long"'))
    assert (found.kind, found.refusal, found.fatal) == ("raised", True, False)
    assert found.message == "the command answered with an error: too long"
    assert not error(program(code % '""')).refusal


def test_nan_is_a_number_and_null_is_none(program: Program) -> None:
    """As Python's json writes it."""
    code = 'import sys\nfor line in sys.stdin: print(\'{"id": 0, "scores": %s}\')'
    with opened(program(code % "[NaN, -Infinity]")) as scoring:
        assert scoring.ask([ASKED])[0].scores[1] == float("-inf")
    assert error(program(code % "[null, 1]")).kind == "not_numbers"
    assert error(program(code % '["1", 1]')).kind == "not_numbers"
    assert error(program(code % "[1]")).kind == "wrong_shape"
    assert error(program(code % "{}")).kind == "wrong_shape"


@pytest.mark.parametrize(
    ("answer", "declared", "says"),
    [
        ('{"id": 0}', {}, "wanted is {'id': …, 'scores': […]}"),
        ('{"id": 0, "scores": [1, 2]}', {"per_token": True}, "wanted are 'token_scores' too"),
        ('{"id": 0, "scores": [1, 2], "token_scores": [[1]]}', {}, "a list of token scores for"),
    ],
)
def test_answers_without_what_is_wanted(
    program: Program, answer: str, declared: dict[str, Field], says: str
) -> None:
    """They say what came."""
    code = f"import sys\nfor line in sys.stdin: print({answer!r})"
    found = error(program(code), **declared)
    assert found.kind == "wrong_shape"
    assert says in found.message


def test_chatter_is_told_apart(program: Program) -> None:
    """Lines that answer nothing are printed ones; stderr is what was said before the answer."""
    code = """
import json, sys
print("loading")
for line in sys.stdin:
    asked = json.loads(line)
    print("warning: cut to 8 tokens", file=sys.stderr)
    for n in range(30): print("[1, 2]", n)
    print(json.dumps({"id": "seven", "scores": []}))
    print(json.dumps({"id": asked["id"], "scores": [0, 0]}))
"""
    with opened(program(code)) as scoring:
        scoring.ask([ASKED])
        said = scoring.said()
        assert said[:3] == ["warning: cut to 8 tokens", "printed: loading", "printed: [1, 2] 0"]
        assert said[-1] == "printed: … and 24 more lines"
        assert scoring.said() == []
        scoring.ask([ASKED])
        assert scoring.said()[0] == "warning: cut to 8 tokens"


def test_much_goes_both_ways_at_once(program: Program) -> None:
    """Pipes fill on both sides, and nobody waits for the other."""
    code = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print("x" * 100_000, file=sys.stderr)
    print(json.dumps({"id": asked["id"], "scores": [0.0] * len(asked["candidates"])}))
"""
    requests = [Request("a" * 20_000, tuple("b" * 1_000 for _ in range(100)))] * 40
    with opened(program(code)) as scoring:
        answers = scoring.ask(requests)
    assert [len(answer.scores) for answer in answers] == [100] * 40


def test_a_program_that_dies(program: Program) -> None:
    """Its exit code and its last lines are told; without an answer before, it is asked no more."""
    code = """
import sys
sys.stdin.readline()
print("first", file=sys.stderr)
raise RuntimeError("boom")
"""
    found = error(program(code))
    assert (found.kind, found.fatal) == ("died", True)
    assert "ended with exit code 1 before it answered; its last lines: " in found.message
    assert found.message.endswith("RuntimeError: boom")
    found = error(program("import os; os.kill(os.getpid(), 9)"))
    assert "was ended by signal SIGKILL" in found.message


def test_a_program_that_dies_of_one_request_is_started_again(program: Program) -> None:
    """It may do well with others."""
    code = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if not asked["prompt"]: sys.exit(5)
    print(json.dumps({"id": asked["id"], "scores": [1.0] * len(asked["candidates"])}))
"""
    with opened(program(code)) as scoring:
        assert scoring.ask([ASKED]) == [Answer((1.0, 1.0))]
        with pytest.raises(ScorerError, match="exit code 5") as caught:
            scoring.ask([Request("", ("x",))])
        assert not caught.value.fatal
        assert scoring.ask([ASKED]) == [Answer((1.0, 1.0))]


def test_a_program_that_left_a_child_behind_is_dead(program: Program) -> None:
    """Though the child holds its pipes open; and the child is ended with it."""
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid)
"""
    started = time.monotonic()
    with opened(program(code)) as scoring:
        with pytest.raises(ScorerError, match="ended with exit code 0"):
            scoring.ask([ASKED])
        (said,) = scoring.said()
    assert time.monotonic() - started < 15
    assert ended(int(said.removeprefix("printed: ")))


def ended(pid: int) -> bool:
    """Return whether a process is gone, or is but waited for."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        time.sleep(0.05)
    return False


def test_a_program_that_hangs_is_ended_with_all_it_started(program: Program) -> None:
    """In time; what it began goes with it, and the likely cause is named."""
    code = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, file=sys.stderr)
time.sleep(60)
"""
    found = error(program(code), time_limit=2.0)
    assert (found.kind, found.fatal) == ("timed_out", True)
    assert "answered 0 of 1 requests within 2 s" in found.message
    assert "flush" in found.message
    assert ended(int(found.message.rpartition(" ")[2]))


def test_a_program_that_floods_stdout_is_ended_in_time(program: Program) -> None:
    """What it writes is counted, not kept."""
    found = error(program("while True: print('x' * 60)"), time_limit=1.0)
    assert found.kind == "timed_out"


def test_a_line_without_end_is_cut(program: Program) -> None:
    """Memory is bounded."""
    found = error(program("import sys\nwhile True: sys.stdout.write('x' * 65536)"))
    assert (found.kind, found.fatal) == ("wrong_shape", True)
    assert "more than 16 MiB" in found.message


def test_closing_ends_it(program: Program) -> None:
    """A program that reads on ends by itself; one that does not is ended."""
    stays = """
import json, os, sys, time
asked = json.loads(sys.stdin.readline())
print(json.dumps({"id": asked["id"], "scores": [os.getpid(), 0]}))
time.sleep(60)
"""
    reads = stays.replace("time.sleep(60)", "sys.stdin.read()")
    for code, most in ((reads, 1.9), (stays, 10.0)):
        scoring = Command(program(code)).open(None)
        (answer,) = scoring.ask([ASKED])
        started = time.monotonic()
        scoring.close()
        assert time.monotonic() - started < most
        assert ended(int(answer.scores[0]))
