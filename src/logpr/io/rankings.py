"""Records of rankings that `logpr rank` wrote, read back as rankings.

A record has every number of its ranking, but not all of its facts: who is first under each rule,
the fork, the bytes of tokens and the noise of each candidate are worked out again from what it has.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from logpr._order import placed
from logpr._pair import fork_of
from logpr._rules import STANDING, Rule, Totals, rule_named
from logpr._values import Provenance, Query, Ranking, Score
from logpr.errors import LogprError, RecordError
from logpr.io._fault import RowFault
from logpr.io._peek import peeked_stdin
from logpr.io.formats import Format, RawRow, Source, find_source
from logpr.io.own import CANDIDATE_RESULTS, RESULTS, TOP_RESULTS, View, is_output
from logpr.io.stream import rows_of
from logpr.io.writers import read_provenance

_CANDIDATE = CANDIDATE_RESULTS | {"text", "token_ids", "token_logprobs", "end_logprob", "pruned"}
_RANKING = (RESULTS - {"warnings"}) | TOP_RESULTS | {"id", "end", "label"}
_ALWAYS = ("text", "logprob", *(rule.name for rule in STANDING if rule.name != "logprob"))
_KNOWN_ALWAYS = (*_ALWAYS, "tokens", "bytes", "chars", "boundary")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedRecord:
    """One record as the ranking it was written from.

    Args:
        ranking: as far as the record has it; its candidates have tokens where it has.
        query: what was asked, without the numbers; None where the record has no prompt.
        index: its number from 0.
        where: its place as messages name it, `ranked.jsonl:7`.
    """

    ranking: Ranking
    query: Query | None
    index: int
    where: str

    @property
    def has_tokens(self) -> bool:
        """Return whether every candidate that was scored has the numbers of its tokens."""
        scored = [score for score in self.ranking.candidates if score.logprob is not None]
        return all(
            score.token_logprobs is not None or score.boundary_policy == "marginal"
            for score in scored
        )

    @property
    def has_evidence(self) -> bool:
        """Return whether some candidate has what the model said beside its tokens' numbers."""
        return any(score.top_logprob is not None for score in self.ranking.candidates)


class RankedFile:
    """The rankings of one file, in order, read once and lazily; made by `open_rankings`."""

    def __init__(
        self, source: Source, rows: Iterator[RawRow], provenance: Provenance | None
    ) -> None:
        self.source = source
        self.provenance = provenance
        self._rows = rows

    def __iter__(self) -> Iterator[RankedRecord]:
        """Yield the records.

        Raises:
            RecordError: one of them is no ranking, or not whole.
        """
        for index, raw in enumerate(self._rows):
            where = self.source.where(raw.line)
            try:
                if raw.fault is not None:
                    raise raw.fault
                assert raw.row is not None, "a row is read, or has a fault"
                ranking, query = ranking_of(raw.row, self.provenance)
            except RowFault as fault:
                raise RecordError(fault.text(where)) from fault
            yield RankedRecord(ranking=ranking, query=query, index=index, where=where)


def open_rankings(name: str, format: Format | None = None) -> RankedFile | None:  # noqa: A002 - the option's own name
    """Return the rankings of a file that `logpr rank` wrote; None where its first row is none.

    Args:
        name: a path of JSON Lines or Parquet, or `-` for stdin, which can be read from its first
            line afterwards, whatever it holds.
        format: where the name does not say it.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    source = find_source(name, format)
    if source.format not in ("jsonl", "parquet"):
        return None
    if source.path is None:
        ranked = _is_line_of_ranking(peeked_stdin())
        return RankedFile(source, rows_of(source), None) if ranked else None
    rows = rows_of(source)
    first = next(rows, None)
    if first is None or first.row is None or not is_ranking(first.row):
        rows.close()
        return None
    return RankedFile(source, itertools.chain([first], rows), _provenance(source.path))


def _is_line_of_ranking(line: bytes) -> bool:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        # The reader of records says what is wrong with it.
        return False
    return isinstance(row, dict) and is_ranking(row)


def is_ranking(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a record that `logpr rank` wrote."""
    view = dict(row)
    # From Parquet too: no column of these is left out there.
    return set(view) >= RESULTS and is_output(view)


