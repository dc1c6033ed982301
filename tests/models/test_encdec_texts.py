"""Texts through encoder–decoder models: what is read, what is fed, what is scored."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM
from typer.testing import CliRunner

import logpr
from logpr._score import Settings, score_window
from logpr._types import End
from logpr.cli import app
from logpr.errors import (
    ContextLengthError,
    EmptyContextError,
    QueryError,
    TokenizationError,
    UnknownNameError,
)
from logpr.models.hf.encdec import HFEncoderDecoder
from logpr.tokens.seq2seq import Sides
from tests.models.encdec_models import (
    bart_tokenizer,
    encdec_folder,
    own_logprobs,
    random_encdec,
    t5_tokenizer,
)

PROMPT = "The cat sat on the"


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a T5: `</s>` after x, a space of its own before every word."""
    return encdec_folder(tmp_path_factory.mktemp("t5"), "t5")


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a BART: `<s> x </s>`, its decoder starts from `</s> <s>`."""
    return encdec_folder(tmp_path_factory.mktemp("bart"), "bart", max_position_embeddings=24)


Loaded = Callable[[Path], HFEncoderDecoder]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    """Return a function that loads a folder once."""
    kept: dict[Path, HFEncoderDecoder] = {}

    def load(folder: Path) -> HFEncoderDecoder:
        if folder not in kept:
            model = logpr.load(str(folder))
            assert isinstance(model, HFEncoderDecoder)
            kept[folder] = model
        return kept[folder]

    return load


def own_score(folder: Path, source: list[int], start: list[int], y: list[int]) -> float:
    """Return log Pr(y | x) straight from transformers."""
    rows = own_logprobs(AutoModelForSeq2SeqLM.from_pretrained(folder), source, [*start, *y])
    first = len(start) - 1
    return float(sum(rows[first + place, token] for place, token in enumerate(y)))


def test_t5_reads_x_and_end_and_goes_on_from_its_pad(t5: Path, loaded: Loaded) -> None:
    """The encoder reads tok(x) `</s>`, the decoder goes on from its pad: ids as transformers' own.

    Those ids are in the result, and given back as ids they score the same.
    """
    tokenizer = t5_tokenizer()
    source = tokenizer(PROMPT)["input_ids"]
    y = tokenizer(text_target="warm mat", add_special_tokens=False)["input_ids"]
    model = loaded(t5)
    score = logpr.score(PROMPT, "warm mat", model=model)
    assert source[-1] == 1
    assert score.prompt_ids == tuple(source)
    assert score.token_ids == tuple(y)
    assert score.logprob == pytest.approx(own_score(t5, source, [0], y), abs=1e-4)
    assert (score.boundary, score.text, score.warnings) == ("clean", "warm mat", ())
    again = logpr.score(prompt_ids=score.prompt_ids, candidate_ids=score.token_ids, model=model)
    assert again.logprob == score.logprob
    assert again.boundary == "given"


def test_end_of_t5_follows_y(t5: Path, loaded: Loaded) -> None:
    """Under `stop` log Pr(`</s>`) is added; an empty y is that alone, and 0 under `open`."""
    model = loaded(t5)
    tokenizer = t5_tokenizer()
    source = tokenizer(PROMPT)["input_ids"]
    whole = tokenizer(text_target="warm mat")["input_ids"]
    score = logpr.score(PROMPT, "warm mat", model=model, end="stop")
    assert whole[-1] == 1
    assert score.logprob == pytest.approx(own_score(t5, source, [0], whole), abs=1e-4)
    empty = logpr.score(PROMPT, "", model=model, end="stop")
    assert empty.logprob == pytest.approx(own_score(t5, source, [0], [1]), abs=1e-4)
    assert empty.end_logprob == empty.logprob
    assert logpr.score(PROMPT, "", model=model).logprob == 0.0


def test_bart_is_conditioned_on_its_forced_start(bart: Path, loaded: Loaded) -> None:
    """BART's encoder reads `<s> x </s>` and y follows `</s> <s>`, neither of which is scored."""
    tokenizer = bart_tokenizer()
    source = tokenizer(PROMPT)["input_ids"]
    y = tokenizer(text_target="warm mat", add_special_tokens=False)["input_ids"]
    model = loaded(bart)
    score = logpr.score(PROMPT, "warm mat", model=model)
    assert (source[0], source[-1]) == (0, 2)
    assert model.decoder_start_ids == (2, 0)
    assert score.prompt_ids == tuple(source)
    assert score.logprob == pytest.approx(own_score(bart, source, [2, 0], y), abs=1e-4)
    assert score.provenance is not None
    assert score.provenance.bos_count == 2


