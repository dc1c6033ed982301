"""The measurements of decoding: which prompts, whose proof, what is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import DynamicLayer

import logpr
from benchmarks.decode import beams, longer, memory, models, single, speed, stories, summary, texts
from benchmarks.decode.stories import Record, Settings, Tried
from benchmarks.decode.texts import Kind, Prompt
from logpr.models.base import Model

VOCAB, LENGTH = 11, 4


def llama(seed: int = 0) -> LlamaForCausalLM:
    """Return a tiny model whose distributions are far from flat."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.4,
    )
    return LlamaForCausalLM(config).requires_grad_(requires_grad=False)


@pytest.mark.parametrize("seed", range(3))
def test_the_search_one_by_one_finds_the_most_probable_of_all(seed: int) -> None:
    """All 11^3 continuations are scored by the model itself; the best is what it proves."""
    model = llama(seed)
    found = single.best_of(model, (1, 2, 3), length=3)
    assert found is not None
    every = torch.cartesian_prod(*[torch.arange(VOCAB)] * 3)
    whole = torch.cat([torch.tensor([[1, 2, 3]]).expand(len(every), -1), every], dim=1)
    with torch.inference_mode():
        steps = model(whole).logits.double().log_softmax(-1)[:, 2:5]
    totals = steps.gather(2, every[:, :, None])[:, :, 0].sum(1)
    assert found.token_ids == tuple(every[totals.argmax()].tolist())
    assert found.logprob == pytest.approx(float(totals.max()), abs=1e-4)
    assert single.best_of(model, (1, 2, 3), length=3, most_nodes=2) is None


def test_caches_grow_apart() -> None:
    """A branch shares the tensors of its parent, and the parent's stay as they are."""
    model = llama()
    cache = DynamicCache(config=model.config)
    single._next(model, (1, 2), cache)
    branch = single._branched(cache)
    layer, shared = cache.layers[0], branch.layers[0]
    assert isinstance(layer, DynamicLayer)
    assert isinstance(shared, DynamicLayer)
    assert shared.keys is layer.keys
    single._next(model, (3,), branch)
    assert (cache.get_seq_length(), branch.get_seq_length()) == (2, 3)


def test_prompts_are_cut_where_they_are_said_to_be() -> None:
    """Under `open` story i keeps 30 + i mod 31 tokens; under `stop` it loses 1 + i mod 12."""
    told = [tuple(range(100 + i)) for i in range(40)]
    opened, stopped = texts.prompts("open", told), texts.prompts("stop", told)
    for i, story in enumerate(told):
        assert opened[i].prompt_ids == story[: 30 + i % 31]
        assert opened[i].real_ids == story[30 + i % 31 :][:12]
        assert stopped[i].prompt_ids + stopped[i].real_ids == story
        assert len(stopped[i].real_ids) == 1 + i % 12


def record(
    index: int, found: float | None, *, kind: Kind = "stop", status: str = "optimal"
) -> Record:
    """Return a record in which every method came to `found`; the mode has −2."""
    tried = Tried(
        token_ids=[1],
        text="a",
        logprob=found,
        found=None if status == "gap" else found == -2.0,
        free=found == -2.0,
        expansions=3,
        seconds=0.1,
    )
    return Record(
        index=index,
        kind=kind,
        prompt_tokens=30,
        status=status,
        stopped="finished",
        lower=-2.0,
        gap=0.5 if status == "gap" else 0.0,
        epsilon=1e-5,
        at_most_better=7 if status == "gap" else 0,
        any_length=True,
        ledger=1.0,
        expansions=10 * (index + 1),
        forward_passes=4,
        tokens_fed=50,
        seconds=0.2,
        whole_seconds=0.3,
        mode_ids=[1],
        mode_text="a",
        real_logprob=-3.0,
        real_is_mode=False,
        tried=dict.fromkeys(stories.METHODS, tried),
        empty_logprob=-9.0,
        empty_rank=[4, 4],
        better_than_empty=3,
        verified=True,
        verified_by=5,
    )


RECORDS = [record(0, -2.0), record(1, -2.5), record(2, None), record(3, -2.0, status="gap")]


