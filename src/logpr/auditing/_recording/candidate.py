"""One candidate while it is recorded: step by step, or all at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, final, runtime_checkable

from logpr.auditing._recording.given import (
    Row,
    Taken,
    array_of,
    check_id,
    check_row,
    claimed_list_of,
    claimed_of,
    ids_of,
    row_of,
    rows_of,
)
from logpr.errors import NumbersError, QueryError

_FIELDS = ("token_ids", "logits", "score", "token_scores", "shortlist_ids", "text")


@runtime_checkable
class File(Protocol):
    """Where records go."""

    end_ids: tuple[int, ...]

    def keep(
        self, row: Row, token_id: int | None, shortlist: list[int] | None, where: str
    ) -> object:
        """Take one row, and return what stands for it in the record."""
        ...


@final
class CandidateRecorder:
    """A candidate of a query that is being recorded; one thread at a time."""

    __slots__ = ("_file", "_step_scores", "_steps_listed", "_taken")

    def __init__(self, file: File, where: str, *, text: str | None = None) -> None:
        self._file = file
        self._taken = Taken(where=where, text=text)
        self._step_scores: list[float | int | str] = []
        self._steps_listed: list[list[int]] = []

    def step(
        self,
        token_id: object,
        logits: object,
        *,
        shortlist_ids: object = None,
        score: object = None,
    ) -> None:
        """Take one step of decoding, before or after it is made.

        Args:
            token_id: the token that was chosen.
            logits: the row [vocab] that it was chosen from, as the model gave it.
            shortlist_ids: the ids that the scorer had to choose from.
            score: what the scorer claimed of this step.

        Raises:
            NumbersError: the row holds nan or +inf, is of another width than the last, or has no
                such token.
            QueryError: END came already, or some steps have a shortlist or a score and others not.
        """
        where = f"{self._taken.where}, step {len(self._taken.kept)}"
        chosen = array_of(token_id, f"{where}: token_id").reshape(-1)
        if len(chosen) != 1 or chosen.dtype.kind not in "iu":
            msg = f"{where}: token_id is {token_id!r}; give the one token that was chosen"
            raise QueryError(msg)
        self._take(int(chosen[0]), logits, shortlist_ids, score, where)

    def end(self, logits: object, *, shortlist_ids: object = None, score: object = None) -> None:
        """Take the row that predicts END, where END is scored as one outcome behind the last token.

        (An end token that was generated like any other is a `step`.)

        Raises:
            NumbersError: as `step`.
            QueryError: as `step`, or the recorder knows no `end_ids`.
        """
        where = f"{self._taken.where}, END"
        if not self._file.end_ids:
            msg = (
                f"{where}: a row that predicts END, and nobody said which tokens are END; give "
                f"logpr.record(…, end_ids=[tokenizer.eos_token_id])"
            )
            raise QueryError(msg)
        self._take(None, logits, shortlist_ids, score, where)

    def claim(
        self, *, score: object = None, token_scores: object = None, text: str | None = None
    ) -> None:
        """Take what the scorer printed: its score, its tokens' scores, the text.

        Raises:
            WrongTypeError: a claimed number is none.
        """
        taken = self._taken
        if score is not None:
            taken.score = claimed_of(score, f"{taken.where}: score")
        if token_scores is not None:
            taken.token_scores = claimed_list_of(token_scores, f"{taken.where}: token_scores")
        if text is not None:
            taken.text = text

    def fill(self, given: Mapping[str, Any]) -> None:
        """Take all of a candidate at once, under the names of `Recorder.add`.

        Raises:
            QueryError: rows, shortlists and tokens are not equally many, or a name is unknown.
            NumbersError: as `step`.
            WrongTypeError: a claimed number is none.
        """
        taken = self._taken
        unknown = [name for name in given if name not in _FIELDS]
        if unknown:
            msg = (
                f"{taken.where}: {unknown[0]!r} is no field of a candidate; known are "
                f"{', '.join(_FIELDS)}, and the record's fields={{…}} for what is your own"
            )
            raise QueryError(msg)
        self.claim(
            score=given.get("score"), token_scores=given.get("token_scores"), text=given.get("text")
        )
        ids: list[int] | None = None
        if given.get("token_ids") is not None:
            ids = ids_of(given["token_ids"], f"{taken.where}: token_ids")
        lists = given.get("shortlist_ids")
        if given.get("logits") is None:
            taken.token_ids = ids
            if lists is not None:
                taken.shortlist_ids = [
                    ids_of(one, f"{taken.where}: shortlist_ids[{i}]") for i, one in enumerate(lists)
                ]
            return
        rows = list(rows_of(given["logits"], taken.where))
        if ids is None:
            msg = f"{taken.where}: logits need token_ids beside them (what was chosen in each row)"
            raise QueryError(msg)
        if not rows or len(rows) not in {len(ids), len(ids) + 1}:
            msg = (
                f"{taken.where}: {len(rows)} rows of logits for {len(ids)} token_ids; row i "
                f"predicts token i, and one row more predicts END: leave out the prompt's rows"
            )
            raise NumbersError(msg)
        if lists is not None and len(lists) != len(rows):
            msg = (
                f"{taken.where}: {len(lists)} shortlist_ids for {len(rows)} rows of logits; give "
                f"one list a row"
            )
            raise QueryError(msg)
        for i, row in enumerate(rows):
            listed = None if lists is None else lists[i]
            if i < len(ids):
                self.step(ids[i], row, shortlist_ids=listed)
            else:
                self.end(row, shortlist_ids=listed)

    def taken(self) -> Taken:
        """Return the candidate as it is to be recorded.

        Raises:
            QueryError: there is nothing in it, or a shortlist or a score at some steps only.
        """
        taken = self._taken
        if taken.text is None and taken.token_ids is None and not taken.kept:
            msg = f"{taken.where}: neither token_ids nor text; say at least what was scored"
            raise QueryError(msg)
        if not taken.kept and taken.score is None and taken.token_scores is None:
            msg = f"{taken.where}: no rows of logits and no score; give one, or leave it out"
            raise QueryError(msg)
        steps = len(taken.kept)
        for values, name in (
            (self._steps_listed, "shortlist_ids"),
            (self._step_scores, "score"),
        ):
            if len(values) not in {0, steps}:
                msg = (
                    f"{taken.where}: {name} at {len(values)} of {steps} steps; give it at each or "
                    f"at none"
                )
                raise QueryError(msg)
        if self._steps_listed:
            taken.shortlist_ids = self._steps_listed
        if self._step_scores and taken.token_scores is None:
            taken.token_scores = self._step_scores
        if taken.kept and taken.token_ids is None:
            taken.token_ids = []  # END alone
        return taken

    def _take(
        self, token_id: int | None, logits: object, listed: object, score: object, where: str
    ) -> None:
        taken = self._taken
        if taken.ended:
            msg = f"{where}: nothing comes after END; begin another candidate"
            raise QueryError(msg)
        row = row_of(logits, where)
        if taken.width not in (None, len(row)):
            msg = (
                f"{where}: a row of {len(row)} logits, and the rows before have {taken.width}; "
                f"each row covers the whole vocabulary"
            )
            raise NumbersError(msg)
        check_row(row, token_id, where)
        for end_id in self._file.end_ids if token_id is None else ():
            check_id(end_id, len(row), where, "the end id")
        shortlist = None
        if listed is not None:
            shortlist = ids_of(listed, f"{where}: shortlist_ids")
            for one in shortlist:
                check_id(one, len(row), where, "the shortlist's id")
        claimed = None if score is None else claimed_of(score, f"{where}: score")
        taken.kept.append(self._file.keep(row, token_id, shortlist, where))
        # All checked and kept: from here on nothing fails, so that a caller who catches an error
        # goes on with a candidate that is whole.
        taken.width = len(row)
        if token_id is None:
            taken.ended = True
        else:
            taken.token_ids = taken.token_ids or []
            taken.token_ids.append(token_id)
        if shortlist is not None:
            self._steps_listed.append(shortlist)
        if claimed is not None:
            self._step_scores.append(claimed)
