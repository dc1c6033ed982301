"""How far half precision moves numbers: of models in memory, and where nobody can say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logpr
from logpr import AuditReport
from logpr.auditing.search.halves import UNMEASURED, fits, measured
from logpr.errors import ModelOutputError
from logpr.models.base import Halved

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from logpr.models.hf import halved as room  # noqa: E402 - behind the guard
from logpr.models.hf.auto import Widened  # noqa: E402
from logpr.models.hf.model import HFModel  # noqa: E402
from tests.models.hf_models import VOCAB, random_model  # noqa: E402

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(scope="module")
def model() -> HFModel:
    """Return a random Llama in float32, in memory alone."""
    return HFModel.from_modules(random_model("llama"), executor="plain")


def of_ids(model: Any, decimals: int, count: int = 6) -> list[dict[str, Any]]:  # noqa: ANN401 - shows rows
    """Return correct claims of a model over random ids."""
    rng = np.random.default_rng(3)
    out = []
    for number in range(count):
        context = rng.integers(3, VOCAB, 5).tolist()
        candidates = []
        for size in (1, 2, 4):
            tokens = rng.integers(3, VOCAB, size).tolist()
            rows = model.next_logits([(*context, *tokens[:at]) for at in range(size)]).logprobs
            score = float(rows[np.arange(size), tokens].sum())
            candidates.append({"token_ids": tokens, "score": f"{score:.{decimals}f}"})
        out.append({"id": number, "prompt_ids": context, "candidates": candidates})
    return out


def notes(report: AuditReport) -> list[str]:
    """Return what is said of sizes that were not measured."""
    return [each for each in report.warnings if each.startswith("half_not_measured")]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_in_memory_is_measured(model: HFModel, dtype: str) -> None:
    """Claims of the same weights in half precision are correct, and nothing was assumed."""
    assert isinstance(model, Halved)
    report = logpr.audit(of_ids(model.in_half(dtype), 5), model=model)
    assert (report.verdict, report.computed_in) == ("correct", dtype)
    assert notes(report) == []


@pytest.mark.parametrize(("sense", "verdict"), [(1.0, "correct"), (-1.5, "unexplained")])
@pytest.mark.parametrize("declares", [{}, {"rule": "per_token", "unit": "perplexity"}], ids=str)
def test_departures_against_the_weights_are_no_half_precision(
    model: HFModel, declares: dict[str, str], sense: float, verdict: str
) -> None:
    """Claims that depart the other way than the rounded weights do are not theirs, in any unit."""
    records, halved = of_ids(model, 9, 15), of_ids(model.in_half("bfloat16"), 9, 15)
    for record, other in zip(records, halved, strict=True):
        for mine, theirs in zip(record["candidates"], other["candidates"], strict=True):
            plain, moved = float(mine["score"]), float(theirs["score"])
            score = plain + sense * (moved - plain)
            if declares:
                score = float(np.exp(-score / len(mine["token_ids"])))
            mine["score"] = f"{score:.5f}"
    report = logpr.audit(records, model=model, declares=declares)
    assert report.verdict == verdict
    assert report.computed_in == ("bfloat16" if sense > 0 else None)


def test_a_type_that_gives_no_numbers_is_left_out(
    model: HFModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where float16 overflows, bfloat16 is measured all the same."""
    own = HFModel.in_half

    def in_half(self: HFModel, dtype: str) -> HFModel:
        if dtype == "float16":
            msg = "NaN"
            raise ModelOutputError(msg)
        return own(self, dtype)

    claims = of_ids(model.in_half("bfloat16"), 5)
    monkeypatch.setattr(HFModel, "in_half", in_half)
    report = logpr.audit(claims, model=model)
    assert (report.verdict, report.computed_in) == ("correct", "bfloat16")
    assert notes(report) == []
    nothing = measured({"bfloat16": np.empty(0)}, {"bfloat16": np.empty(0)}, {"bfloat16": {}})
    assert {each.assumed for each in nothing.values()} == {"no claim has rows to measure it on"}