def test_an_output_that_was_cut_finds_nothing() -> None:
    """Of three proven modes one is found, one missed by half a nat, and one output is no output."""
    count = summary.counted(RECORDS, "greedy")
    assert (count.found, count.free, count.cut, count.short) == (1, 1, 1, (0.5,))


def test_the_table_counts_proven_modes_alone() -> None:
    """What is unproven has its own lines, and is no prompt of the others."""
    lines = summary.markdown({"here": RECORDS}).splitlines()
    assert "| mode proven | 3 of 4 |" in lines
    assert "| unproven: their gaps | 0.5 (0.5 … 0.5) nats |" in lines
    assert "| greedy finds the mode | 1 of 3 |" in lines
    assert "| expansions to proof | 20 (10 … 30) |" in lines
    assert "| the empty output: rank | known in 3 (4 to 4) |" in lines


def test_records_come_back_from_their_lines(tmp_path: Path, stories_model: Model) -> None:
    """What was written is what is read; each experiment ends with verified certificates."""
    told = texts.stories(stories_file(tmp_path), stories_model.tokenizer, 2, texts.END_ID)  # type: ignore[arg-type]
    settings = Settings(above_empty=3, empty_budget="20 nodes")
    for kind in ("open", "stop"):
        path = tmp_path / f"{kind}.jsonl"
        asked = [replace(one, prompt_ids=one.prompt_ids[-20:]) for one in texts.prompts(kind, told)]
        written = list(stories.write(path, asked, stories_model, settings))
        assert stories.read(path) == written
        assert all(one.status == "optimal" and one.verified for one in written)
        assert (written[0].empty_logprob is None) == (kind == "open")


def stories_file(folder: Path) -> Path:
    """Write a file of three stories that are long enough, the last one cut."""
    path = folder / "stories.txt"
    story = "Once upon a time there was a little dog. He liked to run and play in the park. " * 4
    path.write_text(f"{story}\n<|endoftext|>\nOne day {story}\n<|endoftext|>\n{story[:20]}")
    return path


@pytest.fixture(scope="module")
def stories_model(data_dir: Path) -> Model:
    """Return stories260K, run by transformers."""
    return logpr.load(str(data_dir / texts.MODEL))


def test_three_searches_prove_the_same(data_dir: Path) -> None:
    """The benchmark ends with an error where they do not; here it ends with a row."""
    case = replace(models.cases(data_dir)[0], length=5)
    (row,) = speed.measured(case, data_dir, proofs=1, least=1, most=5000, repeats=1)
    assert row.ours.token_ids == row.transformers.token_ids == row.one_by_one.token_ids
    assert row.ceiling > row.rate > 0.0
    assert speed.markdown([row]).count("\n") >= 3


def test_beams_are_those_of_generate(data_dir: Path) -> None:
    """No answer differs from that of transformers."""
    case = models.cases(data_dir)[0]
    found = beams.measured(case, data_dir, prompts=4, width=3, length=5)
    assert found.differ == 0
    assert {len(times) for times in found.seconds.values()} == {4}
    assert beams.GENERATE in beams.markdown([found])


def test_how_far_proofs_reach(stories_model: Model) -> None:
    """A search that is stopped has a gap, one that is not has none."""
    prompt = Prompt(0, "open", (1, 403, 407, 261), ())
    short = list(longer.reached([prompt], stories_model, [3], "30s"))
    stopped = list(longer.reached([prompt], stories_model, [30], "50 nodes"))
    assert (short[0].status, stopped[0].status) == ("optimal", "gap")
    assert stopped[0].gap > 0.0
    lines = longer.markdown(short + stopped).splitlines()
    assert lines[2].startswith("| exactly 3 tokens | 1 of 1 |")
    assert lines[3].startswith("| exactly 30 tokens | 0 of 1 | – | – |")


def test_the_bound_on_memory_is_read_as_it_is_written() -> None:
    """40 MB of 64MB are 0.62 of it."""
    held = memory.Held(
        model="a/stories260K",
        memory="64MB",
        peak=40_000_000,
        counted=30_000_000,
        expansions=1000,
        fed_again=0,
        dropped=0.0,
        seconds=3.0,
    )
    assert "| stories260K | 64MB | 40 | 0.62 | 30 | 1,000 | 0 | 3 |" in memory.markdown([held])
