"""Faults of the zoo that released packages have: what they print, run and audited.

Each test runs a package as its documentation says, and asserts what the audit makes of the numbers.
A package that is not installed skips its own test alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import logpr
from logpr import AuditReport

torch = pytest.importorskip("torch", reason='torch is needed: pip install "logpr[hf]"')
transformers = pytest.importorskip(
    "transformers", reason='transformers is needed: pip install "logpr[hf]"'
)

BUILTIN = Path(logpr.__file__).parent / "models" / "builtin_model"
BOS, EOS = 0, 1

QUESTIONS = (
    ("Tom was thirsty, so he drank a", ("cup of water", "cup of sand", "water")),
    ("The cat sat on the", ("soft bed", "soft bed and slept all day", "mat")),
    ("Mom gave her a", ("big hug", "kiss", "big red apple and a small green pear")),
    ("Lily was sad. She wanted to", ("play", "go home", "play with her red ball in the sun")),
)
STORIES = (
    "Tom and Lily played in the park all day. They went home and slept. The end.",
    "The cat was hungry. The girl gave the cat some milk. They were best friends.",
    "A boy lost his ball. Mom gave him a new ball. They lived happily ever after.",
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built-in model with a tokenizer that adds no start token, as GPT-2's adds none."""
    return changed(tmp_path_factory.mktemp("bare"), "tokenizer.json", {"post_processor": None})