def ranking_of(row: View, provenance: Provenance | None) -> tuple[Ranking, Query | None]:
    """Return a record of `logpr rank` as its ranking, and the query that was asked.

    Args:
        row: the record, with words for non-finite numbers.
        provenance: of the file.

    Raises:
        RowFault: it is no such record, or a field has another type than it is written with.
    """
    if not is_ranking(row):
        msg = (
            "this is no record that logpr rank wrote, and the first of this file is; give a file "
            "of rankings alone, or the records to be ranked: logpr explain FILE --model MODEL"
        )
        raise RowFault(msg)
    rule = _rule(row["rule"])
    # A message of these rankings: the token columns of two candidates have no step in common.
    apart = any(str(text).startswith("contexts_differ") for text in row["warnings"])
    scores = [
        _score(item, place, row, provenance, apart=apart)
        for place, item in enumerate(row["candidates"])
    ]
    view = {name: value for name, value in row.items() if name in _RANKING}
    head = {**view, "warnings": row["warnings"], "prompt": _prompt(row), "candidates": []}
    try:
        bare = Ranking.from_dict({"margin": None, "noise": None, **head})
    except ValueError as error:
        raise RowFault(_broken(error)) from error
    places = (bare.best, *bare.order)
    if not scores or not all(0 <= place < len(scores) for place in places) or not bare.order:
        msg = f"its order is {list(bare.order)} and it has {len(scores)} candidates"
        raise RowFault(_broken(msg), "order")
    scores = [_noisy(score, bare, provenance) for score in scores]
    pair = [scores[place] for place in bare.order[:2]]
    ranking = replace(
        bare,
        candidates=tuple(scores),
        fork=fork_of(*pair) if len(pair) == 2 else None,  # noqa: PLR2004 - a pair
        winners=_winners(bare, rule, scores),
        higher_wins=rule.higher_wins,
        provenance=provenance,
    )
    return ranking, _query(row, ranking)


def _provenance(path: Path) -> Provenance | None:
    # A file under a name of another kind (--format) has no place for one.
    try:
        return read_provenance(path)
    except (LogprError, ValueError):
        return None


def _rule(name: object) -> Rule:
    try:
        return rule_named(str(name), among=("",) if name == "vocab_subset" else None)
    except LogprError as error:
        raise RowFault(str(error), "rule") from error


def _broken(error: object) -> str:
    return f"the record is not as logpr rank writes it: {error}; rank again, or mend the row"


def _score(
    item: View, place: int, row: View, provenance: Provenance | None, *, apart: bool
) -> Score:
    kept = {name: value for name, value in item.items() if name in _CANDIDATE}
    named = item.get("text")
    known: dict[str, Any] = dict.fromkeys(_KNOWN_ALWAYS)
    known |= {
        "chars": len(named) if isinstance(named, str) else None,
        "end": row["end"],
        "boundary_policy": "separate" if provenance is None else provenance.boundary,
    }
    if item.get("exact") is not None:
        known["boundary_policy"] = "marginal"
    rule = row["rule"]
    if rule in item:
        kept[rule] = item[rule]
    try:
        score = Score.from_dict({**known, **kept, "index": place})
    except (ValueError, TypeError) as error:
        raise RowFault(_broken(error), f"candidates[{place}]") from error
    _require_whole(score, place)
    if apart:
        return replace(score, token_ids=None)
    return replace(score, token_spans=_spans(score))


