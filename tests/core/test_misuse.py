"""What callers get who pass the wrong kind of thing, without a type checker in their process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CASES = {
    "logpr.Query.of('x', 'one text')": ("WrongTypeError", "candidates is a list; found the single"),
    "logpr.Query.of('x', {'text': 'y'})": ("WrongTypeError", "candidates is a list"),
    "logpr.Query.of('x', [3.5])": ("WrongTypeError", "a candidate is text, a list of token ids"),
    "logpr.Query.of('x', [None])": ("WrongTypeError", "a candidate is"),
    "logpr.Query.of('x', [[1.5]])": ("WrongTypeError", "a candidate is"),
    "logpr.Query.of('x', [b'x'])": ("WrongTypeError", "a candidate is"),
    "logpr.Query.of('x', [{'text': 3}])": ("WrongTypeError", "text is a string; found 3"),
    "logpr.Query.of('x', [{'token_ids': ['a']}])": (
        "WrongTypeError",
        "token_ids are whole numbers",
    ),
    "logpr.Query.of('x', [{'token_logprobs': ['-1']}])": ("WrongTypeError", "expected a number"),
    "logpr.Query.of(messages=[{'role': 'user'}])": ("WrongTypeError", "a message is"),
    "logpr.rank('x', L, rule=5)": ("WrongTypeError", "a rule is a name or a logpr.Rule, found 5"),
    "logpr.rank('x', L, model=5)": ("WrongTypeError", "model is what logpr.load returns"),
    "list(logpr.rank_many(['x']))": ("WrongTypeError", "queries are logpr.Query values"),
    "logpr.rank('x', None)": ("WrongTypeError", "candidates is None"),
    "logpr.rank('x', L, end='shut')": ("QueryError", "end is one of 'open', 'stop'"),
    "logpr.rank('x', L, boundary='clean')": ("QueryError", "boundary is one of 'separate'"),
    "logpr.rank('x', L, bos='yes')": ("QueryError", "bos is one of 'auto'"),
    "logpr.rank('x', L, truncate='right')": ("QueryError", "truncate is 'left' or None"),
    "logpr.rank('x', L, special='no')": ("QueryError", "special is 'auto'"),
    "logpr.Query.of(b'x', L)": ("WrongTypeError", "a prompt is text; found b'x'"),
    "logpr.Query.of([1, 2], L)": ("WrongTypeError", "ids go into prompt_ids"),
    "logpr.rank('x', L, among='ab', rule='vocab_subset')": ("QueryError", "among is a list"),
    "logpr.next(logits=[1, 2], names='ab')": ("QueryError", "names is a list"),
    "logpr.load('builtin', cache_bytes='1G')": (
        "WrongTypeError",
        "cache_bytes is a whole number of bytes, found '1G': give a number such as cache_bytes=",
    ),
    "logpr.load('x', kv_bytes=True)": ("WrongTypeError", "kv_bytes is a whole number of bytes"),
    "logpr.load('x', kv_bytes=1e9)": ("WrongTypeError", "found 1000000000.0"),
    "logpr.load('x', pack_tokens='64')": ("WrongTypeError", "a whole number of tokens, found '64'"),
    "logpr.rank('x', L, model='nosuch:thing')": ("UnknownNameError", "nosuch"),
}

PROGRAM = """
import json, sys, logpr
L = [{"token_logprobs": [-1.0]}]
found = {}
for case in json.load(sys.stdin):
    try:
        eval(case)
        found[case] = ["nothing", ""]
    except Exception as error:
        found[case] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[str]]:
    """Run every case in one fresh process, where nothing checks annotations."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(list(CASES)),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", CASES)
def test_misuse_gets_a_named_error(case: str, outcomes: dict[str, list[str]]) -> None:
    """Each wrong call raises its own error, whose message shows what was found."""
    kind, words = CASES[case]
    name, message = outcomes[case]
    assert name == kind, message
    assert words in message
