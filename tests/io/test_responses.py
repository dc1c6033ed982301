"""Recorded responses of every server, read into one value, and refused where they are broken."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logpr.auditing.responses.values import Response
from logpr.errors import InputError, LogprError, MissingFileError, RecordError
from logpr.io.responses import is_response, read_responses


def tokens(response: Response) -> list[tuple[str | None, str | None]]:
    """Return each token with the text of its number."""
    return [
        (step.token, None if step.value is None else step.value.text) for step in response.steps
    ]


def tops(response: Response, place: int) -> list[tuple[str | None, float | None]]:
    """Return the list of one step."""
    listed = response.steps[place].top or ()
    return [(item.token, None if item.value is None else item.value.value) for item in listed]


def one(source: str | Path | bytes | dict[str, Any]) -> Response:
    """Return the only response of a source, which has to be recognised as one."""
    assert is_response(source)
    (response,) = read_responses(source)
    return response


CHAT = """{"id": "c1", "object": "chat.completion", "model": "m", "choices": [{"index": 0,
"message": {"role": "assistant", "content": "Hé"}, "finish_reason": "stop",
"logprobs": {"content": [
{"token": "H", "logprob": -0.50, "bytes": [72], "top_logprobs": [
{"token": "H", "logprob": -0.50, "bytes": [72]}, {"token": "A", "logprob": -1.25, "bytes": [65]}]},
{"token": "é", "logprob": -1e-07, "bytes": [195, 169], "top_logprobs": []}], "refusal": null}}]}"""


def test_a_chat_completion() -> None:
    """Text of numbers, bytes, lists and the choice's own fields are kept."""
    response = one(CHAT)
    assert (response.format, response.id, response.model) == ("openai chat", "c1", "m")
    assert tokens(response) == [("H", "-0.50"), ("é", "-1e-07")]
    assert response.steps[1].raw == b"\xc3\xa9"
    assert tops(response, 0) == [("H", -0.5), ("A", -1.25)]
    assert response.text == "Hé"
    assert response.steps[0].where == "choices[0].logprobs.content[0]"


def test_a_refusal_has_its_own_tokens() -> None:
    """Where the model refuses, content is null and refusal has the tokens."""
    step = {"token": "No", "logprob": -0.25, "bytes": None, "top_logprobs": []}
    choice = {
        "message": {"content": None, "refusal": "No"},
        "logprobs": {"content": None, "refusal": [step]},
    }
    response = one({"choices": [choice]})
    assert (response.text, tokens(response)) == ("No", [("No", "-0.25")])


def completion(**more: object) -> dict[str, Any]:
    """Return a completion with an echo."""
    logprobs = {
        "tokens": ["The", " cat", " sat", "!"],
        "token_logprobs": [None, -3.25, -1.5, -9.0],
        "top_logprobs": [None, {" cat": -3.25}, {" sat": -1.5, " ran": -1.75}, {".": -0.5}],
        "text_offset": [0, 3, 7, 11],
    }
    choice = {"index": 0, "text": "The cat sat!", "logprobs": logprobs, "finish_reason": "length"}
    return {"id": "x", "object": "text_completion", "choices": [choice], **more}


def test_a_completion_with_its_echo() -> None:
    """The null in front says that the prompt was echoed; the usage says where it ends."""
    response = one(completion())
    assert response.echoed
    assert response.text_keyed
    assert tops(response, 2) == [(" sat", -1.5), (" ran", -1.75)]
    response = one(completion(usage={"prompt_tokens": 2}))
    assert not response.echoed
    assert (response.prompt, response.text) == ("The cat", " sat!")
    assert [step.token for step in response.prompt_steps] == ["The", " cat"]
    assert tokens(response) == [(" sat", "-1.5"), ("!", "-9.0")]


