"""A completions URL as a scorer: the closed form through a real server, and servers that err."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import logpr
from logpr.conformance.declares import Declares
from logpr.conformance.targets.base import Request, ScorerError, Scoring
from logpr.conformance.targets.http import Url
from logpr.conformance.toy import Policy, Toy, toy
from logpr.conformance.toy.endpoint import endpoint
from logpr.conformance.toy.export import toy_of
from logpr.errors import QueryError

Json = Any
"""Whatever a server sends, or is sent."""

Body = dict[str, Json]
Change = Callable[[Body, Body], Json]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Return the URL of the suite's first toy."""
    with endpoint(toy("toy")) as found:
        yield found


@contextmanager
def opened(url: str, **declared: Json) -> Iterator[Scoring]:
    """Yield a URL, ready to be asked."""
    scoring = Url(url, declares=Declares(**declared), time_limit=5).open(None)
    try:
        yield scoring
    finally:
        scoring.close()


def scores(url: str, prompt: Json, *candidates: Json, **declared: Json) -> tuple[float, ...]:
    """Return what a URL says of one request."""
    with opened(url, **declared) as scoring:
        (answer,) = scoring.ask([Request(prompt, candidates)])
    assert answer.token_scores is not None
    assert answer.scores == pytest.approx([sum(each) for each in answer.token_scores])
    return answer.scores


def error(url: str, prompt: Json = "a", *candidates: Json, **declared: Json) -> ScorerError:
    """Return the error that a request ends in."""
    with pytest.raises(ScorerError) as caught:
        scores(url, prompt, *(candidates or ("d",)), **declared)
    return caught.value


TEXT = st.text("abcd z", max_size=6)


@pytest.mark.parametrize("policy", ["joint", "split"])
def test_every_text_is_the_closed_form(url: str, policy: Policy) -> None:
    """Under the two policies that score the whole text's own tokens, whatever straddles."""
    of = toy("toy")
    with opened(url, boundary=policy) as scoring:

        @given(prompt=TEXT, candidate=TEXT)
        def every_text(prompt: str, candidate: str) -> None:
            truth = of.truth(*of.read(prompt, candidate, policy=policy)).logprob
            (answer,) = scoring.ask([Request(prompt, (candidate,))])
            assert answer.scores == pytest.approx([truth], abs=1e-9)

        every_text()


@pytest.mark.parametrize("policy", ["separate", "verbatim"])
def test_a_straddling_token_is_refused_or_none(url: str, policy: Policy) -> None:
    """Where the two agree with the text's own tokens it is the closed form; else it is refused."""
    of = toy("toy")
    with opened(url, boundary=policy) as scoring:

        @given(prompt=TEXT, candidate=TEXT)
        def every_text(prompt: str, candidate: str) -> None:
            context, tokens = of.read(prompt, candidate, policy=policy)
            asked = [Request(prompt, (candidate,))]
            if context + tokens == (of.pieces.start_id, *of.pieces.encode(prompt + candidate)):
                truth = of.truth(context, tokens).logprob
                assert scoring.ask(asked)[0].scores == pytest.approx([truth], abs=1e-9)
                return
            with pytest.raises(ScorerError, match="reaches over the end of the prompt") as caught:
                scoring.ask(asked)
            assert caught.value.refusal
            assert "boundary=joint" in caught.value.message

        every_text()


def test_characters_of_several_tokens() -> None:
    """Tokens inside characters count where their character stands."""
    of = toy("bytes")
    with endpoint(of) as url, opened(url, boundary="joint") as scoring:

        @given(text=st.text(max_size=4), cut=st.integers(0, 4))
        def every_text(text: str, cut: int) -> None:
            prompt, candidate = text[:cut], text[cut:]
            truth = of.truth(*of.read(prompt, candidate, policy="joint")).logprob
            (answer,) = scoring.ask([Request(prompt, (candidate,))])
            assert answer.scores == pytest.approx([truth], abs=1e-9)

        every_text()


