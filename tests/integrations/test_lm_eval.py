"""`--model logpr` against the harness's own Hugging Face backend: the same values, row by row."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from logpr.errors import ModelLoadError, QueryError
from tests.integrations.twins import Twins

harness = pytest.importorskip(
    "tests.integrations.harness",
    reason='lm-evaluation-harness is needed: pip install "logpr[lm-eval]" accelerate',
)
registry = pytest.importorskip("lm_eval.api.registry")

CLOSE = 1e-3
"""Nats: float32 sums on either side."""

ROWS = [
    ("Once upon a", " time"),
    ("The cat sat ", "on the mat."),
    ("Tom was thirsty, so he drank a cup of", " water."),
    ("Tom was thirsty, so he drank a cup of", " water"),
    ("Tom was thirsty, so he drank a cup of", " milk"),
    ("<|bos|>Lily said:", " hello"),
    ("", "Once upon a time, there was"),
    ("  ", "Once upon"),
    ("Ünïcode – 日本", "語 is hard."),
]
TEMPLATE = (
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '</' + m.role + '>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    """Return logpr's backend and the harness's own, of the built-in model's folder."""
    return harness.ours(harness.BUILTIN), harness.theirs(harness.BUILTIN, batch_size=4)


def close(found: list[tuple[float, bool]], wanted: list[tuple[float, bool]]) -> None:
    """Compare (log-probability, greedy) row by row."""
    assert len(found) == len(wanted) > 0
    for mine, own in zip(found, wanted, strict=True):
        assert mine[0] == pytest.approx(own[0], abs=CLOSE)
        assert mine[1] == own[1]


def test_it_is_registered_beside_the_others() -> None:
    """The harness knows `logpr`, and still all models of its own."""
    assert registry.get_model("logpr") is harness.LogprLM
    assert registry.get_model("hf") is harness.HFLM


def test_rows_are_those_of_the_harness(pair: tuple[Any, Any]) -> None:
    """Log-probability and greediness of every kind of request are those of its own backend."""
    ours, theirs = pair
    rows = harness.asked("loglikelihood", ROWS)
    wanted = theirs.loglikelihood(rows, disable_tqdm=True)
    close(ours.loglikelihood(rows), wanted)
    assert {greedy for _, greedy in wanted} == {True, False}


def test_ids_are_those_of_the_harness(pair: tuple[Any, Any]) -> None:
    """Prefix, end, length and the ids of texts are what its own backend makes of them."""
    ours, theirs = pair
    for name in ("prefix_token_id", "eot_token_id", "max_length", "max_gen_toks"):
        assert getattr(ours, name) == getattr(theirs, name)
    for context, continuation in ROWS[:-3]:
        for text in (context, context + continuation):
            assert ours.tok_encode(text) == theirs.tok_encode(text)
            assert ours.tok_decode(ours.tok_encode(text)) == theirs.tok_decode(
                theirs.tok_encode(text)
            )
    assert ours.tok_encode("The cat", add_special_tokens=False) == theirs.tok_encode(
        "The cat", add_special_tokens=False
    )


def test_values_of_a_fast_model_are_its_twin_s() -> None:
    """Where dtype=auto gives two models, values, greediness and texts are the exact one's."""
    pair = Twins.of_words()
    found, exact = harness.LogprLM(pair), harness.LogprLM(pair.exact)
    rows = harness.asked("loglikelihood", [("A", " B"), ("A", " A"), ("", "B A")])
    values = found.loglikelihood(rows)
    assert values == exact.loglikelihood(rows) != harness.LogprLM(pair.fast).loglikelihood(rows)
    assert [greedy for _, greedy in values] == [True, False, False]
    assert found.generate_until(
        harness.asked("generate_until", [("A", {"max_gen_toks": 2, "until": []})])
    ) == ["B B"]
    assert found.get_model_info() == exact.get_model_info()


def test_one_text_split_in_two_places(pair: tuple[Any, Any]) -> None:
    """Rows whose ids agree up to the last one, split elsewhere, keep values of their own.

    The harness's own backend computes such a group once and reads a shorter continuation's
    log-probabilities at the group's first positions; without its `logits_cache` it does not.
    """
    ours, theirs = pair
    rows = harness.asked("loglikelihood", [("Once upon", " a time"), ("Once upon a", " time")])
    found = ours.loglikelihood(rows)
    for row, (logprob, _) in zip(rows, found, strict=True):
        before, after = theirs._encode_pair(*row.args)
        assert logprob == pytest.approx(harness.truth(harness.BUILTIN, before, after), abs=CLOSE)
    close(found, harness.theirs(harness.BUILTIN, logits_cache=False).loglikelihood(rows))
    assert theirs.loglikelihood(rows)[0][0] == pytest.approx(found[0][0], abs=CLOSE)


