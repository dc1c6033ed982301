"""Completion endpoints as models: the closed form through a real server, and servers that err."""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import logpr
from logpr.conformance.toy import Toy, toy
from logpr.conformance.toy.endpoint import _Served, endpoint
from logpr.conformance.toy.export import write_folder
from logpr.conformance.toy.forward import logprobs
from logpr.errors import (
    ContextLengthError,
    EmptyContextError,
    MissingFileError,
    ModelError,
    ModelLoadError,
    ModelOutputError,
    QueryError,
)
from logpr.models.base import Evidence, Glimpses, Glimpsing, Model
from logpr.models.openai import EndpointModel, wire
from logpr.models.openai.address import address_of
from logpr.tokens.pack import Pack
from logpr.tokens.trie import TokenTrie

Json = Any
Body = dict[str, Json]
Change = Callable[[Body, Body], Json]
"""Of a request's body and the toy's answer: what is sent instead; with a status, as a pair."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "WAIT", 0.001)
    for name in ("LOGPR_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the tokenizer's folder of a toy."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = write_folder(toy(name), tmp_path_factory.mktemp(name))
        return made[name]

    return folder


@contextmanager
def served(of: Toy, change: Change, *, models: Json = None) -> Iterator[str]:
    """Serve what `change` makes of a toy's answers; yield the URL."""
    inner = _Served(of)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def do_GET(self) -> None:
            self.give(inner.models() if models is None else models)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                answer = inner.completions(body)
            except Exception as error:  # noqa: BLE001 - the toy's own refusals
                self.give((400, {"error": {"message": str(error)}}))
                return
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
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # whoever hung up
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def opened(folders: Callable[[str], Path]) -> Iterator[Callable[..., EndpointModel]]:
    """Return the model behind a toy's endpoint, which may be changed."""
    with ExitStack() as stack:

        def open_(name: str = "bytes", change: Change | None = None, **more: Json) -> EndpointModel:
            serving = endpoint(toy(name)) if change is None else served(toy(name), change, **more)
            url = stack.enter_context(serving)
            model = logpr.load(f"{url}#tokenizer={folders(name)}")
            assert isinstance(model, EndpointModel)
            return model

        yield open_


