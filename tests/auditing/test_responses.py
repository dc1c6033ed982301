"""What a recorded response shows of itself: nothing where right, a mark for each wrong number."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import logpr
from logpr.auditing.responses.claims import claim_rows
from logpr.auditing.responses.report import response_findings, responses_report
from logpr.auditing.responses.values import Response
from logpr.errors import NumbersError, RecordError
from logpr.io.responses import read_responses

VOCAB = 60
STEPS = 12
Formula = Callable[[np.ndarray, int], np.ndarray]


def rows_of(seed: int, *, steps: int = STEPS, scale: float = 3.0) -> np.ndarray:
    """Return rows of logits as a model might give them: [steps, vocab]."""
    return np.random.default_rng(seed).normal(0.0, scale, (steps, VOCAB))


def log_softmax(row: np.ndarray, _: int = 0) -> np.ndarray:
    """Return the right numbers."""
    shifted = row - row.max()
    return np.asarray(shifted - math.log(np.exp(shifted).sum()))


def document(
    rows: np.ndarray,
    *,
    k: int = 5,
    formula: Formula = log_softmax,
    listed: Formula | None = None,
    decimals: int | None = None,
    seed: int = 0,
    greedy: bool = False,
) -> dict[str, Any]:
    """Return a chat completion whose numbers `formula` made of the rows, tokens sampled.

    `listed` makes the lists' numbers where they are to be others; a formula gets k too.
    """
    rng = np.random.default_rng(seed)
    content = []
    for row in rows:
        order = np.argsort(-row, kind="stable")
        token = int(order[0]) if greedy else int(rng.choice(VOCAB, p=np.exp(log_softmax(row))))
        own, beside = formula(row, k), (listed or formula)(row, k)
        if decimals is not None:
            own, beside = np.round(own, decimals), np.round(beside, decimals)
        tops = [entry(int(place), beside) for place in order[:k]]
        content.append({**entry(token, own), "top_logprobs": tops})
    text = "".join(item["token"] for item in content)
    choice = {"index": 0, "message": {"content": text}, "logprobs": {"content": content}}
    return {"object": "chat.completion", "model": "m", "choices": [choice]}


def entry(token: int, values: np.ndarray) -> dict[str, Any]:
    """Return one token as a chat names it."""
    text = f" t{token}"
    return {"token": text, "logprob": float(values[token]), "bytes": list(text.encode())}


def audited(*documents: dict[str, Any]) -> tuple[Response, ...]:
    """Return the responses of documents."""
    return tuple(response for item in documents for response in read_responses(item))


def found(*documents: dict[str, Any]) -> dict[str, Any]:
    """Return the findings by id."""
    return {finding.id: finding for finding in response_findings(audited(*documents))}


def accusing(*documents: dict[str, Any]) -> set[str]:
    """Return the ids of the findings that accuse."""
    return {name for name, finding in found(*documents).items() if finding.accuses}


def top_k(row: np.ndarray, k: int) -> np.ndarray:
    """Return the softmax over the k largest."""
    kept = np.sort(row)[-k:]
    return np.asarray(row - kept.max() - math.log(np.exp(kept - kept.max()).sum()))


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Return values rounded to bfloat16, nearest even."""
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return kept.astype(np.uint32).view(np.float32).astype(np.float64)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 20),
    decimals=st.sampled_from([None, 1, 2, 3, 4, 6]),
    scale=st.floats(0.1, 12.0),
)
def test_right_numbers_are_never_accused(
    seed: int, k: int, decimals: int | None, scale: float
) -> None:
    """Log-softmax of any rows, at any printed digits and list size, is not accused."""
    asked = document(rows_of(seed, scale=scale), k=k, decimals=decimals, seed=seed)
    assert accusing(asked) == set()
    assert responses_report(audited(asked)).verdict == "not_enough_evidence"


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), k=st.integers(1, 10))
def test_float32_numbers_are_never_accused(seed: int, k: int) -> None:
    """Neither are those of float32 arithmetic on bfloat16 logits, written in full."""
    asked = document(
        bfloat16(rows_of(seed)),
        k=k,
        formula=lambda row, _: log_softmax(row.astype(np.float32)).astype(np.float32),
    )
    assert accusing(asked) == set()


