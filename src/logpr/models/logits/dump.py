"""The file of recorded logits: named arrays in `.npz` or `.safetensors`, checked and cut up.

    prompt_ids  [tokens]        the prompt; of several, one after the other, cut by prompt_offsets
    token_ids   [tokens]        the continuations one after the other, cut by offsets
    offsets     [candidates+1]  where each continuation begins and the last ends
    logits      [rows, vocab]   row i predicts token i; where END is scored, each continuation's
                                rows are followed by the one that predicts END

`prompt_offsets` [candidates + 1] gives each continuation a prompt of its own; `end_ids` says which
tokens are END. Without `token_ids` there is one row for each prompt: what follows it. `claims` is
what a recording says about them, for an audit; nothing here looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int64, Shaped

from logpr.errors import MissingFileError, NumbersError

Array: TypeAlias = Shaped[np.ndarray, "*_"]
Rows: TypeAlias = Float[np.ndarray, "rows vocab"]

_NAMES = ("prompt_ids", "prompt_offsets", "token_ids", "offsets", "logits", "end_ids", "claims")
_ARCHIVES = (b"PK", b"\x93NUMPY")
"""How an .npz begins, and a single array, which is refused by its name."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One prompt and continuation, and its rows: one for each token, one more where END is scored.

    `name` says where it stands, for messages.
    """

    name: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    rows: Rows


def read_dump(path: Path) -> tuple[list[Recording], tuple[int, ...]]:
    """Return the recordings of a file and its end ids.

    Args:
        path: an `.npz` or `.safetensors` file.

    Raises:
        MissingFileError: it does not exist.
        NumbersError: it is not of that format; the message says which array.
    """
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no file"
        msg = f"{str(path)!r} is {kind}; 'logits:FILE.npz' names a file of recorded logits"
        raise MissingFileError(msg)
    arrays = _safetensors(path) if path.suffix.lower() == ".safetensors" else _npz(path)
    return _recordings(arrays, str(path))


def refuse_no_archive(path: Path) -> None:
    """Raise NumbersError where an `.npz` is none: NumPy would take other bytes for a pickle."""
    with path.open("rb") as opened:
        head = opened.read(8)
    if head.startswith(_ARCHIVES):
        return
    found = f"this begins with the bytes {head.hex(' ')}" if head else "this is empty"
    msg = (
        f"{path}: not a readable .npz file: one is a zip archive of NumPy arrays, and {found}; "
        f"write it with np.savez(…, logits=…), or with logpr.record({path.name!r}) in a scorer"
    )
    raise NumbersError(msg)


def _npz(path: Path) -> dict[str, Array]:
    refuse_no_archive(path)
    try:
        # Opened here, because NumPy leaves a file open that turns out to be no zip archive.
        with path.open("rb") as opened:
            # Pickled objects could run code; a file of numbers has no use for them.
            file = np.load(opened, allow_pickle=False)
            arrays = {"": file} if isinstance(file, np.ndarray) else dict(file)
    except Exception as error:  # zipfile, struct, zlib, pickle: whatever a corrupt file provokes
        pickled = "it holds Python objects, and arrays of numbers are wanted"
        reason = pickled if "pickle" in str(error) else error
        msg = f"{path}: not a readable .npz file: {reason}; write it with np.savez(…, logits=…)"
        raise NumbersError(msg) from error
    _known(list(arrays), str(path))
    return arrays


def _safetensors(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - needed for this kind alone

    try:
        with safe_open(path, framework="numpy") as file:
            _known(list(file.keys()), str(path))
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, TypeError, OSError) as error:
        # TypeError: a dtype that NumPy lacks, bfloat16 above all.
        msg = f"{path}: not readable: {error}; save logits as float32, ids as int64"
        raise NumbersError(msg) from error


def _known(names: list[str], where: str) -> None:
    unknown = [name for name in names if name not in _NAMES]
    if unknown or "logits" not in names:
        found = ", ".join(name or "one nameless array" for name in names) or "nothing"
        msg = (
            f"{where}: holds {found}; a file of recorded logits holds logits, with prompt_ids, and "
            f"token_ids and offsets where it has continuations (also known: "
            f"prompt_offsets, end_ids)"
        )
        raise NumbersError(msg)


def _recordings(arrays: Mapping[str, Array], where: str) -> tuple[list[Recording], tuple[int, ...]]:
    logits = arrays["logits"]
    if logits.ndim == 1:
        logits = logits[None]
    if logits.ndim != 2 or logits.dtype.kind != "f" or 0 in logits.shape:  # noqa: PLR2004 - rows, vocab
        msg = (
            f"{where}: logits is {logits.dtype} of shape {arrays['logits'].shape}; it has to be "
            f"floating-point [rows, vocab]"
        )
        raise NumbersError(msg)
    prompt_ids = _ids(arrays, "prompt_ids", where)
    token_ids = _ids(arrays, "token_ids", where)
    cuts = _offsets(arrays, "offsets", len(token_ids), where)
    prompt_cuts = _offsets(arrays, "prompt_offsets", len(prompt_ids), where)
    if "token_ids" not in arrays:
        cuts = np.zeros(len(prompt_cuts), dtype=np.int64)
    count = len(cuts) - 1
    if "prompt_offsets" not in arrays:
        prompt_cuts = np.asarray([0, len(prompt_ids)])
    elif len(prompt_cuts) != len(cuts):
        msg = (
            f"{where}: prompt_offsets cuts {len(prompt_cuts) - 1} prompts and offsets {count} "
            f"continuations; give each continuation its prompt, or leave prompt_offsets out"
        )
        raise NumbersError(msg)
    extra = _extra(len(logits), len(token_ids), count, len(prompt_ids), where)
    out: list[Recording] = []
    row = 0
    for i in range(count):
        tokens = tuple(token_ids[cuts[i] : cuts[i + 1]].tolist())
        j = i if "prompt_offsets" in arrays else 0
        prompt = tuple(prompt_ids[prompt_cuts[j] : prompt_cuts[j + 1]].tolist())
        rows = logits[row : row + len(tokens) + extra]
        out.append(Recording(f"{where}, continuation {i}", prompt, tokens, rows))
        row += len(rows)
    return out, tuple(_ids(arrays, "end_ids", where).tolist())


def _extra(rows: int, tokens: int, candidates: int, prompt: int, where: str) -> int:
    """Return how many rows each continuation has beyond its tokens: one where END is scored."""
    if rows == tokens > 0:
        return 0
    if rows == tokens + candidates:
        return 1
    msg = (
        f"{where}: {rows} rows of logits for {tokens} tokens in {candidates} continuations; row i "
        f"predicts token i: {tokens} rows, or {tokens + candidates} with the rows that predict END"
    )
    if candidates == 1 and rows in {prompt + tokens, prompt + tokens - 1}:
        # What a forward pass over prompt + tokens returns, row i for token i + 1.
        msg += (
            f"; if these are the rows of prompt + tokens, keep logits[{prompt - 1}:"
            f"{prompt - 1 + tokens}]"
        )
    raise NumbersError(msg)


def _ids(arrays: Mapping[str, Array], name: str, where: str) -> Int64[np.ndarray, " ids"]:
    given = arrays.get(name)
    if given is None or given.size == 0:
        return np.empty(0, dtype=np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        msg = (
            f"{where}: {name} is {given.dtype} of shape {given.shape}; it has to be a flat array "
            f"of integers, cut up by offsets where it holds several sequences"
        )
        raise NumbersError(msg)
    return given.astype(np.int64)


def _offsets(
    arrays: Mapping[str, Array], name: str, size: int, where: str
) -> Int64[np.ndarray, " cuts"]:
    if name not in arrays:
        return np.asarray([0, size], dtype=np.int64)
    cuts = _ids(arrays, name, where)
    if len(cuts) == 0 or cuts[0] != 0 or cuts[-1] != size or np.any(np.diff(cuts) < 0):
        msg = (
            f"{where}: {name} is {cuts.tolist()}; it has to rise from 0 to {size}, the number of "
            f"ids that it cuts up"
        )
        raise NumbersError(msg)
    return cuts