class OnEndpoint:
    """A factory target: each model of the suite behind an endpoint of its own."""

    name = "endpoint"
    factory = True

    def __init__(self, declares: Declares) -> None:
        self._declares = declares

    def open(self, folder: Path | None) -> Scoring:
        """Return the URL of the toy in a folder."""
        assert folder is not None
        return Behind(toy_of(folder), self._declares)


class Behind:
    """A toy's URL, asked while its server runs."""

    vocab_size = None

    def __init__(self, of: Toy, declares: Declares) -> None:
        self._serving = endpoint(of)
        self._scoring = Url(self._serving.__enter__(), declares=declares).open(None)
        self.together = self._scoring.together
        self.ask, self.said = self._scoring.ask, self._scoring.said

    def close(self) -> None:
        """Close both."""
        self._scoring.close()
        self._serving.__exit__(None, None, None)


@pytest.mark.parametrize("declared", [{"boundary": "joint"}, {"ids": True}])
def test_the_whole_suite_through_a_server(declared: dict[str, Json]) -> None:
    """Every law that applies is kept, to the last digits of float64."""
    declares = Declares(per_token=True, dtype="float64", **declared)
    report = logpr.check(OnEndpoint(declares), declares=declares)
    assert (report.failed, report.error, report.blocked) == ((), (), ())
    assert len(report.passed) >= 25
    assert report.exit_code == 0


def test_ids_are_sent_as_they_are(url: str) -> None:
    """END inside a candidate too; an empty candidate scores 0."""
    of = toy("toy")
    prompt = (of.pieces.start_id, 0, 1)
    candidates = ((2,), (of.pieces.end_id, 3), ())
    truths = [of.truth(prompt, each).logprob for each in candidates]
    assert scores(url, prompt, *candidates, ids=True) == pytest.approx(truths, abs=1e-9)


def test_many_requests_of_one_call(url: str) -> None:
    """More prompts than one HTTP request carries come back in order."""
    of = toy("toy")
    scoring = Url(url, declares=Declares()).open(None)
    requests = [Request("a" * n, ("d", "d" * 2)) for n in range(1, 50)]
    answers = scoring.ask(requests)
    scoring.close()
    assert scoring.together
    for request, answer in zip(requests, answers, strict=True):
        for candidate, score in zip(request.candidates, answer.scores, strict=True):
            context, tokens = of.read(str(request.prompt), str(candidate))
            assert score == pytest.approx(of.truth(context, tokens).logprob, abs=1e-9)


def test_without_a_start_token_the_first_has_no_number() -> None:
    """It is refused, not scored as 0."""
    with endpoint(toy("startless")) as url:
        found = error(url, "", "ab")
        assert found.refusal
        assert "the first token of all" in found.message
        of = toy("startless")
        assert scores(url, "ab", "d") == pytest.approx(
            [of.truth(of.pieces.encode("ab"), of.pieces.encode("d")).logprob], abs=1e-9
        )


def test_too_long_a_prompt_is_a_refusal(url: str) -> None:
    """The server's own message comes through, with its status."""
    found = error(url, "a" * 2_200, "b")
    assert (found.kind, found.refusal, found.fatal) == ("raised", True, False)
    assert "answered 400: This model's maximum context length is 2100 tokens" in found.message


def test_the_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment, logpr's own name first."""
    with endpoint(toy("toy"), key="s3cret-key") as url:
        monkeypatch.delenv("LOGPR_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        found = error(url)
        assert found.fatal
        assert "answered 401" in found.message
        assert "LOGPR_API_KEY" in found.message
        monkeypatch.setenv("OPENAI_API_KEY", "other")
        assert "401" in error(url).message
        monkeypatch.setenv("LOGPR_API_KEY", "s3cret-key")
        assert len(scores(url, "a", "d")) == 1
        assert "s3cret" not in error(url, "a" * 2_200).message


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("http://u:p@h:1/v1/?k=v", "http://h:1/v1/"),
        ("https://host/v1/completions", "https://host/v1/completions"),
    ],
)
def test_a_report_calls_it_by_its_url(typed: str, name: str) -> None:
    """Without what may be secret in it."""
    assert Url(typed).name == name


