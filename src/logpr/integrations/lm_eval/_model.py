"""The model itself: the harness's requests in, log-probabilities and texts out."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Self, final

from logpr import __version__
from logpr.errors import EmptyContextError, MissingExtraError, QueryError
from logpr.integrations._conversation import written
from logpr.integrations._generation import (
    MAX_NEW_TOKENS,
    Generation,
    generate,
    read_options,
    request_seeds,
)
from logpr.integrations._likelihood import likelihoods
from logpr.integrations._opened import opened
from logpr.integrations._pairs import Pair, fitted
from logpr.integrations._progress import bar
from logpr.models.base import Model, Predictive
from logpr.numerics import exact_sum

try:
    # All the models that the harness brings: it looks for them only while none is registered.
    import lm_eval.models  # noqa: F401
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from lm_eval.utils import (
        get_rolling_token_windows,
        make_disjoint_window,
        simple_parse_args_string,
    )
except ImportError as error:
    _msg = f'lm-evaluation-harness is needed ({error}): pip install "logpr[lm-eval]"'
    raise MissingExtraError(_msg) from error

__all__ = ["LogprLM", "cli_evaluate"]

_log = logging.getLogger(__name__)

_DEFAULT_DEVICE = "cuda:0"
"""What the harness's command line hands on where --device was not given."""

_DIGEST = 8
"""Characters of the tokenizer's digest in its name."""