def prefixes_of(of: Toy) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw ids that begin with the start token."""
    ordinary = st.sampled_from(of.pieces.ordinary)
    return st.lists(ordinary, max_size=5).map(lambda ids: (of.pieces.start_id, *ids))


def require_contract(of: Toy, prefix: tuple[int, ...], found: Glimpses, place: int = 0) -> int:
    """Check that listed numbers are the closed form and the others bounded; return how many."""
    ids = found.token_ids[place][found.token_ids[place] >= 0]
    values = found.logprobs[place][: len(ids)]
    row = logprobs(of.rows([prefix]))[0]
    np.testing.assert_allclose(values, row[ids], rtol=0, atol=1e-9)
    rest = np.delete(row, ids).max()
    assert rest <= values.min(initial=0.0) + 1e-12
    assert rest <= math.log1p(-min(1 - 1e-15, np.exp(values).sum())) + 1e-9
    return len(ids)


def choice_changed(change: Callable[[Body, Body], None]) -> Change:
    """Change every choice of an answer."""

    def changed(body: Body, answer: Body) -> Json:
        for choice in answer["choices"]:
            change(body, choice)
        return answer

    return changed


def ids_by_name(of: Toy) -> dict[str, int]:
    """Return the id of each name that the toy gives a token."""
    inner = _Served(of)
    return {inner._name(token): token for token in range(of.pieces.vocab_size)}


# What an endpoint gives


def test_it_is_a_model_that_shows_its_best(opened: Callable[..., EndpointModel]) -> None:
    """Its type says what it can do; provenance, how it was asked; no noise is claimed."""
    model = opened()
    assert isinstance(model, Model)
    assert isinstance(model, Glimpsing)
    assert not hasattr(model, "next_logits")
    told = model.provenance
    assert (told.backend, told.executor, told.noise_per_token) == ("openai", "echo, top 5", 0.0)
    assert told.model.endswith("/v1#model=toy:bytes")
    assert (model.vocab_size, model.context_length, model.end_ids) == (262, 2100, (261,))


def test_lists_are_the_closed_form(opened: Callable[..., EndpointModel]) -> None:
    """All that is listed, parts of characters and special tokens too; the rest is bounded."""
    of, model = toy("bytes"), opened("bytes")

    @settings(max_examples=30)
    @given(prefix=prefixes_of(of))
    def every_prefix(prefix: tuple[int, ...]) -> None:
        assert require_contract(of, prefix, model.next_top([prefix])) == 5

    every_prefix()


def test_many_prefixes_come_back_in_order(opened: Callable[..., EndpointModel]) -> None:
    """More of them than one request carries."""
    of, model = toy("bytes"), opened("bytes")
    prefixes = [(of.pieces.start_id, token) for token in range(100)]
    found = model.next_top(prefixes)
    for place, prefix in enumerate(prefixes):
        require_contract(of, prefix, found, place)
    assert model.next_top([]).token_ids.shape == (0, 0)


def pack_of(of: Toy) -> tuple[Pack, list[float]]:
    """Return questions about the toy, and their answers."""
    start = of.pieces.start_id
    trie = TokenTrie()
    asked = [((start, 0, 2), (3,)), ((start, 0), (2,)), ((start, 0, 2, 3), (1,)), ((start,), (4,))]
    for context, tokens in asked:
        trie.ask(context, tokens)
    pack = trie.pack()[0]
    return pack, [
        float(logprobs(of.rows([pack.path(int(node))]))[0][token])
        for node, token in zip(pack.edge_nodes, pack.edge_tokens, strict=True)
    ]


def test_given_tokens_are_scored_by_echo(opened: Callable[..., EndpointModel]) -> None:
    """Any token after any prefix."""
    pack, truth = pack_of(toy("toy"))
    scores = opened("toy").edges(pack)
    np.testing.assert_allclose(scores.logprob, truth, rtol=0, atol=1e-9)
    assert scores.logit is None
    assert scores.logz is None


@pytest.mark.parametrize("end", ["open", "stop"])
def test_the_verbs_score_with_it(opened: Callable[..., EndpointModel], end: str) -> None:
    """Rankings are the closed form's, END included, and END of two tokens is their sum."""
    of, model = toy("toy"), opened("toy")
    ranking = logpr.rank(prompt="ab", candidates=[" cd", "a", "z"], model=model, end=end)
    for score in ranking.candidates:
        truth = of.truth(score.prompt_ids, score.token_ids, end).logprob
        assert score.logprob == pytest.approx(truth, abs=1e-9)
    two = logpr.score("ab", "", model=model, end="stop", end_ids=(of.pieces.end_id, 2))
    row = logprobs(of.rows([(of.pieces.start_id, *of.pieces.encode("ab"))]))[0]
    assert two.logprob == pytest.approx(np.logaddexp(row[of.pieces.end_id], row[2]), abs=1e-9)


def test_what_an_endpoint_cannot_say_is_refused(opened: Callable[..., EndpointModel]) -> None:
    """Ranks and entropies, nothing before the first token, more than the context."""
    of, model = toy("toy"), opened("toy")
    pack, _ = pack_of(of)
    with pytest.raises(QueryError, match="entropies and alternatives are of whole distributions"):
        model.edges(pack, evidence=Evidence(columns=True))
    with pytest.raises(EmptyContextError):
        model.next_top([()])
    with pytest.raises(ContextLengthError, match=r"2101 tokens, and the context of .* holds 2100"):
        model.next_top([(0,) * 2100])
    trie = TokenTrie()
    trie.ask((), (0,))
    with pytest.raises(EmptyContextError):
        model.edges(trie.pack()[0])


# Other servers' shapes