@pytest.mark.parametrize(
    ("typed", "declared", "says"),
    [
        ("http://", {}, "http://HOST:PORT/v1"),
        ("http://h:port/v1", {}, "http://HOST:PORT/v1"),
        ("http://h/v1/chat/completions", {}, "give the server's completions: http://h/v1/com"),
        ("http://h/v1", {"end": "stop"}, "END is not scored"),
        ("http://h/v1", {"unit": "bits"}, "leave unit=bits out"),
        ("http://h/v1", {"aggregate": "mean"}, "leave aggregate=mean out"),
    ],
)
def test_what_no_such_endpoint_can_be(typed: str, declared: Json, says: str) -> None:
    """It is said before anything is sent."""
    with pytest.raises(QueryError, match=says):
        Url(typed, declares=Declares(**declared))


@contextmanager
def between(url: str, change: Change, *, models: Json = None) -> Iterator[str]:
    """Serve what `change` makes of an endpoint's requests and answers.

    It is called with the request's body and a function's answer to it, and returns a JSON value,
    bytes, or (status, either).
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.give({"data": [{"id": "toy:toy"}]} if models is None else models)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = {k: v for k, v in body.items() if k != "prompt_logprobs"}
            if "prompt_logprobs" in body:
                asked |= {"echo": True, "logprobs": 1}
            answer = httpx.post(f"{url}/completions", json=asked, trust_env=False).json()
            self.give(change(body, answer))

        def give(self, found: Json) -> None:
            status, found = found if isinstance(found, tuple) else (200, found)
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            with suppress(ConnectionError):  # whoever asked has given up
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *arguments: Json) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def truth(prompt: str, candidate: str) -> float:
    """Return the closed form under `joint`."""
    of = toy("toy")
    return of.truth(*of.read(prompt, candidate, policy="joint")).logprob


def no_zero(body: Body, answer: Body) -> Json:
    """Refuse max_tokens=0, as some servers do."""
    if body["max_tokens"] == 0:
        return 400, {"detail": "max_tokens must be at least 1"}
    return answer


def no_lists(body: Body, answer: Body) -> Json:
    """Take one prompt at a time."""
    if isinstance(body["prompt"], list):
        return 422, {"error": {"message": "one prompt, please"}}
    return answer


def breaks_at_lists(body: Body, answer: Body) -> Json:
    """Break at several prompts without a word, as llama-cpp-python's server does."""
    return (500, {"error": {"message": ""}}) if isinstance(body["prompt"], list) else answer


def counted_offsets(body: Body, answer: Body) -> Json:
    """Count the start token's own letters in text_offset, as vLLM does."""
    del body
    for choice in answer["choices"]:
        names = choice["logprobs"]["tokens"]
        choice["logprobs"]["text_offset"] = [sum(map(len, names[:n])) for n in range(len(names))]
    return answer


def silent_start(body: Body, answer: Body) -> Json:
    """Spell the start token as nothing, as llama.cpp does."""
    del body
    for choice in answer["choices"]:
        choice["logprobs"]["tokens"][0] = ""
    return answer


def marked_spaces(body: Body, answer: Body) -> Json:
    """Name spaces as SentencePiece does; `text_offset` alone says where a token stands."""
    del body
    for choice in answer["choices"]:
        said = choice["logprobs"]
        said["tokens"] = [name.replace(" ", "\u2581") for name in said["tokens"]]
    return answer


def endless_zero(body: Body, answer: Body) -> Json:
    """Take max_tokens=0 for no limit: what was generated stands behind the echo."""
    if body["max_tokens"] == 0:
        for choice in answer["choices"]:
            said = choice["logprobs"]
            said["text_offset"] += [len(choice["text"]), len(choice["text"]) + 1]
            said["tokens"] += ["d", "a"]
            said["token_logprobs"] += [-5.0, -6.0]
            choice["text"] += "da"
    return answer


def turned(body: Body, answer: Body) -> Json:
    """Give the choices in another order, numbered."""
    del body
    answer["choices"].reverse()
    return answer


