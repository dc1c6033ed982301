"""A completions endpoint behind the seam to models: what it can be asked, found when it is opened.

Texts never go over the wire: prompts are token ids, made by the tokenizer of the model's folder.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from typing import final

from logpr._values import ModelProvenance
from logpr.errors import (
    ContextLengthError,
    EmptyContextError,
    ModelLoadError,
    ModelOutputError,
    QueryError,
)
from logpr.models._options import LoadOptions, refuse_unused
from logpr.models._versions import library_versions
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, Glimpses
from logpr.models.openai.address import Address, address_of, api_key
from logpr.models.openai.answers import NotGivenError, glimpses_of, known_best
from logpr.models.openai.asking import Asker, Ids, listed_models, only_model
from logpr.models.openai.beside import declared_of
from logpr.models.openai.connecting import connect, probe_prefixes
from logpr.models.openai.names import Names
from logpr.models.openai.scoring import asked_of, longest_of, outcomes_listed, outcomes_of, summed
from logpr.models.openai.wire import EndpointError, Json, Wire
from logpr.tokens.base import Tokenizer
from logpr.tokens.pack import Pack
from logpr.tokens.tokenizer import FastTokenizer


def open_endpoint(name: str, options: LoadOptions) -> EndpointModel:
    """Return the model behind a completions URL.

    Args:
        name: `http://HOST:PORT/v1#tokenizer=FOLDER`; `&model=NAME` where several are served,
            `&timeout=SECONDS` of one request.
        options: none is taken: how the model runs was decided where it is served.

    Raises:
        QueryError: no such URL, or no tokenizer is named.
        MissingFileError: the tokenizer's folder does not exist.
        ModelLoadError: the endpoint cannot be reached or used, or its numbers are not the model's.
    """
    refuse_unused(options, backend="http")
    return EndpointModel.connected(address_of(name))


@final
class EndpointModel:
    """Implements `Model` and `Glimpsing`; `edges` scores any token where the server scores prompts.

    Where it does not, `edges` scores the tokens that are among the best it lists.

    Args:
        asker: of the endpoint, its manner found.
        address: where that is.
        model: its name there.
        tokenizer: of the model that is served.
        context_length: the longest sequence of fed tokens.
        vocab_size: rows of the head, as far as is known.
        end_ids: the end tokens that the folder declares.
    """

    def __init__(
        self,
        asker: Asker,
        address: Address,
        *,
        model: str,
        tokenizer: Tokenizer,
        context_length: int,
        vocab_size: int,
        end_ids: tuple[int, ...],
    ) -> None:
        manner = asker.manner
        self._asker = asker
        self._name = f"{address.public}#model={model}"
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.vocab_size = vocab_size
        self.end_ids = end_ids
        self.provenance = ModelProvenance(
            model=self._name,
            backend="openai",
            tokenizer_digest=tokenizer.digest,
            dtype="as served",
            device="server",
            executor=f"{manner.scoring or 'lists alone'}, top {manner.top}",
            versions=library_versions("httpx", "tokenizers"),
        )

    @classmethod
    def connected(cls, address: Address) -> EndpointModel:
        """Return the model of an endpoint that was probed: see `connecting`.

        Raises:
            QueryError: no tokenizer is named.
            MissingFileError: its folder does not exist.
            ModelLoadError: the endpoint cannot be reached or used, or contradicts itself.
        """
        if address.tokenizer is None:
            msg = (
                f"{address.public} is asked in token ids, which its model's tokenizer makes: name "
                f"the folder that holds its tokenizer.json, {address.public}#tokenizer=FOLDER"
            )
            raise QueryError(msg)
        tokenizer = FastTokenizer.from_folder(address.tokenizer)
        declared = declared_of(address.tokenizer, tokenizer)
        wire = Wire(address, key=api_key())
        try:
            served = _served(wire, address.model)
            size = _vocab_size(served, declared.vocab_size, tokenizer, address)
            model = str(served["id"])
            asker = Asker(wire, model, Names(tokenizer, size))
            connect(asker, probe_prefixes(tokenizer, size), size)
        except EndpointError as error:
            wire.close()
            raise ModelLoadError(str(error)) from None
        except BaseException:
            wire.close()
            raise
        found = cls(
            asker,
            address,
            model=model,
            tokenizer=tokenizer,
            context_length=_context(served) or declared.context_length or sys.maxsize,
            vocab_size=size,
            end_ids=declared.end_ids,
        )
        weakref.finalize(found, wire.close)
        return found

    @property
    def top(self) -> int:
        """How many of the best next tokens the endpoint lists."""
        return self._asker.manner.top

    def next_top(self, prefixes: Sequence[Sequence[int]]) -> Glimpses:
        """Return the best next tokens after each prefix of token ids, `top` of them at most.

        A token that the server calls by a name several tokens may have ends its row.

        Raises:
            EmptyContextError: a prefix is empty.
            ContextLengthError: a prefix is as long as the context: there is no place for another.
            ModelError: the endpoint failed, or its answer is of no distribution.
        """
        asked = [tuple(prefix) for prefix in prefixes]
        for prefix in asked:
            # A server generates the next token to list it.
            self._check(len(prefix), more=1)
        try:
            found = self._asker.best(asked)
        except NotGivenError:
            msg = (
                f"{self._name} listed no next tokens after one of {len(asked)} prefixes, as it "
                f"did when it was opened: it may end where the prefix ends in an end token"
            )
            raise ModelOutputError(msg) from None
        return glimpses_of([known_best(best, self.top) for best in found])

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Return the log-probability of every edge of `pack`; `logit` and `logz` are None.

        Raises:
            EmptyContextError: an edge at ROOT.
            ContextLengthError: a path is longer than the context.
            QueryError: evidence is asked for, which is of whole rows; or the server does not score
                prompts and a token is not among the best it lists.
            ModelError: the endpoint failed, or its answer is of no distribution.
        """
        if evidence.columns or evidence.alternatives:
            msg = (
                f"{self._name} shows its {self.top} best next tokens, and ranks, entropies and "
                f"alternatives are of whole distributions: leave explain, evidence and "
                f"alternatives out, or load the model itself by its folder or hub id"
            )
            raise QueryError(msg)
        asked = asked_of(pack)
        manner = self._asker.manner
        for prefix, _ in asked:
            self._check(len(prefix), more=1 if manner.scoring is None else 0)
        if manner.scoring is None:
            outcomes = outcomes_listed(asked, self.next_top, name=self._name)
        else:
            sequences = longest_of(asked)
            outcomes = outcomes_of(sequences, self._scored(sequences))
        return EdgeScores(logprob=summed(asked, outcomes), logit=None, logz=None)

    def _scored(self, sequences: Sequence[Ids]) -> list[tuple[float, ...]]:
        try:
            return [logprobs for _, logprobs in self._asker.scored(sequences)]
        except NotGivenError:
            msg = f"{self._name} scored no prompt, as it did when it was opened"
            raise ModelOutputError(msg) from None

    def _check(self, size: int, *, more: int) -> None:
        if not size:
            msg = (
                "the first token has nothing before it to be conditioned on; give a prompt, or a "
                "start token: bos='always'"
            )
            raise EmptyContextError(msg)
        if size + more > self.context_length:
            msg = (
                f"{size + more} tokens, and the context of {self._name} holds "
                f"{self.context_length}; shorten the prompt, or drop tokens from its left: "
                f"truncate='left'"
            )
            raise ContextLengthError(msg)