def changed(folder: Path, file: str, fields: dict[str, Any]) -> Path:
    """Return a copy of the built-in model's folder with other fields in one of its files."""
    out = folder / "model"
    shutil.copytree(BUILTIN, out)
    said = json.loads((out / file).read_text(encoding="utf-8"))
    (out / file).write_text(json.dumps({**said, **fields}), encoding="utf-8")
    return out


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ids(*changes: Any) -> list[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - FaultFound
    """Return entries with their parameters."""
    return [(change.id, dict(change.parameters)) for change in changes]


def whole(report: AuditReport) -> bool:
    """Return whether all claims are reproduced."""
    return report.explained_rows == report.rows_total > 0


def sampled(*, normalize_logits: bool | None = None, **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - generate's own
    """Return sampled continuations with what `compute_transition_scores` says of them."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(BUILTIN))
    model = transformers.AutoModelForCausalLM.from_pretrained(str(BUILTIN)).eval()
    out = []
    for prompt, _ in QUESTIONS:
        fed = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        made = model.generate(
            **fed,
            max_new_tokens=5,
            num_return_sequences=4,
            do_sample=True,
            return_dict_in_generate=True,
            output_scores=True,
            pad_token_id=BOS,
            **options,
        )
        asked = {} if normalize_logits is None else {"normalize_logits": normalize_logits}
        scores = model.compute_transition_scores(made.sequences, made.scores, **asked)
        size = fed.input_ids.shape[1]
        candidates = [
            {"token_ids": tokens[size:].tolist(), "score": float(row.sum())}
            for tokens, row in zip(made.sequences, scores, strict=True)
        ]
        assert not any(EOS in candidate["token_ids"] for candidate in candidates)
        out.append({"prompt_ids": fed.input_ids[0].tolist(), "candidates": candidates})
    return out


def test_transformers_scores_are_logits_by_default() -> None:
    """`compute_transition_scores` as it is called by default sums to raw logits."""
    report = logpr.audit(sampled(top_k=0), model="builtin")
    assert report.verdict == "fault"
    assert ids(*report.faults) == [("raw_logit_sum", {})]
    assert whole(report)
    assert "positive_value" in {finding.id for finding in report.findings}


def test_transformers_scores_are_of_the_shortlist() -> None:
    """With normalize_logits=True they are over what `generate` left: its default top 50."""
    report = logpr.audit(sampled(normalize_logits=True), model="builtin")
    assert ids(*report.faults) == [("shortlist_softmax", {"k": 50})]
    assert whole(report)


@pytest.mark.parametrize(
    ("options", "fault", "name"),
    [
        ({"temperature": 0.7, "top_k": 0}, "temperature", "T"),
        ({"top_p": 0.8, "top_k": 0}, "nucleus_renormalised", "p"),
    ],
)
def test_transformers_scores_are_after_the_warpers(
    options: dict[str, float], fault: str, name: str
) -> None:
    """With a temperature or top-p they are under it, and the audit solves for its value."""
    report = logpr.audit(sampled(normalize_logits=True, **options), model="builtin")
    (found,) = report.faults
    assert found.id == fault
    interval: Any = dict(found.parameters)[name]
    low, high = interval
    given = options["temperature" if name == "T" else "top_p"]
    assert low - 1e-4 <= given <= high + 1e-4
    assert high - low < 1e-3
    assert whole(report)


def test_minicons_takes_the_mean() -> None:
    """`conditional_score` of minicons divides by the number of tokens, and so flips decisions."""
    scorers = pytest.importorskip("minicons.scorer", reason="pip install minicons==0.3.39")
    scorer = scorers.IncrementalLMScorer(str(BUILTIN), "cpu")
    records = [
        {
            "prompt": prompt,
            "candidates": [f" {text}" for text in texts],
            "scores": scorer.conditional_score([prompt] * len(texts), list(texts)),
        }
        for prompt, texts in QUESTIONS
    ]
    report = logpr.audit(records, model="builtin")
    assert report.verdict == "other_definition"
    assert ids(*report.faults) == [("mean", {})]
    assert whole(report)
    assert report.flips >= 1
    assert all(row.struck == (row.tokens != 1) for row in report.rows)


def test_minicons_reads_labels_along_its_own_text(bare: Path) -> None:
    """`fixed_label_score` of minicons reads each label's tokens after the model's greedy text."""
    scorers = pytest.importorskip("minicons.scorer", reason="pip install minicons==0.3.39")
    labels = ["cup of water", "big red ball", "soft bed", "small dog", "hot cup of tea"]
    prompts = [prompt for prompt, _ in QUESTIONS]
    scorer = scorers.IncrementalLMScorer(str(bare), "cpu")
    said = scorer.fixed_label_score(prompts, labels)
    encode = transformers.AutoTokenizer.from_pretrained(str(bare))
    records = [
        {
            "prompt_ids": encode(prompt).input_ids,
            "candidates": [
                {"token_ids": encode(f" {label}").input_ids, "score": float(score)}
                for label, score in zip(labels, row, strict=True)
            ],
        }
        for prompt, row in zip(prompts, said, strict=True)
    ]
    report = logpr.audit(records, model="builtin")
    assert report.verdict == "fault"
    assert ids(*report.faults) == [("not_teacher_forced", {})]
    assert whole(report)


def surprisals(folder: Path, prompts: Sequence[str], start: list[int]) -> list[dict[str, Any]]:
    """Return minus the surprisals of texts after prompts, as the package surprisal has them."""
    package = pytest.importorskip("surprisal", reason="pip install surprisal==0.1.7")
    model = package.CausalHuggingFaceModel(str(folder))
    encode = transformers.AutoTokenizer.from_pretrained(str(folder))
    out = []
    for prompt in prompts:
        context = encode(prompt).input_ids
        candidates = []
        for text in (" The", " They were happy.", " One day, it was cold.", " Tom said yes."):
            tokens = encode(prompt + text).input_ids
            assert tokens[: len(context)] == context
            (said,) = model.surprise(prompt + text)
            part = said.surprisals[len(context) :].astype("float64")
            candidates.append(
                {"token_ids": tokens[len(context) :], "score": -float(part.sum()), "text": text}
            )
        out.append({"prompt_ids": [*start, *context], "candidates": candidates})
    return out


@pytest.mark.filterwarnings("ignore:.*torch_dtype.*")
def test_surprisal_leaves_out_the_end_token(bare: Path) -> None:
    """`surprisal` sets the logit of its pad, the end token, to −inf: all others are too likely."""
    report = logpr.audit(surprisals(bare, STORIES, [BOS]), model="builtin")
    assert report.verdict == "fault"
    assert ids(*report.faults) == [("vocab_rows_masked", {"ids": (EOS,)})]
    assert whole(report)
    # After "The end." a story ends: the end token has most of the probability that is left out.
    gains = [row.claimed - row.logprob for row in report.rows if row.claimed and row.logprob]
    assert 0.9 < max(gains) < 1.1
    assert min(gains) > 0


@pytest.mark.filterwarnings("ignore:.*torch_dtype.*")
def test_surprisal_doubles_the_start_token() -> None:
    """Where the tokenizer adds a start token, `surprisal` puts another before it: two faults."""
    report = logpr.audit(surprisals(BUILTIN, STORIES[:1], []), model="builtin")
    assert report.verdict == "fault"
    assert ids(*report.faults) == [
        ("bos_doubled", {}),
        ("vocab_rows_masked", {"ids": (EOS,)}),
    ]
    assert whole(report)