def only_listed(body: Body, answer: Body) -> Json:
    """Echo nothing, but take prompt_logprobs."""
    listed = body.get("prompt_logprobs")
    for choice in answer["choices"]:
        said = choice.pop("logprobs")
        choice["text"] = "d"
        if listed is not None:
            choice["prompt_logprobs"] = [
                None if value is None else {"7": {"logprob": value, "decoded_token": name}}
                for name, value in zip(said["tokens"], said["token_logprobs"], strict=True)
            ]
            if body["max_tokens"]:
                choice["prompt_logprobs"].pop()
    return answer


@pytest.mark.parametrize(
    "change",
    [
        no_zero,
        no_lists,
        breaks_at_lists,
        counted_offsets,
        silent_start,
        marked_spaces,
        endless_zero,
        turned,
    ],
)
def test_servers_that_do_it_otherwise(url: str, change: Change) -> None:
    """Whatever a server refuses, adds or spells otherwise, the numbers are the closed form's."""
    with between(url, change) as other:
        for prompt in ("a", "", "ab c"):
            found = scores(other, prompt, "dd", "b", "cab", boundary="joint")
            wanted = [truth(prompt, each) for each in ("dd", "b", "cab")]
            assert found == pytest.approx(wanted, abs=1e-9)


def spaceless(body: Body, answer: Body) -> Json:
    """Name and count tokens without their spaces, so that their places are wrong."""
    del body
    for choice in answer["choices"]:
        said = choice["logprobs"]
        names = said["tokens"] = [name.strip(" ") for name in said["tokens"]]
        said["text_offset"] = [sum(map(len, names[1:n])) for n in range(len(names))]
    return answer


def chat_only(body: Body, answer: Body) -> Json:
    """Give what was generated alone, as llama.cpp's server does."""
    del body
    for choice in answer["choices"]:
        choice["text"], choice["logprobs"] = "c", {"content": []}
    return answer


def short(body: Body, answer: Body) -> Json:
    """Lose a choice."""
    del body
    answer["choices"] = answer["choices"][1:]
    return answer


def words(body: Body, answer: Body) -> Json:
    """Give texts for numbers."""
    del body
    for choice in answer["choices"]:
        said = choice["logprobs"]
        said["token_logprobs"] = [None, *map(str, said["token_logprobs"][1:])]
    return answer


def uneven(body: Body, answer: Body) -> Json:
    """Lose a number."""
    del body
    answer["choices"][0]["logprobs"]["token_logprobs"].pop()
    return answer


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        pytest.param(chat_only, "wrong_shape", "did not echo the prompt", id="no-echo"),
        pytest.param(short, "wrong_shape", "1 choices to 2 prompts", id="choices"),
        pytest.param(words, "not_numbers", "as log-probability of token 1", id="texts"),
        pytest.param(uneven, "wrong_shape", "token_logprobs is", id="uneven"),
        pytest.param(
            lambda *_: b"<html>busy", "wrong_shape", "answered no JSON: '<html>", id="html"
        ),
        pytest.param(lambda *_: [1], "wrong_shape", "wanted is a JSON object", id="list"),
        pytest.param(lambda *_: {}, "wrong_shape", "choices is None", id="empty"),
        pytest.param(lambda *_: (500, {"error": "oom"}), "raised", "answered 500: oom", id="500"),
        pytest.param(lambda *_: (302, b""), "raised", "answered 302: nothing", id="302"),
    ],
)
def test_servers_that_err(url: str, change: Change, kind: str, says: str) -> None:
    """Each is told in a sentence."""
    with between(url, change) as other:
        found = error(other, "a", "b", "c")
    assert found.kind == kind
    assert says in found.message
    assert not found.refusal


def lost_characters(body: Body, answer: Body) -> Json:
    """Name parts of characters as nothing, and the first token's start none, as llama.cpp does."""
    del body
    for choice in answer["choices"]:
        said = choice["logprobs"]
        said["tokens"] = [name if name.isascii() else "" for name in said["tokens"][1:]]
        said["text_offset"] = said["text_offset"][1:]
        said["token_logprobs"] = [None, *said["token_logprobs"][2:]]
    return answer