def test_a_space_before_y_is_no_separator(t5: Path, bart: Path, loaded: Loaded) -> None:
    """For T5 " warm" and "warm" are one text; for BART two, and the space is scored: both warn."""
    spaced, bare = (logpr.score(PROMPT, y, model=loaded(t5)) for y in (" warm mat", "warm mat"))
    assert spaced.token_ids == bare.token_ids
    assert spaced.text == "warm mat"
    assert [warning.split(":")[0] for warning in spaced.warnings] == ["normalised"]
    spaced, bare = (logpr.score(PROMPT, y, model=loaded(bart)) for y in (" warm mat", "warm mat"))
    assert spaced.token_ids != bare.token_ids
    assert spaced.text == " warm mat"
    assert [warning.split(":")[0] for warning in spaced.warnings] == ["leading_space"]
    assert bare.warnings == ()


def test_spaces_at_the_end_of_x_stay_in_x(bart: Path, loaded: Loaded) -> None:
    """x is a text of its own: its last space is read by the encoder and not moved to y."""
    score = logpr.score(f"{PROMPT} ", "warm", model=loaded(bart))
    tokenizer = bart_tokenizer()
    assert score.prompt_ids == tuple(tokenizer(f"{PROMPT} ")["input_ids"])
    assert score.text == "warm"


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_special_tokens(kind: str, loaded: Loaded, request: pytest.FixtureRequest) -> None:
    """In x special strings are parsed, in y they are text; `parse` and `text` change either."""
    folder = request.getfixturevalue(kind)
    model = loaded(folder)
    name, token = ("<extra_id_0>", 3) if kind == "t5" else ("<unk>", 3)
    x, y = f"The {name} sat", f"{name} mat"
    auto = logpr.score(x, y, model=model)
    assert token in (auto.prompt_ids or ())
    assert token not in (auto.token_ids or ())
    parsed = logpr.score(x, y, model=model, special="parse")
    assert (parsed.token_ids or ())[0] == token
    as_text = logpr.score(x, y, model=model, special="text")
    assert as_text.prompt_ids != auto.prompt_ids


def test_the_frame_is_not_doubled(bart: Path, loaded: Loaded) -> None:
    """An x that has the tokenizer's special tokens already gets no second ones."""
    model = loaded(bart)
    plain = logpr.score(PROMPT, "warm", model=model)
    framed = logpr.score(f"<s>{PROMPT}</s>", "warm", model=model)
    assert framed.prompt_ids == plain.prompt_ids
    assert framed.logprob == plain.logprob


def test_an_empty_x_is_its_frame(t5: Path, loaded: Loaded) -> None:
    """The encoder reads `</s>` alone; ids given are used verbatim, and none at all are an error."""
    model = loaded(t5)
    score = logpr.score("", "warm", model=model)
    assert score.prompt_ids == (1,)
    y = list(score.token_ids or ())
    assert score.logprob == pytest.approx(own_score(t5, [1], [0], y), abs=1e-4)
    bare = logpr.score(prompt_ids=[7, 8], candidate="warm", model=model)
    assert bare.prompt_ids == (7, 8)
    with pytest.raises(EmptyContextError, match="encoder has nothing to read"):
        logpr.score(prompt_ids=[], candidate="warm", model=model)


def test_rank_and_rules(t5: Path, loaded: Loaded) -> None:
    """Candidates rank by log Pr, with evidence; `pmi` puts the neutral text into the encoder."""
    model = loaded(t5)
    candidates = ["warm mat", "plush rug", "door"]
    ranking = logpr.rank(PROMPT, candidates, model=model, evidence=True)
    alone = [logpr.score(PROMPT, y, model=model).logprob for y in candidates]
    assert [score.logprob for score in ranking.candidates] == pytest.approx(alone, abs=1e-4)
    assert ranking.best == alone.index(max(alone))
    first = ranking.candidates[0]
    assert first.top_logprob is not None
    assert all(a <= b for a, b in zip(first.token_logprobs or (), first.top_logprob, strict=True))
    pmi = logpr.rank(PROMPT, candidates, model=model, rule="pmi", neutral="The dog")
    neutral = [logpr.score("The dog", y, model=model).logprob for y in candidates]
    gains = [a - b for a, b in zip(alone, neutral, strict=True)]
    assert pmi.order == tuple(sorted(range(3), key=lambda i: -gains[i]))
    # Each step's softmax over a subset: with y's own tokens in it, likelier than over all.
    ids = ranking.candidates[0].token_ids or ()
    query = logpr.Query.of(PROMPT, candidates[:1])
    ((scored,),) = score_window([query], model=model, settings=Settings(among=(*ids, 0)))
    rows = own_logprobs(
        AutoModelForSeq2SeqLM.from_pretrained(t5),
        t5_tokenizer()(PROMPT)["input_ids"],
        [0, *ids[:-1]],
    )
    subset = sorted({*ids, 0})
    own = sum(row[i] - np.logaddexp.reduce(row[subset]) for row, i in zip(rows, ids, strict=True))
    assert scored.among_logprob == pytest.approx(own, abs=1e-4)


