"""A certificate from a file, which anybody may have written: read with bounds, then looked at."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from logpr._values import Certificate, Verification
from logpr.cli._say import say
from logpr.errors import MissingFileError, RecordError
from logpr.models.base import Model

_MOST_BYTES = 64 * 2**20
_MOST_NUMBER = 2**53
_MOST_TOKENS = 100_000
"""Rounding is allowed for by the token, so that a length beyond reason would allow anything."""
_LARGE_EPSILON = 0.1
"""Nats above which it is said that claims hold within epsilon alone."""
_MOST_PART = 1e6
"""A part of a probability of 1 that is larger is no number to reckon with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFile:
    """What a file says: the certificate, all outputs under a threshold, and the model's name."""

    name: str
    certificate: Certificate
    outputs: tuple[tuple[int, ...], ...] | None
    model: str | None
    digest: str | None

    @classmethod
    def read(cls, name: str) -> CertificateFile:
        """Return the certificate of a file that -o or --json wrote, or of one that holds it alone.

        Args:
            name: of the file; - is stdin.

        Raises:
            MissingFileError: there is no such file.
            RecordError: it is too large, no JSON, or no certificate; says the field.
        """
        called = "<stdin>" if name == "-" else name
        data = _parsed(_bytes(name, called), called)
        if not isinstance(data, dict):
            _refuse(called, f"found {type(data).__name__}, no object with a certificate")
        _bound(data, called)
        whole = "certificate" in data
        inner = data["certificate"] if whole else data
        where = "certificate: " if whole else ""
        if not isinstance(inner, dict):
            _refuse(called, f"{where}found {type(inner).__name__}, no object")
        try:
            certificate = Certificate.from_dict(inner)
        except ValueError as error:
            _refuse(called, f"{where}{_clipped(str(error))}")
        origin = data.get("provenance")
        origin = origin.get("model") if isinstance(origin, dict) else None
        origin = origin if isinstance(origin, dict) else {}
        listed = certificate.threshold is not None and data.get("method") == "threshold"
        out = cls(
            name=called,
            certificate=certificate,
            outputs=_listed(data.get("nbest"), called) if listed else None,
            model=_text(origin.get("model")),
            digest=_text(origin.get("weights_digest")),
        )
        out.check_numbers()
        return out

    def check_numbers(self) -> None:
        """Refuse numbers that no search writes and that nothing can be reckoned with.

        Raises:
            RecordError: one is such a number.
        """
        mass = self.certificate.mass
        for field in fields(mass):
            part = float(getattr(mass, field.name))
            if not -_MOST_PART <= part <= _MOST_PART:
                self._refuse(f"mass.{field.name}", f"{part} is no part of a probability of 1")
        for token, nats in self.certificate.bias:
            if not math.isfinite(nats):
                self._refuse("bias", f"token {token} has {nats}, no finite number of nats")

    def needs_model(self) -> str:
        """Return what to type where no model was named."""
        model = "MODEL" if self.model is None else _clipped(self.model)
        return (
            f"--certificate {self.name} is looked at again with the model that was decoded, and "
            f"none is named; write\n  logpr decode --certificate {self.name} --model {model}"
        )

    def verify(self, model: Model, *, budget: str | None) -> Verification:
        """Return which claims hold under a model.

        Args:
            model: that the certificate is about.
            budget: for the claims about all outputs.

        Raises:
            RecordError: it speaks of tokens or lengths that this model does not have.
            InputError: its objective or its constraint cannot be read.
        """
        from logpr.decoding.verifier import verify  # noqa: PLC0415 - for this option alone

        self._check_against(model)
        epsilon = self.certificate.epsilon
        if epsilon > _LARGE_EPSILON:
            say(
                f"{self.name} allows itself an epsilon of {epsilon:g} nats: its claims are looked "
                f"at within that"
            )
        found = model.provenance.weights_digest
        if self.digest is not None and found is not None and self.digest != found:
            say(
                f"{self.name} was made with other weights ({_clipped(self.model or 'no name')}, "
                f"digest {_clipped(self.digest)}) than {model.provenance.model} has ({found})"
            )
        return verify(self.certificate, model=model, budget=budget, outputs=self.outputs)

    def _check_against(self, model: Model) -> None:
        proof, vocab = self.certificate, model.vocab_size
        self._check_ids("prompt_ids", proof.prompt_ids, vocab)
        self._check_ids("end_ids", proof.end_ids, vocab)
        self._check_ids("bias", (token for token, _ in proof.bias), vocab)
        if proof.end == "stop" and not proof.end_ids:
            self._refuse("end_ids", "there is none, and end is stop")
        room = min(model.context_length - len(proof.prompt_ids), _MOST_TOKENS)
        longest = max(proof.max_new_tokens, len(proof.token_ids or ()))
        if not 1 <= longest <= room + 1 or proof.max_new_tokens < 1:
            self._refuse(
                "max_new_tokens",
                f"outputs of {longest} tokens after {len(proof.prompt_ids)} of prompt are not from "
                f"1 to what the context of {model.context_length} holds, {_MOST_TOKENS} at most",
            )
        if not 0 <= proof.min_new_tokens <= proof.max_new_tokens:
            self._refuse(
                "min_new_tokens",
                f"{proof.min_new_tokens} is not from 0 to max_new_tokens={proof.max_new_tokens}",
            )
        for place, ids in enumerate(self.outputs or ()):
            if len(ids) > room + 1:
                self._refuse(f"nbest.{place}", f"{len(ids)} tokens do not fit the context")
            self._check_ids(f"nbest.{place}", ids, vocab)

    def _check_ids(self, field: str, ids: Iterable[int], vocab: int) -> None:
        for token in ids:
            if not 0 <= token < vocab:
                self._refuse(field, f"token id {token} is outside this model's {vocab}")

    def _refuse(self, field: str, wrong: str) -> NoReturn:
        msg = (
            f"{self.name}: certificate: {field}: {wrong}; is it the file that logpr decode -o "
            f"wrote, and --model the model that was decoded?"
        )
        raise RecordError(msg)