def test_vllm_prompt_logprobs_and_ids() -> None:
    """vLLM keys by id, the prompt's own token first, and may write ids in the texts' place."""
    given = completion()
    given["choices"][0].update(
        token_ids=[1, 2, 3, 4],
        prompt_token_ids=[464, 3797],
        prompt_logprobs=[
            None,
            {
                "3797": {"logprob": -8.125, "rank": 40, "decoded_token": " cat"},
                "717": {"logprob": -3.5, "rank": 1, "decoded_token": " first"},
            },
        ],
    )
    response = one(given)
    assert [step.id for step in response.steps] == [1, 2, 3, 4]
    assert response.prompt_ids == (464, 3797)
    own = response.prompt_steps[1]
    assert (own.token, own.id, own.rank) == (" cat", 3797, 40)
    assert own.value is not None
    assert own.value.value == -8.125
    assert [item.id for item in own.top or ()] == [3797, 717]
    assert response.prompt_steps[0].value is None
    named = completion()
    named["choices"][0]["logprobs"]["tokens"] = [f"token_id:{place}" for place in range(4)]
    assert [(step.token, step.id) for step in one(named).steps] == [
        (None, place) for place in range(4)
    ]


def test_vllm_chats_have_the_prompt_beside_the_choices() -> None:
    """There prompt_logprobs stand at the top."""
    document = json.loads(CHAT)
    document["prompt_logprobs"] = [
        None,
        {"5": {"logprob": -0.125, "rank": 1, "decoded_token": "x"}},
    ]
    response = one(document)
    assert [step.id for step in response.prompt_steps] == [None, 5]
    assert response.prompt_steps[1].where == "prompt_logprobs[1]"