def vllm(of: Toy, *, echoes: bool) -> Change:
    """Name tokens by id where that is asked for; score prompts by `prompt_logprobs`."""
    ids = ids_by_name(of)

    def change(body: Body, answer: Body) -> Json:
        prompt = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
        for choice, sent in zip(answer["choices"], prompt, strict=True):
            said = choice["logprobs"]
            if body.get("echo") and not echoes:
                choice["logprobs"] = None
            elif body.get("return_tokens_as_token_ids"):
                said["top_logprobs"] = [
                    each and {f"token_id:{ids[name]}": value for name, value in each.items()}
                    for each in said["top_logprobs"]
                ]
                # In front of what was generated, the names are those of the ids sent.
                given = list(sent) if body.get("echo") else []
                made = [ids[max(each, key=each.get)] for each in choice["_best"][len(given) :]]
                said["tokens"] = [f"token_id:{token}" for token in (*given, *made)]
            if "prompt_logprobs" in body:
                rows = logprobs(of.rows([sent[:size] for size in range(1, len(sent))]))
                choice["prompt_logprobs"] = [None] + [
                    {str(token): {"logprob": float(row[token]), "decoded_token": "?"}}
                    for token, row in zip(sent[1:], rows, strict=True)
                ]
        return {**answer, "usage": {"prompt_tokens": sum(map(len, prompt))}}

    def with_best(body: Body, answer: Body) -> Json:
        for choice in answer["choices"]:
            choice["_best"] = (choice["logprobs"] or {}).get("top_logprobs")
        return change(body, answer)

    return with_best


@pytest.mark.parametrize("echoes", [True, False])
def test_tokens_by_id_need_no_names(opened: Callable[..., EndpointModel], *, echoes: bool) -> None:
    """Rows of the head that no text holds are listed too; prompts are scored one way or another."""
    of = toy("toy")
    models = {"data": [{"id": "toy:toy", "max_model_len": 77}]}
    model = opened("toy", vllm(of, echoes=echoes), models=models)
    way = "echo" if echoes else "prompt_logprobs"
    assert model.provenance.executor == f"{way}, top 5"
    assert model.context_length == 77

    @settings(max_examples=30)
    @given(prefix=prefixes_of(of))
    def every_prefix(prefix: tuple[int, ...]) -> None:
        assert require_contract(of, prefix, model.next_top([prefix])) == 5

    every_prefix()
    pack, truth = pack_of(of)
    np.testing.assert_allclose(model.edges(pack).logprob, truth, rtol=0, atol=1e-9)


def llama_cpp(of: Toy, *, ids: bool) -> Change:
    """Answer as llama.cpp's server: a list of tokens with id and bytes, and no echo."""
    known = ids_by_name(of)

    def item(name: str, value: float) -> Body:
        token = known[name]
        piece = of.pieces.names[token] if token < of.pieces.start_id else b""
        found: Body = {"token": "\ufffd", "bytes": list(piece), "logprob": value}
        return found | ({"id": token} if ids else {})

    def change(_: Body, choice: Body) -> None:
        if choice["logprobs"] is None:  # prompt_logprobs alone, of which it knows nothing
            return
        top = choice["logprobs"]["top_logprobs"][-1]
        best = max(top, key=top.get)
        choice["logprobs"] = {
            "content": [
                item(best, top[best])
                | {"top_logprobs": [item(name, value) for name, value in top.items()]}
            ]
        }

    return choice_changed(change)


@pytest.mark.parametrize("ids", [True, False])
def test_a_server_that_echoes_nothing(opened: Callable[..., EndpointModel], *, ids: bool) -> None:
    """Tokens come by id or bytes; given tokens are scored where they are among the best."""
    of = toy("letters")
    model = opened("letters", llama_cpp(of, ids=ids))
    assert model.provenance.executor == "lists alone, top 5"
    prefix = (of.pieces.start_id, 0)
    found = model.next_top([prefix])
    assert require_contract(of, prefix, found) >= 4
    assert set(found.token_ids[0][:4].tolist()) == set(of.pieces.ordinary)
    trie = TokenTrie()
    trie.ask(prefix, (2,))
    score = model.edges(trie.pack()[0]).logprob
    assert score == pytest.approx([logprobs(of.rows([prefix]))[0][2]], abs=1e-9)
    trie.ask(prefix, (of.pieces.start_id,))
    with pytest.raises(QueryError, match=r"token 4 is not among the best after 2 tokens"):
        model.edges(trie.pack()[0])


def one_prompt(body: Body, answer: Body) -> Json:
    """Take no lists, nor max_tokens=0."""
    if isinstance(body["prompt"][0], list) or body["max_tokens"] == 0:
        return 422, {"detail": "no"}
    return answer


def swapped(_: Body, answer: Body) -> Json:
    """Give choices unnumbered, the last first."""
    for choice in answer["choices"]:
        del choice["index"]
    return answer | {"choices": answer["choices"][::-1]}