def test_many_prompts_share_a_window(bart: Path, loaded: Loaded) -> None:
    """A window of several x gives each query the score that it has alone."""
    model = loaded(bart)
    texts = ["The cat", "The dog said", "The cat", "Why not?"]
    queries = [logpr.Query.of(x, ("hello", "hello again")) for x in texts]
    found = list(logpr.score_many(queries, model=model))
    for x, scores in zip(texts, found, strict=True):
        for score, y in zip(scores, ("hello", "hello again"), strict=True):
            assert score.logprob == pytest.approx(logpr.score(x, y, model=model).logprob, abs=1e-4)


def test_next_is_the_first_step_of_the_decoder(t5: Path, bart: Path, loaded: Loaded) -> None:
    """`next` shows the distribution of y's first token given x, over the decoder's vocabulary."""
    for folder, start in ((t5, [0]), (bart, [2, 0])):
        tokenizer = t5_tokenizer() if folder is t5 else bart_tokenizer()
        step = logpr.next(PROMPT, model=loaded(folder), k=5)
        source = tokenizer(PROMPT)["input_ids"]
        own = own_logprobs(AutoModelForSeq2SeqLM.from_pretrained(folder), source, start)[-1]
        assert step.prompt_ids == tuple(source)
        for outcome in step.outcomes:
            assert outcome.logprob == pytest.approx(own[outcome.id], abs=1e-4)
    with pytest.raises(QueryError, match="messages are one text"):
        logpr.next(messages=[{"role": "user", "content": "Hi"}], model=loaded(t5))
    with pytest.raises(TokenizationError, match="outside the model's vocabulary"):
        logpr.next(prompt_ids=[10_000], model=loaded(t5))


def test_too_long_names_the_side(bart: Path, loaded: Loaded) -> None:
    """x and y overflow apart; `truncate` cuts x behind its start token and says so, never y."""
    model = loaded(bart)
    long = "The cat sat on the warm mat. The answer is on the plush rug. Why not? " * 2
    with pytest.raises(
        ContextLengthError, match=r"candidate 0: the prompt is \d+ .* encoder holds 24"
    ):
        logpr.score(long, "warm", model=model)
    cut = logpr.score(long, "warm", model=model, truncate="left")
    ids = bart_tokenizer()(long)["input_ids"]
    assert cut.prompt_ids == (0, *ids[-23:])
    assert [warning.split(":")[0] for warning in cut.warnings] == ["truncated"]
    y = list(cut.token_ids or ())
    assert cut.logprob == pytest.approx(own_score(bart, list(cut.prompt_ids), [2, 0], y), abs=1e-4)
    for truncate in (None, "left"):
        with pytest.raises(ContextLengthError, match=r"continuation is \d+ .* decoder holds 24"):
            logpr.score("The cat", long, model=model, truncate=truncate)
    # 24 tokens may be fed: the two it starts from, and all of y but the last.
    fits = logpr.score(prompt_ids=[0, 2], candidate_ids=[5] * 23, model=model)
    assert math.isfinite(fits.logprob or math.nan)
    with pytest.raises(ContextLengthError, match="decoder"):
        logpr.score(prompt_ids=[0, 2], candidate_ids=[5] * 23, model=model, end="stop")


