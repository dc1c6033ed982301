"""The toy's endpoint: what an OpenAI-compatible server answers, with the closed form's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from logpr.conformance.toy import Toy, toy
from logpr.conformance.toy.endpoint import endpoint

Json = Any
"""A field of a request's body."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Return the URL of the suite's first toy."""
    with endpoint(toy("toy")) as found:
        yield found


def asked(url: str, status: int = 200, **body: Json) -> dict[str, Any]:
    """Return what a request is answered."""
    full = {"model": "toy:toy", "max_tokens": 0, "echo": True, "logprobs": 1, **body}
    found = httpx.post(f"{url}/completions", json=full, trust_env=False)
    assert found.status_code == status
    answer: dict[str, Any] = found.json()
    return answer


def test_models(url: str) -> None:
    """One model is listed, under the name that completions ask for."""
    found = httpx.get(f"{url}/models", trust_env=False).json()
    assert [each["id"] for each in found["data"]] == ["toy:toy"]


def test_an_echo_is_the_closed_form(url: str) -> None:
    """Tokens, places in the text, and the log-probability of each but the start token."""
    of: Toy = toy("toy")
    (choice,) = asked(url, prompt="ab cd")["choices"]
    said = choice["logprobs"]
    ids = of.pieces.encode("ab cd")
    assert said["tokens"] == ["<s>", *(of.pieces.names[token].decode() for token in ids)]
    assert said["text_offset"] == [0, 0, 2, 4]
    assert choice["text"] == "ab cd"
    assert said["token_logprobs"][0] is None
    truth = of.truth((of.pieces.start_id,), ids)
    assert said["token_logprobs"][1:] == pytest.approx(truth.token_logprobs, abs=1e-12)
    best = said["top_logprobs"]
    assert best[0] is None
    assert all(len(each) == 1 for each in best[1:])
    for own, top in zip(said["token_logprobs"][1:], best[1:], strict=True):
        assert own <= max(top.values()) + 1e-12


def test_a_toy_without_start_token() -> None:
    """Its first token has no log-probability."""
    with endpoint(toy("startless")) as url:
        (choice,) = asked(url, model="toy:startless", prompt="ab")["choices"]
    assert choice["logprobs"]["tokens"] == ["ab"]
    assert choice["logprobs"]["token_logprobs"] == [None]


def test_prompts_of_every_kind(url: str) -> None:
    """A text, a list of texts, ids and lists of ids; ids are fed as they are."""
    of = toy("toy")
    ids = [of.pieces.start_id, *of.pieces.encode("a c")]
    one = asked(url, prompt="a c")["choices"]
    two = asked(url, prompt=["a c", "b"])["choices"]
    by_ids = asked(url, prompt=ids)["choices"]
    lists = asked(url, prompt=[ids, ids[:2]])["choices"]
    assert [each["index"] for each in two] == [0, 1]
    for found in (two[0], by_ids[0], lists[0]):
        assert found["logprobs"]["tokens"] == one[0]["logprobs"]["tokens"]
        assert found["logprobs"]["token_logprobs"] == one[0]["logprobs"]["token_logprobs"]
    assert len(lists[1]["logprobs"]["tokens"]) == 2


def test_generation_is_greedy(url: str) -> None:
    """Behind an echo, and alone; without a number of tokens, at most sixteen."""
    of = toy("toy")
    start = (of.pieces.start_id, *of.pieces.encode("a"))
    best = int(of.rows([start])[0].argmax())
    (choice,) = asked(url, prompt="a", max_tokens=1)["choices"]
    logprob = of.truth(start, (best,)).logprob
    assert choice["logprobs"]["token_logprobs"][-1] == pytest.approx(logprob, abs=1e-12)
    assert len(choice["logprobs"]["tokens"]) == 3
    (alone,) = asked(url, prompt="a", max_tokens=1, echo=False)["choices"]
    assert alone["logprobs"]["token_logprobs"] == choice["logprobs"]["token_logprobs"][-1:]
    (free,) = asked(url, prompt="a", max_tokens=16, logprobs=None)["choices"]
    assert free["logprobs"] is None
    assert free["text"].startswith("a")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        pytest.param({"model": "other"}, 404, "'other' does not exist", id="model"),
        pytest.param({"prompt": "xyz"}, 400, "characters that the vocabulary has not", id="text"),
        pytest.param({"prompt": [99]}, 400, "from 0 to 13", id="ids"),
        pytest.param({"prompt": {}}, 400, "prompt must be", id="kind"),
        pytest.param({"prompt": "a" * 2_100}, 400, "maximum context length is 2100", id="long"),
        pytest.param({"logprobs": 99}, 400, "from 0 to 5", id="top"),
        pytest.param({"max_tokens": -1}, 400, "at least 0", id="most"),
    ],
)
def test_what_is_refused(url: str, body: dict[str, Any], status: int, says: str) -> None:
    """An error object with a message, as such servers give one."""
    found = asked(url, status=status, **{"prompt": "a", **body})
    assert says in found["error"]["message"]


def test_a_key_is_required_where_one_is_set() -> None:
    """401 without it."""
    with endpoint(toy("toy"), key="hidden") as url:
        assert httpx.get(f"{url}/models", trust_env=False).status_code == 401
        headers = {"Authorization": "Bearer hidden"}
        assert httpx.get(f"{url}/models", headers=headers, trust_env=False).status_code == 200
        assert httpx.get(f"{url}/else", headers=headers, trust_env=False).status_code == 404