def _bytes(name: str, called: str) -> bytes:
    if name == "-":
        data = sys.stdin.buffer.read(_MOST_BYTES + 1)
    elif Path(name).is_file():
        with Path(name).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    else:
        msg = f"there is no file {name}; write one: logpr decode PROMPT -o decoding.json"
        raise MissingFileError(msg)
    if len(data) > _MOST_BYTES:
        _refuse(called, f"it has more than {_MOST_BYTES // 2**20} MiB, and is not read")
    return data


def _parsed(data: bytes, called: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        _refuse(f"{called}:{error.lineno}", f"the JSON is malformed: {error.msg}")
    except (ValueError, RecursionError) as error:
        _refuse(called, f"the JSON cannot be read: {_clipped(str(error))}")


def _no_constant(name: str) -> NoReturn:
    msg = f'{name} is no JSON; non-finite numbers are written as "{name}"'
    raise ValueError(msg)


def _bound(data: object, called: str) -> None:
    """Refuse whole numbers that no count and no token id comes to, wherever they stand."""
    left: list[object] = [data]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            left += item.values()
        elif isinstance(item, list):
            left += item
        elif isinstance(item, int) and abs(item) > _MOST_NUMBER:
            _refuse(called, f"a number of {len(str(item))} digits is no count of anything")


def _listed(found: object, called: str) -> tuple[tuple[int, ...], ...]:
    if not isinstance(found, list):
        _refuse(called, "nbest: there is no list of the outputs that were found")
    out: list[tuple[int, ...]] = []
    for place, one in enumerate(found):
        ids = one.get("token_ids") if isinstance(one, dict) else None
        if not isinstance(ids, list) or not all(type(token) is int for token in ids):
            _refuse(called, f"nbest.{place}.token_ids: there is no list of token ids")
        out.append(tuple(ids))
    return tuple(out)


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _clipped(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _refuse(called: str, wrong: str) -> NoReturn:
    msg = f"{called}: {wrong}; --certificate takes what logpr decode -o or --json wrote"
    raise RecordError(msg)