def reversed_(_: Body, answer: Body) -> Json:
    """Give choices by their numbers, the last first: in order."""
    return answer | {"choices": answer["choices"][::-1]}


@pytest.mark.parametrize("change", [one_prompt, swapped, reversed_])
def test_several_prompts_are_told_apart(
    opened: Callable[..., EndpointModel], change: Change
) -> None:
    """Where a server takes no lists, or mixes them up, prompts go one by one."""
    of = toy("bytes")
    model = opened("bytes", change)
    prefixes = [(of.pieces.start_id, token) for token in (65, 66, 67)]
    found = model.next_top(prefixes)
    for place, prefix in enumerate(prefixes):
        require_contract(of, prefix, found, place)


def named(names: dict[str, str]) -> Change:
    """Call tokens by other names; of those that share one, the last is given."""

    def change(_: Body, choice: Body) -> None:
        said = choice["logprobs"]
        said["top_logprobs"] = [
            each and {names.get(name, name): value for name, value in each.items()}
            for each in said["top_logprobs"]
        ]
        said["tokens"] = [names.get(name, name) for name in said["tokens"]]

    return choice_changed(change)


@pytest.mark.parametrize("shared", ["?", "b"])
def test_names_that_several_tokens_have_are_no_names(
    opened: Callable[..., EndpointModel], shared: str
) -> None:
    """The list ends before such a token, and where one may be hidden behind another's name."""
    of = toy("letters")
    # "b" here is a name that the server gives to two tokens, and the tokenizer to one.
    model = opened("letters", named({"c": shared, "d": shared}) if shared == "?" else unknown)
    sizes = set()
    for token in of.pieces.ordinary:
        prefix = (of.pieces.start_id, token)
        sizes.add(require_contract(of, prefix, model.next_top([prefix])))
    assert min(sizes) < 4


unknown = named({"b": "<|b|>"})
"""A token by a name that the tokenizer does not know."""


def one_more(body: Body, answer: Body) -> Json:
    """List a token that is far from the best beside them, as some list what they sampled."""
    sent = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
    for choice, row in zip(answer["choices"], logprobs(toy("bytes").rows(sent)), strict=True):
        worst = 65 + int(np.argmin(row[65:91]))
        if not body.get("echo"):
            choice["logprobs"]["top_logprobs"][-1][chr(worst)] = float(row[worst])
    return answer


def test_what_is_listed_beside_the_best_is_not_one_of_them(
    opened: Callable[..., EndpointModel],
) -> None:
    """Between it and the best there are tokens that are not listed."""
    of, model = toy("bytes"), opened("bytes", one_more)
    prefixes = [(of.pieces.start_id, token) for token in range(65, 85)]
    found = model.next_top(prefixes)
    assert [require_contract(of, each, found, place) for place, each in enumerate(prefixes)] == (
        [5] * 20
    )


@choice_changed
def rounded(_: Body, choice: Body) -> None:
    """Give three digits, rounded up."""
    for each in choice["logprobs"]["top_logprobs"]:
        for name in each or ():
            each[name] = min(0.0, math.ceil(each[name] * 1e3) / 1e3)


def test_rounded_numbers_are_a_distribution_still(opened: Callable[..., EndpointModel]) -> None:
    """Where rounding takes a list above 1 it is scaled back: by no more than it was rounded."""
    of, model = toy("letters"), opened("letters", rounded)
    prefixes = [(of.pieces.start_id, first, second) for first in range(4) for second in range(4)]
    found = model.next_top(prefixes)
    assert np.exp(found.logprobs).sum(axis=1).max() <= 1 + 1e-12
    rows = logprobs(of.rows(prefixes))
    for row, ids, values in zip(rows, found.token_ids, found.logprobs, strict=True):
        listed = ids >= 0
        np.testing.assert_allclose(values[listed], row[ids[listed]], rtol=0, atol=2e-3)


