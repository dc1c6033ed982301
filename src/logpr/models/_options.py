"""The options of `load`, and how a backend refuses those it has no use for."""

from __future__ import annotations

import dataclasses
import numbers
from dataclasses import dataclass

from logpr.errors import QueryError, WrongTypeError

_EXAMPLES = {"pack_tokens": "1024", "kv_bytes": "2**30", "cache_bytes": "2**30"}
"""A bound of each kind, for messages: 2**30 bytes are 1 GiB."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is to be loaded; None and False leave the choice to the backend."""

    dtype: str | None = None
    device: str | None = None
    executor: str | None = None
    adapter: str | None = None
    trust_remote_code: bool = False
    pack_tokens: int | None = None
    kv_bytes: int | None = None
    cache_bytes: int | None = None
    batch_invariant: bool = False

    def __post_init__(self) -> None:
        """Refuse bounds that are no whole numbers, and those within which nothing can run."""
        for name, least in (("pack_tokens", 1), ("kv_bytes", 1), ("cache_bytes", 0)):
            value = getattr(self, name)
            if value is None:
                continue
            # A bool is an int to Python, and True would be a bound of 1.
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                unit = name.partition("_")[2]
                msg = (
                    f"{name} is a whole number of {unit}, found {value!r}: give a number such as "
                    f"{name}={_EXAMPLES[name]}, or leave it out for the default"
                )
                raise WrongTypeError(msg)
            if value < least:
                msg = f"{name} is at least {least}, found {value}: leave it out for the default"
                raise QueryError(msg)
        if self.batch_invariant:
            refuse_beside_invariant(
                executor=self.executor,
                dtype=self.dtype,
                pack_tokens=self.pack_tokens,
                kv_bytes=self.kv_bytes,
            )


def refuse_beside_invariant(
    *,
    executor: str | None = None,
    dtype: str | None = None,
    pack_tokens: int | None = None,
    kv_bytes: int | None = None,
) -> None:
    """Raise for options that have no place beside `batch_invariant=True`.

    Args:
        executor: only `forest` has passes of fixed shape.
        dtype: `auto` computes in one of two, by what a candidate is ranked against.
        pack_tokens: a pass has a fixed number.
        kv_bytes: nothing is fed again.

    Raises:
        QueryError: one of them is given.
    """
    why: str | None = None
    if executor not in (None, "forest"):
        why = f"executor={executor!r}: only forest has passes of fixed shape"
    elif dtype == "auto":
        why = "dtype='auto': the dtype a candidate is scored in depends on the others; name one"
    elif pack_tokens is not None:
        why = f"pack_tokens={pack_tokens}: its passes all have the same number"
    elif kv_bytes is not None:
        why = f"kv_bytes={kv_bytes}: the keys of the path in work are always held"
    if why is not None:
        msg = f"batch_invariant=True does not go with {why}; leave out one or the other"
        raise QueryError(msg)


def refuse_unused(options: LoadOptions, *, backend: str, takes: tuple[str, ...] = ()) -> None:
    """Raise where an option is set that the backend does not take: none is dropped in silence.

    Args:
        options: what the caller asked for.
        backend: its name, for the message.
        takes: names of the options it does take.

    Raises:
        QueryError: an option is set and not taken.
    """
    for field in dataclasses.fields(LoadOptions):
        value = getattr(options, field.name)
        if field.name not in takes and value != field.default:
            taken = ", ".join(takes) if takes else "no options"
            msg = (
                f"the {backend} backend takes {taken}, found {field.name}={value!r}: leave it out, "
                f"or load the model by its folder or hub id (transformers), which takes it"
            )
            raise QueryError(msg)