@pytest.mark.parametrize("end", ["open", "stop"])
@pytest.mark.parametrize("y", ["sat", "a t", ""])
def test_marginal_sums_over_the_spellings_of_y(end: End, y: str, t5: Path, loaded: Loaded) -> None:
    """The sum over every token sequence that spells y, found by walking the vocabulary by hand."""
    model = loaded(t5)
    score = logpr.score(PROMPT, y, model=model, boundary="marginal", end=end)
    tokenizer = model.tokenizer
    assert tokenizer is not None
    whole = t5_tokenizer()
    text = "".join(whole.convert_ids_to_tokens(list(tokenizer.encode(y, parse_special=False))))
    names = {whole.convert_ids_to_tokens(i): i for i in range(len(whole))}
    network = AutoModelForSeq2SeqLM.from_pretrained(t5)
    source = whole(PROMPT)["input_ids"]

    def spelled(done: str, fed: list[int], logprob: float) -> list[float]:
        row = own_logprobs(network, source, fed)[-1]
        rest = text[len(done) :]
        if not rest:
            return [logprob if end == "open" else logprob + row[1]]
        out: list[float] = []
        for name, token in names.items():
            if token in whole.all_special_ids:
                continue
            if end == "open" and name.startswith(rest):
                out.append(logprob + row[token])
            elif rest.startswith(name):
                out += spelled(done + name, [*fed, token], logprob + row[token])
        return out

    total = np.logaddexp.reduce(spelled("", [0], 0.0))
    assert score.exact
    assert score.logprob == pytest.approx(float(total), abs=1e-4)
    assert (score.logprob or 0.0) >= (
        logpr.score(PROMPT, y, model=model, end=end).logprob or 0.0
    ) - 1e-6


def test_marginal_needs_tokens_for_all_of_y(t5: Path, loaded: Loaded) -> None:
    """What is no part of the vocabulary has no spelling to sum over."""
    with pytest.raises(TokenizationError, match="has none in this vocabulary"):
        logpr.score(PROMPT, "Ω mat", model=loaded(t5), boundary="marginal")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"boundary": "joint"}, r"boundary 'joint' is about a token that x and y share"),
        ({"bos": "never"}, r"always begins with its start token; use bos='auto'"),
        ({"joint": True}, r"no log Pr\(x\).*leave out joint=True"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, r"messages are one text.*prompt='…'"),
    ],
)
def test_what_has_no_meaning_is_refused(
    options: dict[str, object], words: str, t5: Path, loaded: Loaded
) -> None:
    """Options about the place where x and y meet, and about Pr(x), are errors with ways out."""
    prompt = None if "messages" in options else PROMPT
    with pytest.raises(QueryError, match=words):
        logpr.score(prompt, "warm", model=loaded(t5), **options)  # type: ignore[arg-type]


def test_ids_outside_the_vocabulary_are_refused(t5: Path, loaded: Loaded) -> None:
    """Of x and of y, with their place."""
    model = loaded(t5)
    with pytest.raises(TokenizationError, match=r"token id 999 at position 1 of the prompt"):
        logpr.score(prompt_ids=[5, 999], candidate_ids=[5], model=model)
    with pytest.raises(TokenizationError, match=r"token id 999 at position 0 of the candidate"):
        logpr.score(prompt_ids=[5], candidate_ids=[999], model=model)


def test_a_model_without_a_tokenizer_takes_ids() -> None:
    """Ids alone: scored with the start token before y; text is refused in words."""
    model = random_encdec("marian")
    found = HFEncoderDecoder.from_modules(model)
    score = logpr.score(prompt_ids=[5, 6, 0], candidate_ids=[7, 8], model=found, end="stop")
    rows = own_logprobs(model, [5, 6, 0], [90, 7, 8])
    assert score.logprob == pytest.approx(rows[0, 7] + rows[1, 8] + rows[2, 0], abs=1e-4)
    with pytest.raises(QueryError, match="has no tokenizer"):
        logpr.score("The cat", candidate_ids=[7], model=found)
    with pytest.raises(QueryError, match="has no tokenizer"):
        logpr.score(prompt_ids=[5], candidate="warm", model=found)
    with pytest.raises(QueryError, match="has no tokenizer"):
        logpr.next("The cat", model=found)


def test_what_a_model_cannot_say_has_no_probability() -> None:
    """A logit that the forward pass itself sets to −inf gives −inf, and no error."""
    found = HFEncoderDecoder.from_modules(random_encdec("marian"))
    score = logpr.score(prompt_ids=[5, 6], candidate_ids=[7, 3], model=found)
    assert score.logprob == -math.inf


def test_top_1_is_the_winner_of_all(t5: Path, loaded: Loaded) -> None:
    """`top=1` drops candidates below one x without changing the winner or its score."""
    model = loaded(t5)
    rng = torch.Generator().manual_seed(1)
    ids = [torch.randint(5, 60, (8,), generator=rng).tolist() for _ in range(30)]
    x = [4, 5, 6, 1]
    whole = logpr.rank(prompt_ids=x, candidate_ids=ids, model=model)
    best = logpr.rank(prompt_ids=x, candidate_ids=ids, model=model, top=1)
    assert best.best == whole.best
    assert best.candidates[best.best].logprob == pytest.approx(
        whole.candidates[whole.best].logprob, abs=1e-5
    )


