"""Claims to audit: realistic queries, scorers with random faults, and correct scorers of others.

All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import logpr
from logpr import Candidate, Query
from logpr.errors import TokenizationError
from logpr.models.base import Predictive
from tests.auditing.oracle import STAGE, Change, Oracle, Shortlists, claims
from tests.auditing.oracle_class import Grid, brute_class
from tests.auditing.oracle_queries import Drawn, random_queries, tokenizer_of
from tests.auditing.oracle_rows import Rows
from tests.auditing.oracle_steps import World, items_of

__all__ = [
    "Grid",
    "brute_class",
    "claims",
    "correct_files",
    "printed",
    "random_changes",
    "random_lists",
    "random_queries",
    "records",
]

Record = dict[str, Any]

# changes


def random_changes(
    rng: Drawn,
    model: Predictive,
    queries: Sequence[Query],
    count: int = 1,
    *,
    lists: bool = False,
) -> list[Change]:
    """Return a random entry of the zoo with random parameters, or two of different stages.

    Args:
        rng: a generator.
        model: whose special tokens are taken for padding.
        queries: their first says whether END is declared.
        count: 1 or 2.
        lists: whether lists are logged; entries that need them are drawn only then.
    """
    stop = queries[0].effective_end == "stop"
    out = {"logprob", "nats", "eos_added" if stop or not model.end_ids else "eos_missing"}
    if not lists:
        out.add("shortlist_given")
    names = sorted(set(STAGE) - out)
    while True:
        drawn = [names[int(i)] for i in rng.choice(len(names), count, replace=False)]
        if len({STAGE[name] for name in drawn}) < count:
            continue
        changes = [(name, _params(rng, name, model, lists=lists)) for name in drawn]
        if "space_lost" not in drawn:
            return changes
        try:
            claims(queries, changes, model=model, end=queries[0].effective_end)
        except TokenizationError:
            continue  # space_lost has no such texts with this tokenizer
        return changes


def _params(rng: Drawn, name: str, model: Predictive, *, lists: bool) -> dict[str, Any]:  # noqa: C901, PLR0911, PLR0912 - a table of the zoo
    special = sorted(tokenizer_of(model).special_ids | {0})

    def log_uniform(low: float, high: float) -> float:
        return float(math.exp(rng.uniform(math.log(low), math.log(high))))

    def one_of(*options: Any) -> Any:  # noqa: ANN401 - parameters are of many types
        return options[int(rng.integers(len(options)))]

    match name:
        case "space_lost":
            return {"form": one_of("dropped", "doubled")}
        case "left_pad_unmasked" | "pad_counted":
            return {"pad_id": one_of(*special), "company": one_of("query", "file", 2, 4, 8)}
        case "window_restart":
            return {"window": int(rng.integers(8, 65)), "start": one_of("none", "bos")}
        case "truncated_context":
            return {"keep": int(rng.integers(1, 21))}
        case "row_reused":
            return {"representative": one_of("first", "last", "longest")}
        case "linear_normalisation":
            return {"form": one_of("per_step", "product")}
        case "shortlist_softmax":
            return {"k": round(log_uniform(1, 1024))}
        case "shortlist_without_target":
            if lists and rng.random() < 0.5:
                return {"lists": "given"}
            return {"k": round(log_uniform(1, 1024)), "per": one_of("step", "request")}
        case "nucleus_renormalised":
            return {"p": float(rng.uniform(0.3, 0.99))}
        case "temperature" | "logprob_over_temperature":
            return {"T": float(rng.uniform(0.3, 3.0))}
        case "log_epsilon":
            return {"epsilon": log_uniform(1e-6, 1e-2)}
        case "vocab_rows_masked":
            return {"ids": one_of(*((token,) for token in special), tuple(special))}
        case "wrong_axis":
            return {"over": one_of("continuation", "sequence")}
        case "half_precision":
            return {"dtype": one_of("bfloat16", "float16"), "total": one_of("float", "half")}
        case "eos_as_pad_masked":
            return {"pad_id": one_of(*special)}
        case "mean_over_padded":
            return {"company": one_of("query", "file", 2, 4, 8)}
        case "loss_times_wrong_count":
            return {"count": one_of("n_plus_1", "n_minus_1", "with_prompt")}
        case "length_penalty":
            return {"alpha": float(rng.uniform(0.2, 1.5)), "form": one_of("power", "gnmt")}
        case "product_then_log":
            return {"dtype": one_of("float32", "float64")}
        case "mean_probability":
            return {"log": one_of("no", "yes")}
    return {}


def random_lists(
    rng: Drawn, model: Predictive, queries: Sequence[Query], *, k: int = 20
) -> Shortlists:
    """Return a list of ids for each step of each candidate, END's among them: what a record logs.

    Half the lists hold the step's own token.
    """
    world = World(rows=Rows(model), end="open", boundary=queries[0].boundary, bos="auto")
    out: list[list[list[list[int]]]] = [[] for _ in queries]
    for item in items_of(queries, world):
        steps = []
        for token in (*item.tokens, *model.end_ids[:1]):
            names = [int(i) for i in rng.choice(model.vocab_size, k, replace=False)]
            own = [token] if rng.random() < 0.5 else []
            steps.append(sorted({*names, *own}))
        out[item.record].append(steps)
    return out


# records


def printed(scores: Sequence[Sequence[float]], decimals: int) -> list[list[str]]:
    """Return numbers as a scorer prints them, by record and candidate; inf and nan stay."""
    return [[f"{value:.{decimals}f}" for value in record] for record in scores]


def records(
    queries: Sequence[Query],
    oracle: Oracle,
    decimals: int,
    *,
    tokens: bool = False,
    shortlists: Shortlists | None = None,
    declares: dict[str, str] | None = None,
) -> list[Record]:
    """Return records of claims: texts, and what was printed for them.

    Args:
        queries: what was scored.
        oracle: the numbers.
        decimals: how many are printed.
        tokens: whether each step's score is printed too.
        shortlists: the ids logged for each step.
        declares: what the numbers are declared to be, beside the queries' own end and boundary.
    """
    out: list[Record] = []
    for i, (query, texts) in enumerate(zip(queries, printed(oracle.scores, decimals), strict=True)):
        says = dict(declares or {})
        if query.effective_end != "open":
            says["end"] = query.effective_end
        if query.boundary != "separate":
            says["boundary"] = query.boundary
        record: Record = {"id": query.id if query.id is not None else i}
        if query.prompt is not None:
            record["prompt"] = query.prompt
        else:
            record["prompt_ids"] = list(query.prompt_ids or ())
        record["candidates"] = [
            {**_asked(candidate), "score": text}
            for candidate, text in zip(query.candidates, texts, strict=True)
        ]
        for j, claim in enumerate(record["candidates"]):
            if tokens:
                (claim["token_scores"],) = printed([oracle.tokens[i][j]], decimals)
            if shortlists is not None:
                claim["shortlist_ids"] = [list(ids) for ids in shortlists[i][j]]
        if says:
            record["declares"] = says
        out.append(record)
    return out


def _asked(candidate: Candidate) -> Record:
    if candidate.token_ids is None:
        return {"text": candidate.text}
    return {"token_ids": list(candidate.token_ids)}


# correct claims that others computed


def correct_files(
    rng: Drawn,
    model: Predictive,
    dtype: str,
    *,
    n_candidates: int = 12,
    decimals: int = 4,
    batch: int = 1,
    end: str | None = None,
    tokens: bool = False,
) -> list[Record]:
    """Return correct claims that transformers computed on torch from the same folder of weights.

    Logits are widened to float32 at least before the log-softmax, padding stands on the right, and
    what is scored is summed over y alone: good code in another type.

    Args:
        rng: a generator.
        model: `builtin` or `builtin:FOLDER`.
        dtype: float64, float32, bfloat16 or float16 weights.
        n_candidates: in all.
        decimals: how many are printed.
        batch: how many candidates go through at once.
        end: of all records.
        tokens: whether each step's score is printed too.
    """
    queries = random_queries(rng, model, n_candidates, end=end)
    world = World(rows=Rows(model), end=queries[0].effective_end, boundary="separate", bos="auto")
    items = items_of(queries, world)
    found: list[list[float]] = []
    for begin in range(0, len(items), batch):
        part = items[begin : begin + batch]
        pairs = [(item.context, item.tokens) for item in part]
        last = model.end_ids if world.end == "stop" else ()
        found += _torch_scores(_folder(model), dtype, pairs, last)
    oracle = Oracle([[] for _ in queries], [[] for _ in queries])
    for item, values in zip(items, found, strict=True):
        oracle.scores[item.record].append(math.fsum(values))
        oracle.tokens[item.record].append(values)
    return records(queries, oracle, decimals, tokens=tokens)


def _folder(model: Predictive) -> str:
    name = model.provenance.model
    kind, _, folder = name.partition(":")
    assert kind == "builtin", f"{name} is in no folder"
    return folder or str(Path(logpr.__file__).parent / "models" / "builtin_model")


@lru_cache(maxsize=4)
def _torch_model(folder: str, dtype: str) -> Any:  # noqa: ANN401 - transformers has no such type
    import torch  # noqa: PLC0415 - only tests with torch come here
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    torch.set_num_threads(1)
    kind = getattr(torch, dtype)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=kind)  # ready: not in training mode


def _torch_scores(
    folder: str,
    dtype: str,
    pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
    end_ids: tuple[int, ...],
) -> list[list[float]]:
    import torch  # noqa: PLC0415

    size = max(len(c) + len(y) for c, y in pairs)
    ids = torch.zeros((len(pairs), size), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, (c, y) in enumerate(pairs):
        ids[i, : len(c) + len(y)] = torch.tensor([*c, *y])
        mask[i, : len(c) + len(y)] = 1
    with torch.no_grad():
        logits = _torch_model(folder, dtype)(input_ids=ids, attention_mask=mask).logits
    wide = torch.float64 if dtype == "float64" else torch.float32
    logprobs = torch.log_softmax(logits.to(wide), dim=-1)
    out = []
    for i, (c, y) in enumerate(pairs):
        values = [logprobs[i, len(c) - 1 + j, token].item() for j, token in enumerate(y)]
        if end_ids:
            row = logprobs[i, len(c) + len(y) - 1]
            values.append(torch.logsumexp(row[list(end_ids)], dim=0).item())
        out.append(values)
    return out