def _served(wire: Wire, name: str | None) -> Json:
    """Return what the endpoint says of the model: its only one, or the one that is named."""
    if name is None:
        return only_model(wire)
    try:
        models = listed_models(wire)
    except EndpointError:
        # Some servers list none; whether it has this one is seen when it is asked.
        models = []
    return next((each for each in models if each["id"] == name), {"id": name})


def _context(served: Json) -> int | None:
    """Return the context that a server declares: vLLM's `max_model_len`, llama.cpp's `meta`."""
    meta = served.get("meta")
    given = served.get("max_model_len", meta.get("n_ctx_train") if isinstance(meta, dict) else None)
    return given if type(given) is int and given > 0 else None


def _vocab_size(served: Json, declared: int, tokenizer: Tokenizer, address: Address) -> int:
    """Return the rows of the head, where the server does not contradict the tokenizer."""
    meta = served.get("meta")
    given = meta.get("n_vocab") if isinstance(meta, dict) else None
    if type(given) is not int:
        return declared
    if given < tokenizer.vocab_size:
        msg = (
            f"{address.public} serves a model of {given} tokens, and {address.tokenizer} has "
            f"{tokenizer.vocab_size}; give the tokenizer of the model that is served: "
            f"#tokenizer=FOLDER"
        )
        raise ModelLoadError(msg)
    return given