def test_text_offset_decides_where_names_are_lost() -> None:
    """A first token of the text is no start token, though it has no log-probability either."""
    of = toy("bytes")
    with endpoint(of) as url, between(url, lost_characters, models=MODELS) as other:
        for prompt, candidate in (("caf", "é 😀"), ("a", "b"), ("c", "d日本")):
            wanted = of.truth(*of.read(prompt, candidate, policy="joint")).logprob
            found = scores(other, prompt, candidate, boundary="joint")
            assert found == pytest.approx([wanted], abs=1e-9)


MODELS = {"data": [{"id": "toy:bytes"}]}


def test_places_that_are_none_are_refused(url: str) -> None:
    """A sum over other tokens than the candidate's would be silent."""
    with between(url, spaceless) as other:
        found = error(other, "a c b", "dd", boundary="joint")
    assert found.kind == "wrong_shape"
    assert "text_offset puts" in found.message


def test_prompt_logprobs_where_nothing_is_echoed(url: str) -> None:
    """Texts are found by the tokens' own words; ids by their number."""
    of = toy("toy")
    with between(url, only_listed) as other:
        found = scores(other, "ab", "dd", "b", boundary="joint")
        assert found == pytest.approx([truth("ab", "dd"), truth("ab", "b")], abs=1e-9)
        prompt = (of.pieces.start_id, 0)
        found = scores(other, prompt, (1, 2), ids=True)
        assert found == pytest.approx([of.truth(prompt, (1, 2)).logprob], abs=1e-9)


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ({"data": [{"id": "one"}, {"id": "two"}]}, "serves 2 models, one, two; name one"),
        ({"data": []}, "lists no model"),
        ({"data": "none"}, "lists no model"),
    ],
)
def test_several_models_are_not_chosen_from(url: str, models: Json, says: str) -> None:
    """One has to be named; then nothing is listed at all."""
    with between(url, lambda _, answer: answer, models=models) as other:
        assert says in error(other).message
        scoring = Url(other, model="toy:toy").open(None)
        assert scoring.ask([Request("a", ("d",))])[0].scores == pytest.approx([truth("a", "d")])
        scoring.close()


def test_a_server_that_adds_to_ids_is_caught(url: str) -> None:
    """By what it counts."""

    def adding(body: Body, answer: Body) -> Body:
        return {**answer, "usage": {"prompt_tokens": len(body["prompt"]) + 1}}

    with between(url, adding) as other:
        assert "counts 4 prompt tokens where 3 ids" in error(other, (12, 0), (1,), ids=True).message


def test_a_server_that_is_down() -> None:
    """It cannot be reached, and is asked no more."""
    with endpoint(toy("toy")) as url:
        pass
    found = error(url)
    assert (found.kind, found.fatal) == ("died", True)
    assert "cannot be reached" in found.message


@pytest.mark.parametrize("times", [1, 9])
def test_a_server_that_hangs_up(times: int) -> None:
    """Once is a connection that was closed as it was used again; twice is told."""
    left = [times]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if left[0]:
                left[0] -= 1
                return
            data = b'{"data": [{"id": "m"}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Json) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    target = Url(f"http://127.0.0.1:{server.server_address[1]}")
    try:
        if times == 1:
            target.open(None).close()
        else:
            with pytest.raises(ScorerError, match="broke off: RemoteProtocolError") as caught:
                target.open(None)
            assert caught.value.kind == "died"
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_that_is_slow(url: str) -> None:
    """The time limit holds for the whole call."""

    def slow(body: Body, answer: Body) -> Body:
        del body
        time.sleep(2)
        return answer

    with between(url, slow) as other:
        scoring = Url(other, time_limit=0.3).open(None)
        with pytest.raises(ScorerError, match=r"no answer within 0\.3 s") as caught:
            scoring.ask([Request("a", ("b",))])
        scoring.close()
    assert (caught.value.kind, caught.value.fatal) == ("timed_out", True)


def test_a_server_that_is_busy_is_asked_again(url: str) -> None:
    """After 429 and 503, as long as there is time."""
    statuses = [429, 503]

    def busy(body: Body, answer: Body) -> Json:
        del body
        return (statuses.pop(), {"error": "busy"}) if statuses else answer

    with between(url, busy) as other:
        assert scores(other, "a", "d") == pytest.approx([truth("a", "d")])
    assert not statuses