def test_an_endpoint_is_searched(opened: Callable[..., EndpointModel]) -> None:
    """The best output that its lists prove is the closed form's, number by number."""
    of, model = toy("endings"), opened("endings")
    found = logpr.decode("ab", model=model, max_new_tokens=3)
    assert found.best is not None
    prompt = (of.pieces.start_id, *of.pieces.encode("ab"))
    every = [
        of.truth(prompt, ids, "stop")
        for size in range(4)
        for ids in itertools.product(of.pieces.ordinary, repeat=size)
    ]
    best = max(every, key=lambda each: each.logprob)
    assert found.best.token_ids == best.token_ids
    assert found.best.logprob == pytest.approx(best.logprob, abs=1e-9)
    assert found.certificate.status == "optimal"


# Servers that err


def tempered(temperature: float, body: Body, choice: Body) -> None:
    """Report generated tokens after a temperature."""
    if body.get("echo"):
        return
    said = choice["logprobs"]
    for each in said["top_logprobs"]:
        for name in each:
            each[name] = each[name] / temperature
    said["token_logprobs"] = [value / temperature for value in said["token_logprobs"]]


@choice_changed
def sampler(body: Body, choice: Body) -> None:
    """Report what the sampler made of the numbers."""
    tempered(max(0.5, body["temperature"]), body, choice)


@choice_changed
def cooler(body: Body, choice: Body) -> None:
    """Generate at a temperature of its own, whatever is asked; echo raw numbers."""
    tempered(0.7, body, choice)


@choice_changed
def nothing(_: Body, choice: Body) -> None:
    """Give no log-probabilities."""
    choice["logprobs"] = None


@choice_changed
def penalised(_: Body, choice: Body) -> None:
    """Generate another token than the most probable."""
    said = choice["logprobs"]
    said["tokens"][-1], said["token_logprobs"][-1] = "z", -9.0


@choice_changed
def too_much(_: Body, choice: Body) -> None:
    """List more probability than there is."""
    for each in choice["logprobs"]["top_logprobs"]:
        for name in each or ():
            each[name] = -0.5


@choice_changed
def texts(_: Body, choice: Body) -> None:
    """Give words for numbers."""
    for each in choice["logprobs"]["top_logprobs"]:
        for name in each or ():
            each[name] = "likely"


@choice_changed
def positive(_: Body, choice: Body) -> None:
    """Give probabilities above 1."""
    choice["logprobs"]["token_logprobs"] = [1.5 for _ in choice["logprobs"]["token_logprobs"]]


@choice_changed
def nobody(_: Body, choice: Body) -> None:
    """List nothing beside the token generated, in llama.cpp's shape."""
    choice["logprobs"] = {"content": [{"token": "a", "logprob": -1.0, "top_logprobs": []}]}


@choice_changed
def endless(_: Body, choice: Body) -> None:
    """Name a token by an id of more digits than Python reads."""
    for each in choice["logprobs"]["top_logprobs"]:
        for name in list(each or ()):
            each["token_id:" + "9" * 5000] = each.pop(name)


@choice_changed
def huge(_: Body, choice: Body) -> None:
    """Give whole numbers that no float holds."""
    choice["logprobs"]["token_logprobs"] = [10**400] * len(choice["logprobs"]["token_logprobs"])


def adds_start(body: Body, answer: Body) -> Json:
    """Count a token more than was sent."""
    return answer | {"usage": {"prompt_tokens": len(body["prompt"]) + 1}}


def down(_: Body, __: Body) -> Json:
    """Fail."""
    return 500, b"Internal Server Error"


def garbage(_: Body, __: Body) -> Json:
    """Say something else."""
    return b"<html>Hello</html>"


def a_list(_: Body, answer: Body) -> Json:
    """Give JSON of another kind."""
    return [answer]


def too_few(_: Body, answer: Body) -> Json:
    """Lose the choices."""
    return answer | {"choices": []}