class TwoLanguages:
    """A slow tokenizer that cuts x and y in two ways, as Marian's does: letters, or pairs.

    Like Marian's, its decoder drops spaces at the end.
    """

    bos_token_id = None
    eos_token_id = 0
    unk_token_id = 1
    chat_template = None
    all_special_ids = (0, 1)

    def __init__(self) -> None:
        """Make one vocabulary of letters and pairs."""
        letters = "abcdef "
        self.names = ["</s>", "<unk>", *letters, *(a + b for a in letters for b in letters)]

    def __len__(self) -> int:
        """Return the size of the vocabulary."""
        return len(self.names)

    def __call__(
        self, text: str | None = None, *, text_target: str | None = None, **options: bool
    ) -> dict[str, list[int]]:
        """Return the ids of a text, letters in x and pairs in y."""
        step = 1 if text_target is None else 2
        given = text if text_target is None else text_target
        assert given is not None
        parts = [given[i : i + step] for i in range(0, len(given), step)]
        ids = [self.names.index(part) if part in self.names else 1 for part in parts]
        return {"input_ids": [*ids, 0] if options.get("add_special_tokens", True) else ids}

    def encode(self, text: str, **options: bool) -> list[int]:
        """Return the ids of an x."""
        return self(text, **options)["input_ids"]

    def decode(self, token_ids: list[int], **_options: bool) -> str:
        """Return the text of ids."""
        return "".join(self.names[token] for token in token_ids).rstrip(" ")

    def convert_ids_to_tokens(self, ids: int) -> str:
        """Return the token of an id."""
        return self.names[ids]


def test_two_languages_have_two_ways_to_cut_text() -> None:
    """x is tokenised as sources are and y as targets are, where one tokenizer has both."""
    tokenizer = TwoLanguages()
    sides = Sides.of(tokenizer)
    assert sides.frame == ((), (0,))
    assert sides.target_before == ()
    found = HFEncoderDecoder.from_modules(random_encdec("marian", vocab_size=97), sides)
    score = logpr.score("abcd", "abcd", model=found)
    assert score.prompt_ids == tuple(tokenizer("abcd")["input_ids"])
    assert score.token_ids == tuple(tokenizer(text_target="abcd")["input_ids"][:-1])
    assert len(score.prompt_ids) == 5
    assert score.token_texts == ("ab", "cd")
    spaced = logpr.score("a c", "ab  c def", model=found)
    assert spaced.token_texts == ("ab", "  ", "c ", "de", "f")
    assert (spaced.text, spaced.warnings) == ("ab  c def", ())


def test_the_command_line_runs_them(t5: Path, tmp_path: Path) -> None:
    """`rank`, `score`, `next` and `doctor` take such a folder; records keep their names."""
    runner = CliRunner()
    rows = [{"prompt": PROMPT, "candidates": ["warm mat", "plush rug"], "label": 0}] * 3
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ran = runner.invoke(app, ["rank", str(file), "--model", str(t5), "--json", "--tokens"])
    assert ran.exit_code == 0, ran.stderr
    records = [json.loads(line) for line in ran.stdout.splitlines()]
    first = records[0]["candidates"][0]
    model = logpr.load(str(t5))
    score = logpr.score(PROMPT, "warm mat", model=model)
    assert first["logprob"] == pytest.approx(score.logprob, abs=1e-6)
    assert first["token_ids"] == list(score.token_ids or ())
    for verb in (["next", PROMPT], ["score", "--prompt", PROMPT, "warm mat"], ["doctor"]):
        ran = runner.invoke(app, [*verb, "--model", str(t5)])
        assert ran.exit_code == 0, ran.stderr
    assert "cache (in use)" in ran.stdout
    assert "decoder starts from [0]" in " ".join(ran.stdout.split())
    with pytest.raises(UnknownNameError, match="cache or plain"):
        logpr.load(str(t5), executor="forest")
    assert logpr.load(str(t5), executor="plain").provenance.executor == "plain"
    ran = runner.invoke(app, ["next", PROMPT, "--model", str(t5), "--batch-invariant"])
    assert ran.exit_code == 2
    assert "batch_invariant=True is for causal models" in ran.stderr