def test_a_document_of_the_responses_api() -> None:
    """Its texts carry their own log-probabilities."""
    part = {
        "type": "output_text",
        "text": "Hi",
        "logprobs": [{"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []}],
    }
    response = one({"id": "r", "object": "response", "output": [{"content": [part]}]})
    assert (response.format, response.text) == ("openai response", "Hi")


def test_llama_cpp() -> None:
    """The newer format has log-probabilities, or probabilities after sampling by their own name."""
    entry = {"id": 7, "token": " a", "bytes": [32, 97], "logprob": -0.25}
    document = {
        "content": " a",
        "stop": True,
        "prompt": "Say",
        "completion_probabilities": [{**entry, "top_logprobs": [entry]}],
    }
    response = one(document)
    assert (response.format, response.unit, response.prompt) == ("llama.cpp", "nats", "Say")
    assert response.steps[0].id == 7
    entry = {"id": 7, "token": " a", "bytes": [32, 97], "prob": 0.75}
    document["completion_probabilities"] = [{**entry, "top_probs": [entry]}]
    response = one(document)
    assert (response.unit, tops(response, 0)) == ("probability", [(" a", 0.75)])


def test_llama_cpp_before_2025() -> None:
    """The older format has a list of probabilities alone, the chosen token's among them or not."""
    probs = [{"tok_str": " a", "prob": 0.75}, {"tok_str": " b", "prob": 0.25}]
    document = {
        "content": " a c",
        "completion_probabilities": [
            {"content": " a", "probs": probs},
            {"content": " c", "probs": probs},
        ],
    }
    response = one(document)
    assert response.unit == "probability"
    assert tokens(response) == [(" a", "0.75"), (" c", None)]


def test_ollama() -> None:
    """Generated text and chats."""
    step = {"token": "A", "logprob": -0.5, "bytes": [65], "top_logprobs": []}
    document = {"model": "l", "response": "A", "done": True, "logprobs": [step]}
    assert one(document).text == "A"
    chat = {"model": "l", "message": {"content": "A"}, "done": True, "logprobs": [step]}
    assert (one(chat).text, one(chat).format) == ("A", "ollama")


def test_gemini() -> None:
    """Chosen and top candidates stand in two lists; thoughts are no part of the text."""
    chosen = {"token": "A", "tokenId": 3, "logProbability": -0.5}
    result = {"chosenCandidates": [chosen], "topCandidates": [{"candidates": [chosen, chosen]}]}
    parts = [{"text": "hm", "thought": True}, {"text": "A"}]
    candidate = {"content": {"parts": parts}, "logprobsResult": result}
    response = one({"candidates": [candidate], "modelVersion": "g"})
    assert (response.text, response.model, response.steps[0].id) == ("A", "g", 3)
    assert len(response.steps[0].top or ()) == 2
    result["topCandidates"] = []
    assert one({"candidates": [candidate]}).steps[0].top is None
    result["topCandidates"] = [{"candidates": []}] * 2
    with pytest.raises(RecordError, match=r"logprobsResult.topCandidates.*2 lists and 1 chosen"):
        read_responses({"candidates": [candidate]})


def test_tgi() -> None:
    """Details with the prompt's tokens, lists beside the tokens, and further sequences."""
    step = {"id": 5, "text": " a", "logprob": -0.5, "special": False}
    details = {
        "prefill": [{"id": 1, "text": "x", "logprob": None}],
        "tokens": [step],
        "top_tokens": [[step, {**step, "id": 6}]],
        "best_of_sequences": [{"generated_text": " b", "tokens": [step], "prefill": []}],
    }
    first, second = read_responses({"generated_text": " a", "details": details})
    assert (first.prompt_ids, len(first.steps[0].top or ())) == ((1,), 2)
    assert (second.index, second.text) == (1, " b")
    assert is_response([{"generated_text": "", "details": details}][0])
    (same, _) = read_responses(json.dumps([{"generated_text": " a", "details": details}]))
    assert same.steps == first.steps


def test_sglang() -> None:
    """Triples of log-probability, id and text; the prompt's may begin in its middle."""
    meta = {
        "prompt_tokens": 2,
        "input_token_logprobs": [[None, 1, "a"], [-2.5, 2, "b"]],
        "output_token_logprobs": [[-0.5, 3, None]],
        "output_top_logprobs": [[[-0.5, 3, None], [-1.5, 4, None]]],
    }
    response = one({"text": "c", "meta_info": meta})
    assert response.prompt_ids == (1, 2)
    assert [entry.id for entry in response.steps[0].top or ()] == [3, 4]
    meta["prompt_tokens"] = 9
    assert one({"text": "c", "meta_info": meta}).prompt_ids is None


def test_tokens_line_by_line() -> None:
    """A stream of tokens is one response, its places named by line."""
    text = '{"token": "A", "logprob": -0.5}\n\n{"token": " b", "logprob": -1.50}\r\n'
    response = one(text)
    assert tokens(response) == [("A", "-0.5"), (" b", "-1.50")]
    assert response.steps[1].where == "line 3: token"


def chunk(token: str, **more: object) -> str:
    """Return a chunk of a chat's stream."""
    step = {"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []}
    choice = {"index": 0, "delta": {"content": token}, "logprobs": {"content": [step]}, **more}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})


def test_server_sent_events() -> None:
    """Chunks are joined; comments, names of events, the usage and the end mark are passed over."""
    usage = json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": {}})
    empty = json.dumps(
        {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}}]}
    )
    text = "\n".join(
        [
            *(": ping", "event: x"),
            *(f"data: {data}\n" for data in (empty, chunk("A"), chunk(" b"), usage)),
            "data: [DONE]",
        ]
    )
    response = one(text)
    assert response.text == "A b"
    assert tokens(response) == [("A", "-0.5"), (" b", "-0.5")]
    assert response.steps[1].where == "line 7: choices[0].logprobs.content[0]"


def test_chunks_as_json_lines() -> None:
    """The same without the `data:`, two responses mixed."""
    other = chunk("X").replace('"id": "c"', '"id": "d"')
    first, second = read_responses("\n".join([chunk("A"), other, chunk(" b")]))
    assert (first.text, second.text) == ("A b", "X")