def test_the_report_says_what_it_cannot_tell() -> None:
    """Without a contradiction the sentence says so, and names what stays untested."""
    report = responses_report(audited(document(rows_of(1))))
    assert report.sentence == (
        "nothing in these numbers contradicts log-probabilities; whether they are log Pr(y | x) "
        "cannot be told without the model"
    )
    assert report.exit_code == 2
    assert report.evidence == "response"
    assert any("raw_logit_sum" in untested.ids for untested in report.untested)
    (row,) = report.rows
    assert row.tokens == STEPS
    assert row.token_texts is not None
    assert row.token_texts[0].startswith(" t")
    assert not row.struck


def test_a_shortlist_softmax_is_named_with_its_size() -> None:
    """Lists of 5 that always sum to 1 are a softmax over 5 tokens."""
    report = responses_report(audited(document(rows_of(2), formula=top_k, greedy=True)))
    assert report.verdict == "fault"
    (fault,) = report.faults
    assert (fault.id, fault.parameters) == ("shortlist_softmax", (("k", 5),))
    assert report.rows[0].struck
    assert {finding.id for finding in report.findings if finding.accuses} == {
        "constant_mass",
        "mass_is_exactly_one",
    }


@pytest.mark.parametrize("decimals", [3, 4, 6])
def test_a_shortlist_softmax_is_seen_through_rounding(decimals: int) -> None:
    """Three decimals are enough where the listed tokens are near one another."""
    rows = rows_of(3, scale=1.0)
    assert "constant_mass" in accusing(
        document(rows, formula=top_k, decimals=decimals, greedy=True)
    )


def test_masked_tokens_are_no_part_of_a_shortlist() -> None:
    """A sampler's top-k seen in lists of ten: six of them are −9999, and k is 4."""

    def masked(row: np.ndarray, _: int) -> np.ndarray:
        kept = np.where(row >= np.sort(row)[-4], top_k(row, 4), -9999.0)
        return np.asarray(kept)

    report = responses_report(audited(document(rows_of(2), k=10, formula=masked, greedy=True)))
    assert report.faults[0].parameters == (("k", 4),)
    assert "sentinel_values" in {finding.id for finding in report.findings}


def test_a_whole_vocabulary_may_sum_to_one() -> None:
    """A list as large as the vocabulary has all of the probability by right."""
    assert accusing(document(rows_of(4, scale=1.0), k=VOCAB)) == set()


def test_a_peaked_distribution_may_sum_to_one() -> None:
    """Lists whose last token is as rare as the tail say nothing."""
    assert "mass_is_exactly_one" not in found(document(rows_of(5, scale=30.0)))