def test_long_contexts_are_cut_from_the_left(caplog: pytest.LogCaptureFixture) -> None:
    """The last max_length + 1 ids are kept, as in its own backend; how many rows is said."""
    rows = harness.asked(
        "loglikelihood", [("One day a dog ran home. " * 9, "The end."), ("The cat", " sat")]
    )
    ours = harness.ours(harness.BUILTIN, max_length=16)
    with caplog.at_level(logging.WARNING, logger="logpr"):
        found = ours.loglikelihood(rows)
    close(found, harness.theirs(harness.BUILTIN, max_length=16).loglikelihood(rows))
    (message,) = [one.getMessage() for one in caplog.records if one.name.startswith("logpr")]
    assert message.startswith("1 of 2 requests are longer than the model's context")


def test_rolling_windows_are_those_of_the_harness() -> None:
    """Whole texts, shorter and longer than the context; a start token before them is scored."""
    texts = [("One day a dog ran home to eat. " * 12,), ("Hello",), ("",)]
    start = harness.truth(harness.BUILTIN, [0], [0])
    for length in (1024, 16):
        rows = harness.asked("loglikelihood_rolling", texts)
        found = harness.ours(harness.BUILTIN, max_length=length).loglikelihood_rolling(rows)
        wanted = harness.theirs(harness.BUILTIN, max_length=length).loglikelihood_rolling(
            rows, disable_tqdm=True
        )
        assert found == pytest.approx(wanted, abs=CLOSE)
        assert found[-1] == pytest.approx(start, abs=CLOSE)
    bare = harness.ours(harness.BUILTIN, add_bos_token=False).loglikelihood_rolling(rows)
    assert bare[1:] == pytest.approx([found[1] - start, 0], abs=CLOSE)


def test_texts_are_those_of_the_harness(pair: tuple[Any, Any]) -> None:
    """Greedy text up to the same stops is the same string."""
    ours, theirs = pair
    rows = harness.asked(
        "generate_until",
        [
            ("Once upon a time", {"until": ["."], "max_gen_toks": 40}),
            ("Tom and Lily went to the", {"until": ["\n", " said"], "max_gen_toks": 60}),
            ("The", {"until": [], "max_gen_toks": 12, "temperature": 0.0}),
            ("Mom gave her a", {"until": "red", "max_gen_toks": 30, "do_sample": False}),
        ],
    )
    found = ours.generate_until(rows)
    assert found == theirs.generate_until(rows, disable_tqdm=True)
    assert all(found)
    assert not any("." in text for text in found[:1])


def test_long_contexts_of_texts_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A context leaves room for max_gen_toks, as in its own backend; no room at all is refused."""
    kwargs = {"until": ["."], "max_gen_toks": 8}
    rows = harness.asked("generate_until", [("One day a dog ran home. " * 9, kwargs)])
    ours = harness.ours(harness.BUILTIN, max_length=24)
    with caplog.at_level(logging.WARNING, logger="logpr"):
        found = ours.generate_until(rows)
    assert found == harness.theirs(harness.BUILTIN, max_length=24).generate_until(rows)
    assert "1 of 1 requests" in caplog.text
    with pytest.raises(QueryError, match="max_gen_toks=24 leaves no room for a context"):
        ours.generate_until(harness.asked("generate_until", [("The", {"max_gen_toks": 24})]))


def test_samples_are_drawn_by_the_seed() -> None:
    """Two backends of one seed write the same texts, and so does one twice; repeats differ."""
    rows = harness.asked("generate_until", [("Once", {"temperature": 1.0, "max_gen_toks": 10})] * 2)
    one = harness.ours(harness.BUILTIN, seed=3)
    first = one.generate_until(rows)
    assert first == harness.ours(harness.BUILTIN, seed=3).generate_until(rows)
    assert first == one.generate_until(rows)
    assert first[0] != first[1]
    assert first != harness.ours(harness.BUILTIN, seed=4).generate_until(rows)


def test_samples_do_not_depend_on_what_else_is_asked(tmp_path: Path) -> None:
    """A task's texts are the same by itself and after another one that asks the same questions."""
    file = tmp_path / "questions.jsonl"
    file.write_text('{"text": "Once upon"}\n{"text": "The cat"}\n{"text": "Once upon"}\n')
    first, second = (harness.samples(name, file, tmp_path, repeats=2) for name in ("a", "b"))

    def texts(*tasks: dict[str, Any]) -> list[list[str]]:
        results = harness.evaluated(harness.ours(harness.BUILTIN, seed=3), tasks)
        found = sorted(results["samples"]["b"], key=lambda sample: sample["doc_id"])
        return [text for sample in found for text in sample["resps"]]

    alone = texts(second)
    assert texts(first, second) == texts(second, first) == alone
    written = [text for repeats in alone for text in repeats]
    assert len(set(written)) == len(written) == 6