def test_streams_of_servers() -> None:
    """Ollama's, llama.cpp's and TGI's streams end by their own sign."""
    step = {"token": "A", "logprob": -0.5}
    ollama: list[dict[str, Any]] = [
        {"response": "A", "done": False, "logprobs": [step]},
        {"response": "A", "done": True, "logprobs": [step]},
    ]
    assert [len(found.steps) for found in read_responses(lines(ollama * 2))] == [2, 2]
    llama: list[dict[str, Any]] = [
        {"content": "A", "stop": False, "completion_probabilities": [step]},
        {"content": "", "stop": True},
    ]
    assert [found.text for found in read_responses(lines(llama * 2))] == ["A", "A"]
    token = {"id": 1, "text": "A", "logprob": -0.5, "special": False}
    tgi: list[dict[str, Any]] = [
        {"token": token, "generated_text": None, "details": None},
        {"token": token, "generated_text": "AA", "details": None},
    ]
    assert [found.text for found in read_responses(lines(tgi * 2))] == ["AA", "AA"]
    whole = completion()
    half = completion()
    half["choices"][0]["finish_reason"] = None
    assert [len(found.steps) for found in read_responses(lines([half, whole, whole]))] == [8, 4]


def lines(documents: list[dict[str, Any]]) -> str:
    """Return JSON Lines."""
    return "\n".join(map(json.dumps, documents))


def test_a_batch_wraps_its_responses() -> None:
    """A line of a batch's output has the response inside."""
    row = {"id": "b", "custom_id": "q", "response": {"status_code": 200, "body": json.loads(CHAT)}}
    assert one(lines([row])).id == "c1"
    assert [found.document for found in read_responses(lines([row, row]))] == [0, 1]


def test_numbers_that_json_lacks() -> None:
    """Python writes Infinity and NaN; servers may write them as texts."""
    text = CHAT.replace("-0.50", "-Infinity").replace("-1.25", '"-inf"')
    assert tops(one(text), 0) == [("H", float("-inf")), ("A", float("-inf"))]