def _require_whole(score: Score, place: int) -> None:
    """Raise RowFault where a candidate's columns have other lengths than its tokens."""
    size = None if score.token_logprobs is None else len(score.token_logprobs)
    names = ("token_ids", "token_texts", "logit", "logz", "rank", "top_id", "top_logit")
    for name in (*names, "top_logprob", "entropy", "alternatives"):
        column = getattr(score, name)
        if column is not None and size is not None and len(column) != size:
            msg = f"{name} has {len(column)} entries, token_logprobs {size}"
            raise RowFault(_broken(msg), f"candidates[{place}].{name}")


def _spans(score: Score) -> tuple[tuple[int, int], ...] | None:
    """Return the bytes of each token, where the tokens' texts are whole and make up the text."""
    texts = score.token_texts
    if texts is None or score.text is None or "".join(texts) != score.text:
        return None
    ends = list(itertools.accumulate(len(text.encode()) for text in texts))
    return tuple(itertools.pairwise((0, *ends)))


def _noisy(score: Score, ranking: Ranking, provenance: Provenance | None) -> Score:
    """Return a score with its noise: the model's a token, or its part of what the ranking has."""
    model = None if provenance is None or score.boundary == "given" else provenance.model
    if model is not None and score.tokens is not None:
        steps = score.tokens + (score.end_logprob is not None)
        return replace(score, noise=model.noise_per_token * steps)
    if ranking.rule == "logprob" and ranking.noise is not None:
        return replace(score, noise=ranking.noise / 2)
    return score


def _winners(
    ranking: Ranking, rule: Rule, scores: list[Score]
) -> tuple[tuple[str, int | None], ...]:
    """Return who is first under each rule, as `rank` finds it."""
    own = (rule.name, None if _value(scores[ranking.best], rule) is None else ranking.best)
    if any(score.logprob is None for score in scores):
        return (own,)
    rivals = tuple(score.logprob for score in scores if score.logprob is not None)
    totals = [
        Totals(
            logprob=rivals[place],
            tokens=score.tokens,
            end_scored=score.end == "stop",
            chars=score.chars,
            bytes=score.bytes,
            index=place,
            rivals=rivals,
        )
        for place, score in enumerate(scores)
    ]
    out: list[tuple[str, int | None]] = []
    for known in STANDING:
        if known.name == rule.name:
            out.append(own)
            continue
        first = placed(known, totals, scores)[0][0]
        out.append((known.name, None if known.value(totals[first]) is None else first))
    return tuple(out) if own in out else (*out, own)


def _value(score: Score, rule: Rule) -> float | None:
    if rule in STANDING:
        found: float | None = getattr(score, rule.name)
        return found
    return dict(score.rule_values).get(rule.name)


def _prompt(row: View) -> str | None:
    messages = row.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        return str(messages[-1].get("content"))
    prompt = row.get("prompt")
    return prompt if isinstance(prompt, str) else None


def _query(row: View, ranking: Ranking) -> Query | None:
    """Return what was asked, or None where the record has no prompt."""
    told = ranking.provenance
    asked = {name: row[name] for name in ("messages", "prompt_ids") if row.get(name) is not None}
    boundary = ranking.candidates[0].boundary_policy
    if not asked:
        if ranking.prompt is None:
            return None
        # The spaces at the prompt's end are at the front of the candidates' texts by now.
        separate = boundary == "separate"
        asked = {"prompt": ranking.prompt.rstrip(" ") if separate else ranking.prompt}
    if isinstance(asked.get("messages"), str):
        asked["messages"] = json.loads(asked["messages"])
    try:
        return Query.of(
            candidates=[_candidate(score, boundary) for score in ranking.candidates],
            id=ranking.id,
            label=ranking.label,
            end=ranking.end,
            boundary=boundary,
            bos="auto" if told is None else told.bos,
            **asked,
        )
    except (LogprError, ValueError, TypeError) as error:
        raise RowFault(_broken(error)) from error


def _candidate(score: Score, boundary: str) -> str | tuple[int, ...]:
    # The ids that were fed are what was scored; elsewhere they may begin within the prompt.
    if score.token_ids is not None and (boundary == "separate" or score.text is None):
        return score.token_ids
    return score.text or ""
