"""What a scorer hands over: rows, ids and claimed numbers, of whatever library it computes with."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped

from logpr.errors import NumbersError, QueryError, WrongTypeError

Row: TypeAlias = Float[np.ndarray, " vocab"]

_KEPT = ("float16", "float32", "float64")


@dataclass(slots=True, kw_only=True)
class Taken:
    """One candidate as it was handed over, in plain types.

    `kept` is what became of its rows, in order: whatever the file's `keep` returned. With `ended`
    the last of them predicts END.
    """

    where: str
    text: str | None = None
    token_ids: list[int] | None = None
    kept: list[Any] = field(default_factory=list)
    ended: bool = False
    width: int | None = None
    score: float | int | str | None = None
    token_scores: list[float | int | str] | None = None
    shortlist_ids: list[list[int]] | None = None

    def claimed(self) -> dict[str, Any]:
        """Return the fields that stand in a record as they are."""
        found = {"text": self.text, "score": self.score, "token_scores": self.token_scores}
        return {name: value for name, value in found.items() if value is not None}


@runtime_checkable
class _Tensor(Protocol):
    """What is asked of a torch tensor, so that torch need not be there."""

    def detach(self) -> Any:  # noqa: ANN401 - a tensor
        """Return it without its history of gradients."""
        ...

    def cpu(self) -> Any:  # noqa: ANN401 - a tensor
        """Return it on the host."""
        ...

    def numpy(self) -> Any:  # noqa: ANN401 - an array
        """Return it as NumPy sees it."""
        ...


def array_of(value: object, where: str) -> Shaped[np.ndarray, "*_"]:
    """Return `value` as an array of NumPy; bfloat16 and 8-bit floats, which it lacks, as float32.

    Raises:
        NumbersError: NumPy cannot read it.
    """
    try:
        if isinstance(value, _Tensor):
            host = value.detach().cpu()
            try:
                return np.asarray(host.numpy())
            except TypeError:  # a dtype that NumPy lacks; each of them fits in float32
                return np.asarray(host.float().numpy())
        array = np.asarray(value)
        # What other libraries register with NumPy as bfloat16 and 8-bit floats is of kind V.
        return array.astype(np.float32) if array.dtype.kind == "V" else array
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"{where}: NumPy cannot read this {type(value).__name__}: {error}; give an array"
        raise NumbersError(msg) from error


def row_of(value: object, where: str) -> Row:
    """Return one row of logits: [vocab], float16, float32 or float64 as it came.

    Raises:
        NumbersError: it has another shape or kind.
    """
    array = array_of(value, where)
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if array.ndim != 1 or array.dtype.kind != "f" or not array.size:
        way = "; of one sequence in a batch, give logits[0, -1]" if array.ndim > 1 else ""
        msg = (
            f"{where}: a row of logits is {array.dtype} of shape {array.shape}; it has to be "
            f"numbers [vocab], one for each token{way}"
        )
        raise NumbersError(msg)
    name = array.dtype.name if array.dtype.name in _KEPT else "float64"
    return np.ascontiguousarray(array, dtype=name)


def rows_of(value: object, where: str) -> Iterator[object]:
    """Yield the rows of [tokens, vocab] logits, or of a list with a row a token, unchecked.

    Raises:
        NumbersError: it is neither.
    """
    if isinstance(value, (list, tuple)):
        yield from value
        return
    # A tensor is brought over at once: a transfer a row would wait for the device each time.
    array = array_of(value, where)
    if array.ndim != 2:  # noqa: PLR2004 - tokens, vocab
        way = "; give logits[0]" if array.ndim == 3 and len(array) == 1 else ""  # noqa: PLR2004 - a batch
        msg = (
            f"{where}: logits are {array.dtype} of shape {array.shape}; they have to be "
            f"[tokens, vocab], row i predicting token i{way}"
        )
        raise NumbersError(msg)
    yield from array


def check_row(row: Row, token_id: int | None, where: str) -> None:
    """Refuse a row that has no distribution, and a token that is not in it.

    Raises:
        NumbersError: nan, +inf, nothing but −inf, or an id outside.
    """
    # nan where the row has any. In float16 a maximum takes longer than to leave float16 first.
    top = float((row.astype(np.float32) if row.dtype == np.float16 else row).max())
    if not np.isfinite(top):
        what = "nothing but -inf"
        if top != -np.inf:
            place = int(np.argmax(~(row < np.inf)))
            what = f"{row[place]} at token {place}"
        msg = (
            f"{where}: {what} in the row of logits; logits are finite, or -inf for a masked token. "
            f"Record the row as the model gave it, before anything is done to it"
        )
        raise NumbersError(msg)
    if token_id is not None:
        check_id(token_id, len(row), where, "the token id")


def check_id(token_id: int, width: int, where: str, what: str) -> None:
    """Refuse an id that a row does not have.

    Raises:
        NumbersError: says which.
    """
    if not 0 <= token_id < width:
        msg = (
            f"{where}: {what} {token_id} is outside the row of {width} logits (ids 0 to "
            f"{width - 1}); give ids and rows of one vocabulary"
        )
        raise NumbersError(msg)


def ids_of(value: object, where: str) -> list[int]:
    """Return a list of token ids.

    Raises:
        QueryError: they are no whole numbers from 0 up, or no flat list of them.
    """
    array = array_of(value, where)
    if array.ndim == 1 and not array.size:
        return []
    if array.ndim != 1 or array.dtype.kind not in "iu":
        msg = (
            f"{where} is {array.dtype} of shape {array.shape}; give a flat list of token ids, as "
            f"the tokenizer returned it"
        )
        raise QueryError(msg)
    ids: list[int] = array.tolist()
    for place, token in enumerate(ids):
        if token < 0:
            msg = f"{where}[{place}] is {token}; a token id is at least 0: leave padding out"
            raise QueryError(msg)
    return ids


def claimed_of(value: object, where: str) -> float | int | str:
    """Return a claimed number so that its digits are kept: text as it is, a float as JSON has it.

    A float16 or float32 becomes the shortest text that stands for it: as a float64 it would lay
    claim to digits that nobody computed.

    Raises:
        WrongTypeError: it is no number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, np.floating)):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    array = array_of(value, where)
    if array.ndim == 0 and array.dtype.kind in "iu":
        return int(array)
    if array.ndim == 0 and array.dtype.kind == "f":
        if array.dtype.name in {"float16", "float32"} and np.isfinite(array):
            return np.format_float_positional(array.dtype.type(array), unique=True, trim="0")
        return float(array)
    msg = f"{where} is {value!r}; a claimed number is a number, or its text as it was printed"
    raise WrongTypeError(msg)


def claimed_list_of(value: object, where: str) -> list[float | int | str]:
    """Return claimed numbers, one after the other.

    Raises:
        WrongTypeError: one of them is no number, or this is no list.
    """
    if not isinstance(value, (list, tuple)):
        array = array_of(value, where)
        if array.ndim != 1:
            msg = f"{where} is {value!r}; give a list, one number a token"
            raise WrongTypeError(msg)
        value = list(array)
    return [claimed_of(item, f"{where}[{i}]") for i, item in enumerate(value)]