def test_digits_are_those_of_the_neighbours() -> None:
    """0.5 among numbers of four decimals has four; among floats written in full it is exact."""

    def step(value: float) -> dict[str, Any]:
        return {"token": "a", "logprob": value}

    short = [-0.1234, -0.5, -2.3456, -7.8912, -3.3333]
    response = one(lines([step(value) for value in short]))
    value = response.steps[1].value
    assert value is not None
    assert value.high - value.low == pytest.approx(1e-4)
    response = one(lines([step(-0.5), step(-13.50000286102295)]))
    value = response.steps[0].value
    assert value is not None
    assert value.high - value.low < 1e-7
    response = one(lines([step(value) for value in (-0.5, -12.0, -0.0001234, -1.2)]))
    value = response.steps[1].value
    assert value is not None
    assert value.high - value.low == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{", "malformed at column"),
        ("[1]", "a response is an object, found 1"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"error": {"message": "no"}}', "answered with an error"),
        ('{"prompt": "x", "candidates": ["a"]}', "no response that is known: its fields are"),
        (CHAT.replace("-0.50", '"-0.5"'), r"content\[0\].logprob': a number or null is wanted"),
        (CHAT.replace("-0.50", "true"), "a number or null is wanted, found True"),
        (CHAT.replace("-0.50", "-1e999"), "too large for a float"),
        (CHAT.replace("[72]", "[300]"), "a list of bytes, 0 to 255"),
        (CHAT.replace('"H"', "5"), "a text is wanted, found 5"),
        (CHAT.replace('"top_logprobs": []', '"top_logprobs": 3'), "a list is wanted, found 3"),
        (
            '{"choices": [{"message": {"content": "x"}, "logprobs": null}]}',
            "found no log-probabilities in it; ask the endpoint",
        ),
        (json.dumps(completion()).replace("-9.0]", "-9.0, 1]"), "found 5 entries and 4 tokens"),
        ("[" * 100_000, "nested too deeply"),
        ('{"token": "a", "logprob": -1}\n{"token": "b"', ":2: the JSON is malformed"),
        ('{"token": "a", "logprob": -1}\n{"token": "b", "logprob": "x"}', ":2: field 'token"),
        ('{"token": "a", "logprob": ' + "1" * 5000 + "}", "a number cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, message: str) -> None:
    """Every error is a RecordError that says where."""
    with pytest.raises(RecordError, match=message):
        read_responses(text.encode())


def test_files(tmp_path: Path) -> None:
    """A path, with a BOM; a missing one, a folder, one in another encoding."""
    path = tmp_path / "r.json"
    path.write_bytes(b"\xef\xbb\xbf" + CHAT.encode())
    assert one(path) == one(str(path)) == one(CHAT)
    with pytest.raises(MissingFileError, match=r"there is no file .*absent"):
        read_responses(tmp_path / "absent.json")
    with pytest.raises(MissingFileError):
        is_response(str(tmp_path / "absent.json"))
    with pytest.raises(InputError):
        read_responses(tmp_path)
    path.write_bytes(CHAT.encode("utf-16"))
    with pytest.raises(RecordError, match="is no UTF-8"):
        read_responses(path)
    assert not is_response(path)


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "q", "prompt": "x", "candidates": [{"text": "a", "score": -1.5}]}',
        '{"prompt": "x", "candidates": [" a"], "chosen": 0}\n{"prompt": "y"}',
        '{"question": "x", "choices": ["a", "b"], "answer": 1}',
        '{"choices": [{"text": "a", "label": "A"}]}',
        '{"id": "q", "candidates": [{"text": "a", "token_logprobs": [-1.0], "logprob": -1.0}]}',
        "id,prompt,score\n1,x,-2\n",
        "[]",
        "{",
    ],
)
def test_other_files_are_no_responses(tmp_path: Path, text: str) -> None:
    """Claims, questions and tables are told from responses by their first record."""
    path = tmp_path / "claims.jsonl"
    path.write_text(text)
    assert not is_response(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
FIELDS = ("choices", "logprobs", "message", "token", "logprob", "details", "result", "candidates")


@given(
    st.dictionaries(
        st.sampled_from((*FIELDS, "completion_probabilities", "output", "meta_info", "id")),
        json_values | st.lists(st.dictionaries(st.sampled_from(FIELDS), json_values)),
    )
)
def test_untrusted_documents_end_in_our_errors(document: dict[str, Any]) -> None:
    """Whatever stands in a document: a value, or an error of ours."""
    with contextlib.suppress(LogprError):
        read_responses(document)
    is_response(document)


@given(st.binary(max_size=60))
def test_untrusted_bytes_end_in_our_errors(data: bytes) -> None:
    """Whatever stands in a file."""
    with contextlib.suppress(LogprError):
        read_responses(data)
    is_response(data)


def test_gltr(data_dir: Path) -> None:
    """Probabilities of five decimals, ranks from 0, tokens in the byte-level notation."""
    response = one(data_dir / "recorded" / "gltr_gpt2" / "woodchuck.json")
    assert (response.unit, len(response.steps), response.prompt) == (
        *("probability", 18),
        "<|endoftext|>",
    )
    second = response.steps[1]
    assert (second.token, second.rank) == (" much", 3)
    assert "".join(step.token or "" for step in response.steps) == response.text
    value = response.steps[0].value
    assert value is not None
    assert value.low == pytest.approx(0.002095)


def test_recorded_files(data_dir: Path) -> None:
    """Every recorded sample is recognised and read."""
    folder = data_dir / "recorded" / "openai_style_logprobs"
    formats = {path.name: one(path).format for path in sorted(folder.iterdir())}
    assert set(formats.values()) == {
        *("openai chat", "openai completion", "gemini", "ollama", "tokens"),
    }
    assert formats["demo__gpt2_stream.jsonl"] == "tokens"