def test_a_distribution_over_ten_digits_is_right() -> None:
    """A model that draws digits between commas leaves nothing to other tokens, and is right."""
    rows = np.full((STEPS, VOCAB), -30.0)
    rows[::2, :10] = np.random.default_rng(1).normal(0.0, 0.5, (STEPS // 2, 10))
    rows[1::2, 20] = 0.0
    marks = found(document(rows, k=10, decimals=4))
    assert marks["mass_is_exactly_one"].rows == STEPS // 2
    assert not any(finding.accuses for finding in marks.values())


def test_a_nucleus_is_accused_without_a_name() -> None:
    """Lists of many sizes that all sum to 1 are a cut distribution; which cut is not told."""
    whole = document(rows_of(6, scale=1.0), k=8, formula=top_k)
    content = whole["choices"][0]["logprobs"]["content"]
    for place, item in enumerate(content):
        row = rows_of(6, scale=1.0)[place]
        size = 3 + place % 4
        kept = np.argsort(-row)[:size]
        item.clear()
        item.update(entry(int(kept[0]), top_k(row, size)))
        item["top_logprobs"] = [entry(int(token), top_k(row, size)) for token in kept]
    whole["choices"][0]["message"]["content"] = "".join(item["token"] for item in content)
    report = responses_report(audited(whole))
    assert report.verdict == "unexplained"
    assert report.faults == ()
    assert report.findings[0].id == "mass_is_exactly_one"
    assert "nucleus_renormalised" in report.findings[0].suggests


def test_raw_logits_are_accused_without_a_name() -> None:
    """Raw logits break both laws; that they are raw and not scaled the numbers do not say."""
    report = responses_report(audited(document(rows_of(7), formula=lambda row, _: row)))
    assert report.verdict == "unexplained"
    assert {"positive_logprob", "top_mass_above_one"} <= {f.id for f in report.findings}
    assert "raw_logit_sum" in report.findings[0].suggests


def test_masses_above_one_are_seen_without_positive_numbers() -> None:
    """log Pr / 2 is negative everywhere and sums to more than 1."""
    asked = document(rows_of(8), k=20, formula=lambda row, _: log_softmax(row) / 2)
    assert accusing(asked) == {"top_mass_above_one"}


def test_probabilities_are_another_unit() -> None:
    """Numbers in [0, 1] sold as log-probabilities are probabilities: a choice, no fault."""
    report = responses_report(
        audited(document(rows_of(9), formula=lambda row, _: np.exp(log_softmax(row)), decimals=6))
    )
    assert report.verdict == "other_definition"
    assert [fault.id for fault in report.faults] == ["probability"]
    assert {f.id for f in report.findings if f.accuses} == {"probabilities_not_logprobs"}


def test_turned_signs_are_a_fault() -> None:
    """−log Pr is no log-probability: its argmax is the worst."""
    report = responses_report(
        audited(document(rows_of(10), formula=lambda row, _: -log_softmax(row)))
    )
    assert (report.verdict, [fault.id for fault in report.faults]) == ("fault", ["negated"])


def test_half_precision_log_probabilities_are_a_fault() -> None:
    """Numbers that are all bfloat16 were rounded after the softmax."""
    report = responses_report(
        audited(document(rows_of(11), formula=lambda row, _: bfloat16(log_softmax(row))))
    )
    assert report.verdict == "fault"
    assert report.faults[0].parameters == (("dtype", "bfloat16"),)
    other = document(
        rows_of(12),
        formula=lambda row, _: log_softmax(row).astype(np.float16).astype(np.float64),
    )
    report = responses_report(audited(other))
    assert report.faults[0].parameters == (("dtype", "float16"),)


def test_a_softmax_in_half_precision_may_exceed_one() -> None:
    """What the grid explains is left to it: masses above 1 come with a bfloat16 normaliser."""

    def coarse(row: np.ndarray, _: int) -> np.ndarray:
        return bfloat16(log_softmax(row) + 0.03)

    report = responses_report(audited(document(rows_of(11), k=50, formula=coarse, greedy=True)))
    assert {finding.id for finding in report.findings if finding.accuses} >= {
        "half_precision_grid",
        "top_mass_above_one",
    }
    assert [fault.id for fault in report.faults] == ["half_precision"]


def test_certain_tokens_show_the_logits_grid_and_are_right() -> None:
    """Beside a token of probability 1 the numbers are differences of logits, on their grid."""
    rows = np.round(rows_of(13) * 8) / 8
    rows[:, 0] = 30.0
    asked = document(rows, formula=lambda row, _: log_softmax(row).astype(np.float32), greedy=True)
    assert accusing(asked) == set()


def test_raw_logits_of_half_precision_are_raw_logits() -> None:
    """Their grid does not explain that they are no log-probabilities."""
    report = responses_report(audited(document(rows_of(7), formula=lambda row, _: bfloat16(row))))
    assert report.verdict == "unexplained"


def test_nan_is_accused() -> None:
    """The logarithm of a negative share is no number."""
    asked = document(rows_of(7))
    asked["choices"][0]["logprobs"]["content"][0]["logprob"] = math.nan
    assert accusing(asked) == {"not_a_number"}
    assert responses_report(audited(asked)).verdict == "unexplained"


def test_logits_of_half_precision_are_no_fault() -> None:
    """Differences on a grid come from bfloat16 logits, softmax in float32: no accusation."""
    rows = np.round(rows_of(13) * 8) / 8
    finding = found(document(rows))["rounding_grid"]
    assert "1/8" in finding.says
    assert not finding.accuses


def test_two_values_of_one_token_are_accused() -> None:
    """The chosen token at another temperature than its list."""
    asked = document(rows_of(14), listed=lambda row, _: log_softmax(row / 0.5), k=10, greedy=True)
    assert "chosen_disagrees_with_list" in accusing(asked)


def test_a_chosen_token_above_its_list_is_accused() -> None:
    """A token likelier than the last listed one has to be listed."""
    asked = document(rows_of(15), greedy=True)
    for item in asked["choices"][0]["logprobs"]["content"]:
        del item["top_logprobs"][0]
    assert accusing(asked) == {"chosen_missing_but_above_list"}


def test_lists_that_the_caller_named_may_leave_the_token_out() -> None:
    """Where every list has the same tokens, they are no list of the likeliest."""
    asked = document(rows_of(15), greedy=True)
    for row, item in zip(rows_of(15), asked["choices"][0]["logprobs"]["content"], strict=True):
        item["top_logprobs"] = [entry(token, log_softmax(row)) for token in (0, 1)]
    assert "chosen_missing_but_above_list" not in found(asked)


def test_halves_of_characters_are_not_compared() -> None:
    """A token that is half a character cannot be found in its list by its text."""
    asked = document(rows_of(16), greedy=True)
    for item in asked["choices"][0]["logprobs"]["content"]:
        item["token"], item["bytes"] = "�", None
        item["top_logprobs"][0]["token"], item["top_logprobs"][0]["bytes"] = "?", None
    assert accusing(asked) == set()


def test_lists_say_how_the_text_was_made() -> None:
    """Sampling, unsorted lists, ties and duplicates are told and not accused."""
    asked = document(rows_of(17), k=5)
    assert found(asked)["greedy_but_not_top"].rows == sum(
        item["logprob"] < item["top_logprobs"][0]["logprob"]
        for item in asked["choices"][0]["logprobs"]["content"]
    )
    asked = document(rows_of(18), greedy=True)
    content = asked["choices"][0]["logprobs"]["content"]
    assert set(found(asked)) == set()
    content[0]["top_logprobs"].reverse()
    content[1]["top_logprobs"][3] = content[1]["top_logprobs"][2]
    marks = found(asked)
    assert set(marks) == {"list_not_sorted", "duplicate_tokens", "equal_top_ties"}
    assert marks["list_not_sorted"].rows == 1
    assert not any(finding.accuses for finding in marks.values())


def test_one_id_twice_is_accused() -> None:
    """Two entries of one id cannot both be the token's."""
    asked = document(rows_of(19), greedy=True)
    tops = asked["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    for place, item in enumerate(tops):
        item["id"] = min(place, 3)
    assert "duplicate_tokens" in accusing(asked)


def test_sentinels_are_named() -> None:
    """−9999 and the lowest float32 stand for no number; log(1e-10) is a floor."""
    asked = document(rows_of(20))
    tops = asked["choices"][0]["logprobs"]["content"][2]["top_logprobs"]
    tops[3]["logprob"], tops[4]["logprob"] = -9999.0, -3.4028234663852886e38
    finding = found(asked)["sentinel_values"]
    assert (finding.rows, finding.accuses) == (1, False)
    assert "-9999.0" in finding.says
    floored = document(
        rows_of(21, scale=9.0),
        k=20,
        formula=lambda row, _: np.log(np.exp(log_softmax(row)) + 1e-10),
    )
    for item in floored["choices"][0]["logprobs"]["content"]:
        item["top_logprobs"][-1]["logprob"] = math.log(1e-10)
    assert found(floored)["floor_at_epsilon"].suggests == ("log_epsilon",)


def test_missing_positions_are_told() -> None:
    """Nulls, and text without tokens, leave a sum without its meaning."""
    asked = document(rows_of(22))
    content = asked["choices"][0]["logprobs"]["content"]
    content[4]["logprob"] = None
    assert found(asked)["missing_positions"].rows == 1
    asked = document(rows_of(22))
    asked["choices"][0]["message"]["content"] = "Well," + asked["choices"][0]["message"]["content"]
    assert found(asked)["missing_positions"].suggests == ("first_token_dropped",)
    asked = document(rows_of(22))
    asked["choices"][0]["message"]["content"] += " and so on"
    assert found(asked)["missing_positions"].suggests == ("last_token_dropped",)
    asked = document(rows_of(22))
    asked["choices"][0]["logprobs"]["content"][1]["bytes"] = [65]
    assert "missing_positions" in found(asked)


def test_flat_and_equal_numbers_are_told() -> None:
    """A softmax of probabilities is nearly uniform; one value for all tokens is no model's."""

    def twice(row: np.ndarray, _: int) -> np.ndarray:
        return log_softmax(np.exp(log_softmax(row)))

    assert found(document(rows_of(23), formula=twice))["flat"].suggests == ("double_softmax",)
    equal = document(rows_of(24), formula=lambda row, _: np.full_like(row, -2.0))
    assert "all_equal" in found(equal)


@pytest.mark.parametrize("temperature", [0.5, 0.7, 1.5])
@pytest.mark.parametrize("decimals", [None, 4])
def test_two_temperatures_of_one_prompt_are_found(temperature: float, decimals: int | None) -> None:
    """Two responses whose lists are one distribution at T and at 1."""
    rows = rows_of(25)
    first = document(rows, decimals=decimals, greedy=True)
    second = document(
        rows,
        formula=lambda row, _: log_softmax(row / temperature),
        decimals=decimals,
        greedy=True,
    )
    report = responses_report(audited(first, second))
    assert report.verdict == "fault"
    (fault,) = report.faults
    assert fault.id == "temperature"
    ((name, interval),) = fault.parameters
    assert name == "T"
    assert isinstance(interval, tuple)
    low, high = interval
    assert isinstance(low, float)
    assert low <= temperature <= high
    assert high - low < 0.02
    assert [row.struck for row in report.rows] == [True, True]


def test_one_temperature_or_noise_is_no_finding() -> None:
    """The same distribution twice, with noise or without, is not two temperatures."""
    rows = rows_of(26)
    noisy = rows + np.random.default_rng(1).normal(0, 0.1, rows.shape)
    for second in (rows, noisy, rows_of(27)):
        asked = document(rows, greedy=True), document(second, greedy=True)
        assert "processed_by_temperature" not in found(*asked)


def test_rows_are_struck_one_by_one() -> None:
    """Of two responses only the one that is wrong is struck."""
    report = responses_report(
        audited(document(rows_of(28)), document(rows_of(29), formula=lambda row, _: row))
    )
    assert [row.struck for row in report.rows] == [False, True]
    assert report.sentence.startswith("in 1 of 2 responses, these are no log-probabilities over")


def test_no_number_is_an_error() -> None:
    """There is nothing to audit in no response."""
    with pytest.raises(NumbersError, match="no number to audit"):
        responses_report(())


def test_claims_need_a_prompt() -> None:
    """A chat completion does not repeat its prompt."""
    responses = audited(document(rows_of(30)))
    with pytest.raises(RecordError, match="--prompt"):
        claim_rows(responses)
    (row,) = claim_rows(responses, prompt="x")
    assert row.query.prompt == "x"
    (claim,) = row.claims
    assert claim.token_scores is not None
    assert len(claim.token_scores) == STEPS
    assert row.query.candidates[0].text == responses[0].text
    assert row.query.candidates[0].token_ids is None
    assert row.fields["tokens"] == [[step.token for step in responses[0].steps]]
    assert "tokenised again" in row.fields["note"]


def test_claims_refuse_a_token_without_a_number() -> None:
    """A claim has one number a token."""
    asked = document(rows_of(31))
    asked["choices"][0]["logprobs"]["content"][2]["logprob"] = None
    with pytest.raises(RecordError, match=r"content\[2\]: the token .* has no number"):
        claim_rows(audited(asked), prompt="x")


def test_claims_of_an_echo_begin_after_the_prompt() -> None:
    """An echoed completion is cut where the given prompt ends, else after its first token."""
    logprobs = {
        "tokens": ["The", " cat", " sat", " down"],
        "token_logprobs": [None, -3.25, -1.5, -0.75],
        "top_logprobs": None,
    }
    echoed = {"choices": [{"text": "The cat sat down", "index": 0, "logprobs": logprobs}]}
    responses = audited(echoed)
    (row,) = claim_rows(responses, prompt="The cat")
    assert row.query.candidates[0].text == " sat down"
    assert [score.value for score in row.claims[0].token_scores or ()] == [-1.5, -0.75]
    (row,) = claim_rows(responses)
    assert row.query.prompt == "The"
    assert row.query.candidates[0].text == " cat sat down"
    with pytest.raises(RecordError, match="give the prompt as it was sent"):
        claim_rows(responses, prompt="The ca")


def test_claims_of_several_choices_are_one_row() -> None:
    """n choices of one request are candidates after one prompt, ids kept where there are some."""
    asked = document(rows_of(32))
    asked["choices"].append({**asked["choices"][0], "index": 1})
    for choice in asked["choices"]:
        choice["logprobs"] = {
            "content": [
                {**item, "id": place} for place, item in enumerate(choice["logprobs"]["content"])
            ]
        }
    (row,) = claim_rows(audited(asked), prompt="x")
    assert len(row.claims) == len(row.query.candidates) == 2
    assert row.query.candidates[0].token_ids == tuple(range(STEPS))
    assert "note" not in row.fields


def test_the_documented_examples() -> None:
    """One is what its model says, token by token; the other is a softmax over three tokens."""
    examples = Path(__file__).parents[2] / "examples"
    (row,) = claim_rows(read_responses(examples / "response.json"), prompt="The cat sat on the")
    score = logpr.score(
        row.query.prompt,
        row.query.candidates[0].text,
        model=f"table:{examples / 'mat.yaml'}",
    )
    claimed = [value.value for value in row.claims[0].token_scores or ()]
    assert claimed == pytest.approx(list(score.token_logprobs or ()))
    report = responses_report(read_responses(examples / "response_cut.json"))
    assert report.verdict == "fault"
    assert [fault.id for fault in report.faults] == ["shortlist_softmax"]
    assert [finding.id for finding in report.findings if finding.accuses] == [
        "mass_is_exactly_one",
        "constant_mass",
    ]


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("demo__gpt4o_mini_code.json", True),
        ("demo__gpt4o_mini_natural.json", True),
        ("research__data__temp_0.0.json", True),
        ("research__data__temp_1.0.json", True),
        ("demo__gpt41_nano.json", False),
        ("demo__gemini_sample.json", False),
        ("demo__gpt2_openai.json", False),
        ("demo__gpt2_vllm.json", False),
        ("demo__ollama_sample.json", False),
    ],
)
def test_real_responses_are_not_accused(data_dir: Path, name: str, grid: bool) -> None:  # noqa: FBT001 - a column
    """No recorded response contradicts itself; OpenAI's show logits of half precision."""
    responses = read_responses(data_dir / "recorded" / "openai_style_logprobs" / name)
    report = responses_report(responses)
    assert report.verdict == "not_enough_evidence"
    assert not any(finding.accuses for finding in report.findings)
    assert grid == any("1/16" in finding.says for finding in report.findings)


def test_a_real_endpoint_reports_before_its_temperature(data_dir: Path) -> None:
    """One prompt at temperatures 0 and 1: the lists are of one distribution."""
    folder = data_dir / "recorded" / "openai_style_logprobs"
    responses = [
        response
        for name in ("research__data__temp_0.0.json", "research__data__temp_1.0.json")
        for response in read_responses(folder / name)
    ]
    report = responses_report(responses)
    assert report.verdict == "not_enough_evidence"