all_alike = named(dict.fromkeys(map(chr, range(128)), "\ufffd"))
"""Texts alone, all the same."""


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("bytes", sampler, "at temperature 0 and .* at temperature 1, .*raw_logprobs"),
        ("bytes", cooler, "lists .* as next token, and gives it .* where it is echoed"),
        ("bytes", nothing, "lists no log-probabilities of next tokens"),
        ("bytes", penalised, "asked for the most probable token, the endpoint generated 'z'"),
        ("bytes", too_much, "5 next tokens of total probability 3.03.*, more than 1"),
        ("bytes", texts, "gave 'likely' as the log-probability of"),
        ("bytes", positive, "gave 1.5 as the log-probability of"),
        ("bytes", nobody, "lists no log-probabilities of next tokens"),
        ("bytes", endless, "calls its most probable tokens"),
        ("bytes", huge, "gave 10000.* as the log-probability of"),
        ("bytes", adds_start, "counts .* prompt tokens where .* ids were sent"),
        ("bytes", down, "POST http://127.0.0.1:.*/v1/completions answered 500: 'Internal Server"),
        ("bytes", garbage, "answered 200 and no JSON: '<html>Hello</html>'"),
        ("bytes", a_list, "wanted is a JSON object"),
        ("bytes", too_few, "answered 0 choices to 1 prompts"),
        ("letters", named(dict.fromkeys("abcd", "?")), r"calls its most probable tokens \['\?'"),
        ("letters", named({"a": "b", "b": "a"}), "was sent token . and calls it"),
    ],
)
def test_a_server_that_errs_is_refused_when_it_is_opened(
    opened: Callable[..., EndpointModel], name: str, change: Change, words: str
) -> None:
    """With what was found, its value, and a way out."""
    with pytest.raises(ModelLoadError, match=words):
        opened(name, change)


def test_a_stumble_is_tried_again(opened: Callable[..., EndpointModel]) -> None:
    """One 503 in three answers costs a wait each."""
    of, count = toy("bytes"), iter(range(10**6))

    def change(_: Body, answer: Body) -> Json:
        return (503, b"busy") if next(count) % 3 == 0 else answer

    prefix = (of.pieces.start_id, 65)
    assert require_contract(of, prefix, opened("bytes", change).next_top([prefix])) == 5


def test_what_goes_wrong_later_is_an_error_of_the_model(
    opened: Callable[..., EndpointModel],
) -> None:
    """An endpoint that fails after it was opened: nothing of it is taken for a number."""
    of, now = toy("bytes"), {"change": None}

    def change(body: Body, answer: Body) -> Json:
        return answer if now["change"] is None else now["change"](body, answer)

    model = opened("bytes", change)
    prefix = (of.pieces.start_id, 65)
    pack, _ = pack_of(of)
    for later, error in ((down, ModelError), (nothing, ModelOutputError), (texts, ModelError)):
        now["change"] = later
        with pytest.raises(error):
            model.next_top([prefix])
    now["change"] = nothing
    with pytest.raises(ModelOutputError, match="scored no prompt"):
        model.edges(pack)