@register_model("logpr")
@final
class LogprLM(TemplateLM):  # type: ignore[misc]
    """A model of logpr in lm-evaluation-harness.

    Args:
        pretrained: a name as `logpr.load` takes it (a folder, a hub id, `builtin`, …), or a model.
        max_length: the longest sequence fed; by default the model's context, 2048 where it
            declares none.
        add_bos_token: whether a start token is put before each text; by default what the
            tokenizer itself does.
        prefix_token_id: what an empty context stands for; by default the start token, else the
            end token.
        seed: of sampling; with the request itself it decides what is drawn.
        batch_size: taken because the harness always gives one, and not used: requests share
            windows of `logpr.integrations._likelihood.WINDOW_TOKENS` unique tokens.
        max_batch_size: as batch_size.
        options: those of `logpr.load`: dtype, device, executor, adapter, trust_remote_code, …

    Raises:
        QueryError: an option that `logpr.load` does not have, or a length the model cannot take.
        LogprError: whatever `logpr.load` raises.
    """

    def __init__(
        self,
        pretrained: str | os.PathLike[str] | Model,
        *,
        max_length: int | None = None,
        add_bos_token: bool | None = None,
        prefix_token_id: int | None = None,
        seed: int = 1234,
        batch_size: int | str | None = None,  # noqa: ARG002
        max_batch_size: int | None = None,  # noqa: ARG002
        **options: Any,  # noqa: ANN401 - whatever `load` takes
    ) -> None:
        super().__init__()
        self._lm = opened(
            pretrained,
            options,
            max_length=max_length,
            add_bos_token=add_bos_token,
            prefix_token_id=prefix_token_id,
        )
        self._seed = seed

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: Mapping[str, Any], additional_config: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the model of `model_args` and of the command line's own options beside them."""
        given = {name: value for name, value in (additional_config or {}).items() if value}
        if given.get("device") == _DEFAULT_DEVICE:
            del given["device"]  # a GPU where there is one: what `load` does by itself
        merged = {**given, **arg_dict}
        if "pretrained" not in merged:
            msg = (
                "model_args: no model is named; give --model_args pretrained=MODEL (a folder, a "
                "hub id, or builtin)"
            )
            raise QueryError(msg)
        return cls(**merged)

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the model of "key=value,key=value"."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    @property
    def eot_token_id(self) -> int | None:
        """The token that ends a text."""
        return self._lm.end_id

    @property
    def prefix_token_id(self) -> int | None:
        """What an empty context stands for."""
        return self._lm.encoder.prefix_id

    @property
    def max_length(self) -> int:
        """The longest sequence that is fed."""
        return self._lm.max_length

    @property
    def max_gen_toks(self) -> int:
        """How long a generated text may be where its task does not say."""
        return MAX_NEW_TOKENS

    @property
    def tokenizer_name(self) -> str:
        """The name that the harness keeps encoded requests under."""
        digest = self._lm.tokenizer.digest.rpartition(":")[2][:_DIGEST]
        return f"{self._lm.name.replace('/', '__')}-{digest}"

    def tok_encode(
        self, string: str, *, add_special_tokens: bool | None = None, **_: object
    ) -> list[int]:
        """Return the ids of a text."""
        return list(self._lm.encoder.encode(string, add_bos=add_special_tokens))

    def tok_decode(self, tokens: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        special = self._lm.tokenizer.special_ids
        return self._lm.tokenizer.decode([token for token in tokens if token not in special])

    def loglikelihood(
        self, requests: Sequence[Instance], *, disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Return (log Pr(continuation | context), whether it is greedy) of each request."""
        texts: list[tuple[str, str]] = [request.args for request in requests]
        pairs = self._lm.encoder.pairs(texts)
        return self._loglikelihood_tokens(
            [
                (text, list(pair.context_ids), list(pair.token_ids))
                for text, pair in zip(texts, pairs, strict=True)
            ],
            disable_tqdm=disable_tqdm,
        )

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        *,
        disable_tqdm: bool = False,
        **_: object,
    ) -> list[tuple[float, bool]]:
        given = [Pair(tuple(context), tuple(tokens)) for _, context, tokens in requests]
        pairs = [fitted(pair, self._lm.max_length) for pair in given]
        _warn_of_cuts([len(a.ids) - len(b.ids) for a, b in zip(given, pairs, strict=True)])
        answers: list[tuple[float, bool]] = [(0.0, True)] * len(pairs)
        with bar("loglikelihood", len(pairs), disable=disable_tqdm) as advance:
            for index, found in likelihoods(self._lm.model, pairs):
                answers[index] = (found.logprob, found.greedy)
                text = requests[index][0]
                if text is not None:
                    self.cache_hook.add_partial("loglikelihood", text, answers[index])
                advance()
        return answers

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], *, disable_tqdm: bool = False
    ) -> list[float]:
        """Return log Pr(text) of each request, in windows of `max_length` tokens.

        As in the harness's own backend the first token stands after the prefix token, also where
        the tokenizer puts a start token before the text: then that token is scored too.
        """
        windows: list[tuple[None, list[int], list[int]]] = []
        counts: list[int] = []
        prefix = self._lm.encoder.prefix_id
        if prefix is None:
            msg = (
                "a text has nothing before its first token, and this model declares neither a "
                "start token nor an end token: give prefix_token_id=ID in --model_args"
            )
            raise EmptyContextError(msg)
        for request in requests:
            rolled = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=prefix,
                max_seq_len=self._lm.max_length,
                context_len=1,
            )
            own = [(None, *make_disjoint_window(window)) for window in rolled]
            windows += own
            counts.append(len(own))
        scored = iter(self._loglikelihood_tokens(windows, disable_tqdm=disable_tqdm))
        totals: list[float] = []
        for request, count in zip(requests, counts, strict=True):
            totals.append(exact_sum(logprob for logprob, _ in islice(scored, count)))
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, totals[-1])
        return totals

    def generate_until(
        self, requests: Sequence[Instance], *, disable_tqdm: bool = False
    ) -> list[str]:
        """Return the text that the model writes after each request's context.

        Raises:
            QueryError: an option of generation that is not supported, before any text is written.
        """
        if not isinstance(self._lm.model, Predictive):
            msg = (
                f"{self._lm.name} scores given tokens but shows no next-token distributions, so it "
                f"writes no text: take tasks of output_type loglikelihood or multiple_choice"
            )
            raise QueryError(msg)
        eot = self.eot_token_id
        stop = () if eot is None else (self._lm.tokenizer.token_text(eot),)
        options: list[Generation] = []
        sources: list[tuple[str | None, str, Generation]] = []
        contexts: list[tuple[int, ...]] = []
        cuts: list[int] = []
        for request in requests:
            context, kwargs = request.args
            asked = read_options(kwargs)
            room = self._lm.max_length - asked.max_new_tokens
            if room < 1:
                msg = (
                    f"max_gen_toks={asked.max_new_tokens} leaves no room for a context in "
                    f"max_length={self._lm.max_length}: give --gen_kwargs max_gen_toks=N with a "
                    f"smaller N"
                )
                raise QueryError(msg)
            ids = self._lm.encoder.context(context)
            contexts.append(ids[-room:])
            cuts.append(len(ids) - len(contexts[-1]))
            sources.append((request.task_name, context, asked))
            options.append(replace(asked, until=(*asked.until, *stop)))
        _warn_of_cuts(cuts)
        texts = [""] * len(requests)
        ends = frozenset(self._lm.model.end_ids) | (frozenset() if eot is None else {eot})
        seeds = request_seeds(self._seed, sources)
        with bar("generate_until", len(requests), disable=disable_tqdm) as advance:
            for index, text in generate(
                self._lm.model, contexts, options, end_ids=ends, seeds=seeds
            ):
                texts[index] = text
                self.cache_hook.add_partial("generate_until", requests[index].args, text)
                advance()
        return texts

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
    ) -> str:
        """Return a conversation as the model's chat template writes it.

        A template that refuses a system's turn gets the conversation without it, with a warning.
        Without `add_generation_prompt` the text ends with the last turn's content, to go on from.
        """
        return written(
            self._lm.tokenizer, chat_history, add_generation_prompt=add_generation_prompt
        )

    def chat_template(
        self,
        chat_template: bool | str = False,  # noqa: FBT001, FBT002 - the harness's signature
    ) -> str | None:
        """Return the template in use, for the harness's records; None where none is applied."""
        if isinstance(chat_template, str) and chat_template != "default":
            msg = (
                f"--apply_chat_template {chat_template}: of a model's templates the default one is "
                f"used; leave out the name"
            )
            raise QueryError(msg)
        return self._lm.tokenizer.chat_template or "" if chat_template else None

    def get_model_info(self) -> dict[str, Any]:
        """Return what the results' file says about the model: its provenance."""
        return {
            "logpr_version": __version__,
            "model_provenance": self._lm.model.provenance.to_dict(),
            "max_length": self._lm.max_length,
            "prefix_token_id": self.prefix_token_id,
            "eot_token_id": self.eot_token_id,
        }


def _warn_of_cuts(cuts: Sequence[int]) -> None:
    cut = [count for count in cuts if count > 0]
    if cut:
        _log.warning(
            "%d of %d requests are longer than the model's context: their contexts were cut from "
            "the left, by %d tokens at most",
            len(cut),
            len(cuts),
            max(cut),
        )