@pytest.mark.parametrize("template", [TEMPLATE, "{{ messages[-1].content }}\n"])
def test_conversations_are_those_of_the_harness(tmp_path: Path, template: str) -> None:
    """Chat templates write what its own backend writes, an answer's beginning included."""
    folder = tmp_path / "chat"
    shutil.copytree(harness.BUILTIN, folder)
    (folder / "chat_template.jinja").write_text(template)
    ours, theirs = harness.ours(folder), harness.theirs(folder)
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi there"}]
    begun = [*turns, {"role": "assistant", "content": "The answer is "}]
    assert ours.apply_chat_template(turns) == theirs.apply_chat_template(turns)
    assert ours.apply_chat_template(begun, add_generation_prompt=False) == (
        theirs.apply_chat_template(begun, add_generation_prompt=False)
    )
    assert (
        ours.chat_template(chat_template=True)
        == theirs.chat_template(chat_template=True)
        == template
    )
    assert ours.chat_template(chat_template=False) is None
    with pytest.raises(QueryError, match="of a model's templates the default one is used"):
        ours.chat_template("tools")


def test_evaluations_over_local_files(data_dir: Path, tmp_path: Path) -> None:
    """HellaSwag and BLiMP on a trained model: every row and every accuracy are the harness's."""
    folder = data_dir / "models" / "stories260K"
    tasks = [
        harness.hellaswag(data_dir / "eval/hellaswag/hellaswag_val_first1000.jsonl", tmp_path),
        harness.blimp(data_dir / "eval/blimp/principle_A_case_1.jsonl", tmp_path),
    ]
    ours = harness.evaluated(harness.ours(folder), tasks, limit=25)
    theirs = harness.evaluated(harness.theirs(folder, batch_size=8), tasks, limit=25)
    for task in tasks:
        name = task["task"]
        close(harness.answers(ours, name), harness.answers(theirs, name))
        for metric in ("acc,none", "acc_norm,none"):
            assert ours["results"][name][metric] == theirs["results"][name][metric]
    assert len(harness.answers(ours, "hellaswag_local")) == 100


def test_values_of_a_cache_are_the_model_s(
    tmp_path: Path, pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--use_cache` keeps each answer as it is found, and gives it back."""
    ours, _ = pair
    # The backend is this module's, and its hook is put back whatever happens here.
    monkeypatch.setattr(ours, "cache_hook", ours.cache_hook)
    api = pytest.importorskip("lm_eval.api.model")
    rows = harness.asked("loglikelihood", ROWS[:2])
    kept = api.CachingLM(ours, str(tmp_path / "answers.db"))
    first = kept.loglikelihood(rows)
    assert [tuple(one) for one in kept.loglikelihood(rows)] == first
    close(first, ours.loglikelihood(rows))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dtyp": "float32"}, "there is no 'dtyp'; there are pretrained, max_length"),
        ({"max_length": 5000}, "max_length is from 1 to the model's context, 1024; found 5000"),
        ({"prefix_token_id": 9999}, "prefix_token_id=9999 is outside the model's vocabulary"),
    ],
)
def test_wrong_model_args_are_refused(given: dict[str, Any], message: str) -> None:
    """An option that is not known, or a value no model can take, is named with the ways out."""
    with pytest.raises(QueryError, match=message):
        harness.LogprLM("builtin", **given)


def test_the_command_line_s_own_options() -> None:
    """What the harness adds to model_args is taken, its default device as none at all."""
    beside = {"batch_size": 1, "max_batch_size": None, "device": "cuda:0"}
    made = harness.LogprLM.create_from_arg_string("pretrained=builtin,max_length=99", beside)
    assert made.max_length == 99
    with pytest.raises(QueryError, match="device='tpu'"):
        harness.LogprLM.create_from_arg_obj({"pretrained": "builtin"}, {"device": "tpu"})
    with pytest.raises(QueryError, match="give --model_args pretrained=MODEL"):
        harness.LogprLM.create_from_arg_obj({}, beside)


@pytest.mark.parametrize(
    ("error", "code"), [(QueryError("no such thing"), 2), (ModelLoadError("no such thing"), 3)]
)
def test_a_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
) -> None:
    """The command line says what logpr found wrong, without a traceback; the codes are logpr's."""
    launcher = pytest.importorskip("logpr.integrations.lm_eval")

    def evaluate() -> None:
        raise error

    monkeypatch.setattr(launcher, "cli_evaluate", evaluate)
    with pytest.raises(SystemExit) as left:
        launcher.main()
    assert left.value.code == code
    assert capsys.readouterr().err == "logpr: no such thing\n"