def test_an_answer_is_bounded(
    opened: Callable[..., EndpointModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body without end is not read to its end."""
    monkeypatch.setattr(wire, "MOST_BYTES", 1 << 16)
    with pytest.raises(ModelLoadError, match=r"answered more than 0.0625 MiB"):
        opened("bytes", lambda *_: b" " * (1 << 17))


def test_who_is_not_there(folders: Callable[[str], Path]) -> None:
    """Nobody listens; nobody answers in time."""
    with pytest.raises(ModelLoadError, match=r"cannot be reached: .*is the server up"):
        logpr.load(f"http://127.0.0.1:9/v1#tokenizer={folders('toy')}")
    held = threading.Event()
    with served(toy("toy"), lambda *_: held.wait(5)) as url:
        with pytest.raises(ModelLoadError, match=r"no answer within 0\.2 s; .*FOLDER&timeout=0\.4"):
            logpr.load(f"{url}#tokenizer={folders('toy')}&timeout=0.2")
        held.set()


def test_keys_come_from_the_environment_and_are_not_shown(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may quote a key; messages do not."""
    with endpoint(toy("toy"), key="s3cret-key") as url:
        name = f"{url}#tokenizer={folders('toy')}"
        with pytest.raises(ModelLoadError, match=r"answered 401: .*set LOGPR_API_KEY"):
            logpr.load(name)
        monkeypatch.setenv("OPENAI_API_KEY", "s3cret-key")
        assert "s3cret" not in repr(logpr.load(name).provenance)
    monkeypatch.setenv("LOGPR_API_KEY", "s3cret-key")

    def quoting(_: Body, __: Body) -> Json:
        return 403, {"error": {"message": "no such key: s3cret-key"}}

    with (
        served(toy("toy"), quoting) as url,
        pytest.raises(ModelLoadError, match="no such key: …") as caught,
    ):
        logpr.load(f"{url}#tokenizer={folders('toy')}")
    assert "s3cret" not in str(caught.value)


def test_a_key_that_cannot_be_sent_is_not_shown(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's own message would quote it; white space around a key is none of it."""
    with endpoint(toy("toy"), key="s3cret-key") as url:
        name = f"{url}#tokenizer={folders('toy')}"
        for key in ("s3cret\rkey", "s3cret\nX: y", "s3cret-ké", "s3cret key"):
            monkeypatch.setenv("LOGPR_API_KEY", key)
            with pytest.raises(QueryError, match=r"LOGPR_API_KEY.*export LOGPR_API_KEY") as caught:
                logpr.load(name)
            assert "s3cret" not in str(caught.value)
        monkeypatch.setenv("LOGPR_API_KEY", " s3cret-key\r\n")
        logpr.load(name)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"data": []}, "lists no model; name one behind its URL: #model=NAME"),
        ({"data": [{"id": "x" * 9999}, {"id": "y"}]}, r"serves 2 models, x{120}…, y; .*=x{120}…$"),
        ({"data": [{"id": "a"}, {"id": "b"}]}, "serves 2 models, a, b; .*#model=a"),
        ({"data": [{"id": "toy:toy", "meta": {"n_vocab": 3}}]}, "a model of 3 tokens, and .* 11"),
    ],
)
def test_which_model(folders: Callable[[str], Path], models: Json, words: str) -> None:
    """The only one that is served, or the one named."""
    with served(toy("toy"), lambda _, answer: answer, models=models) as url:
        with pytest.raises(ModelLoadError, match=words):
            logpr.load(f"{url}#tokenizer={folders('toy')}")
        if "meta" not in str(models):
            found = logpr.load(f"{url}#tokenizer={folders('toy')}&model=toy:toy")
            assert found.provenance.model.endswith("#model=toy:toy")


def test_names_of_endpoints(folders: Callable[[str], Path]) -> None:
    """A wrong name is refused before anything is sent."""
    with pytest.raises(QueryError, match=r"#tokenizer=FOLDER"):
        logpr.load("http://127.0.0.1:9")
    with pytest.raises(MissingFileError, match="there is no folder"):
        logpr.load("http://127.0.0.1:9#tokenizer=/none/such")
    with pytest.raises(QueryError, match="takes no options, found dtype='float32'"):
        logpr.load(f"http://127.0.0.1:9#tokenizer={folders('toy')}", dtype="float32")
    for name, words in (
        ("http://h/v1/chat/completions", "is a chat endpoint, .*http://h/v1/completions"),
        ("http://h:port", "no URL of an endpoint"),
        ("http://u:pass@h:port", "'http://…@h:port'"),
        ("http://h#tokeniser=x", "found 'tokeniser=x'; write http://h"),
        ("http://h#model=", "each once with a value"),
        ("http://h#model=a&model=b", "each once with a value"),
        ("http://h#timeout=soon", "timeout is seconds"),
        ("http://h#timeout=-1", "timeout is seconds"),
    ):
        with pytest.raises(QueryError, match=words):
            address_of(name)
    found = address_of("https://u:pass@h/v1/completions?k=v#model=a+b&timeout=3")
    assert found.base == "https://u:pass@h/v1?k=v"
    assert (found.public, found.model, found.timeout) == ("https://h/v1", "a+b", 3.0)
    assert address_of("http://h:1").base == "http://h:1/v1"


@pytest.mark.parametrize("text", ["{", "[]", '{"eos_token_id": 99}'])
def test_what_the_folder_declares_is_checked(
    folders: Callable[[str], Path], tmp_path: Path, text: str
) -> None:
    """A config that is no JSON object, or names an end token beyond the vocabulary."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes((folders("toy") / "tokenizer.json").read_bytes())
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelLoadError, match=r"config\.json|eos_token_id is 99"):
        logpr.load(f"http://127.0.0.1:9#tokenizer={folder}")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("²", 0.0), ("-1", 0.0)],
)
def test_only_digits_are_seconds_to_wait(said: str, seconds: float) -> None:
    """Retry-After may be a date, or anything."""
    assert wire._seconds(said) == seconds