def test_a_copy_in_half_leaves_the_model_as_it_is() -> None:
    """The weights of the copy are rounded, tied ones still tied; the model's own are not."""
    module = random_model("gpt2")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    copy = room.halved(module, torch.bfloat16)
    assert all(weight.dtype == torch.bfloat16 for weight in copy.parameters())
    assert copy.get_input_embeddings().weight is copy.get_output_embeddings().weight
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype
    ours = dict(module.named_parameters())
    for name, weight in copy.named_parameters():
        assert torch.equal(weight, ours[name].to(torch.bfloat16))
    again = room.halved(copy, torch.bfloat16)
    assert again.get_input_embeddings().weight is copy.get_input_embeddings().weight


def test_a_folder_goes_through_the_same_door(tmp_path: Path) -> None:
    """A model that was loaded by name is measured like one in memory: nothing is read again."""
    random_model("llama").save_pretrained(tmp_path)
    loaded = logpr.load(tmp_path, executor="plain")
    claims = of_ids(loaded.in_half("bfloat16"), 5)  # type: ignore[attr-defined]
    for file in tmp_path.iterdir():
        file.unlink()
    report = logpr.audit(claims, model=loaded)
    assert (report.verdict, report.computed_in) == ("correct", "bfloat16")
    assert notes(report) == []


def test_the_float32_twin_of_a_bfloat16_model_is_measured() -> None:
    """A model that widens its weights as it goes says what they give in their own type."""
    module = random_model("llama").to(torch.bfloat16)
    own = HFModel.from_modules(module, executor="plain")
    wide = Widened(own, module)
    assert isinstance(wide, Halved)
    report = logpr.audit(of_ids(own, 5), model=wide)
    assert (report.verdict, report.computed_in) == ("correct", "bfloat16")
    assert notes(report) == []


def test_without_room_for_a_copy_usual_sizes_are_allowed(
    model: HFModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is accused for lack of memory, and the report says what was not measured, and why."""
    claims = of_ids(model.in_half("bfloat16"), 5)
    monkeypatch.setattr(room, "free_bytes", lambda _: 1000)
    report = logpr.audit(claims, model=model)
    assert (report.verdict, report.faults) == ("correct", ())
    (note,) = notes(report)
    assert "a copy of its weights in bfloat16 takes" in note
    assert "GiB are free" in note
    assert note in str(report)


def test_free_memory_is_known_here() -> None:
    """Where Linux says how much is free, that is what counts; elsewhere nobody says."""
    free = room.free_bytes(torch.device("cpu"))
    assert free is None or 2**20 < free < 2**50
    assert room.free_bytes(torch.device("meta")) is None


def test_weights_of_the_type_already_do_not_say_how_far_it_moves() -> None:
    """Rounding moves no weight that is rounded: the other type's measure stands in, or none."""
    still, sums = np.zeros(4), {0: 0.0}
    moves = {"bfloat16": np.full(4, 0.02), "float16": still}
    tokens = {"bfloat16": np.array([0.03]), "float16": np.zeros(1)}
    found = measured(moves, tokens, {"bfloat16": {0: 0.03}, "float16": sums})
    assert found["bfloat16"].typical == pytest.approx(0.02)
    assert found["float16"].typical == pytest.approx(0.02 / 8)
    assert found["float16"].largest == pytest.approx(4 * 0.02 / 8)
    neither = measured(
        {"bfloat16": still, "float16": still}, tokens, {"bfloat16": sums, "float16": sums}
    )
    assert {name: each.largest for name, each in neither.items()} == {
        name: each.largest for name, each in UNMEASURED.items()
    }
    assert all(each.assumed for each in neither.values())


def test_departures_that_are_no_rounding_do_not_fit() -> None:
    """A constant, ten times the size, many at 0, and the weights' contrary are no rounding."""
    rng = np.random.default_rng(8)
    theirs = rng.normal(0, 0.02, 40)
    typical, width = np.full(40, 0.02), np.full(40, 1e-4)
    assert fits(theirs + rng.normal(0, 0.03, 40), theirs, width, typical)
    assert fits(rng.normal(0, 0.03, 40), theirs, width, typical)
    assert not fits(np.full(40, 0.03), theirs, width, typical)
    assert not fits(10 * theirs, theirs, width, typical)
    assert not fits(np.where(np.arange(40) < 25, 0.0, theirs), theirs, width, typical)
    assert not fits(-theirs, theirs, width, typical)
    # Cut off at two decimals all lie on one side, by half a last place.
    cut = rng.normal(0, 0.002, 40) - rng.uniform(0, 0.01, 40)
    assert fits(cut, np.zeros(40), np.full(40, 0.01), np.full(40, 0.002))
