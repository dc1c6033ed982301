"""From a folder or hub id to a model, refusing whatever would give numbers that mean nothing."""

from __future__ import annotations

import copy
import difflib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
from transformers.utils.hub import cached_file

from logpr.errors import MissingExtraError, ModelLoadError, QueryError, UnknownNameError
from logpr.models._digest import weights_digest
from logpr.models._options import LoadOptions
from logpr.models.hf.auto import AUTO, RefiningModel, open_auto, stored_in_float32
from logpr.models.hf.encdec import HFEncoderDecoder
from logpr.models.hf.encdec_probe import EXECUTORS as DECODER_EXECUTORS
from logpr.models.hf.model import HFModel
from logpr.models.hf.probe import EXECUTORS
from logpr.models.hf.trunk import quiet
from logpr.tokens.seq2seq import Sides
from logpr.tokens.tokenizer import from_transformers

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

_NOT_CAUSAL = re.compile(
    r"(ForMaskedLM|Classification|ForQuestionAnswering|ForMultipleChoice|ForPreTraining"
    r"|RewardModel|ForFeatureExtraction|EncoderModel)$"
)

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "source.spm",
    "vocab.json",
    "vocab.txt",
)

_OWN = "auto"
"""How transformers calls the checkpoint's own dtype. (`dtype="auto"` here is another thing.)"""

_SHOWN = 4
"""Names of tensors in a message."""


def load_folder(name: str, options: LoadOptions) -> HFModel | HFEncoderDecoder | RefiningModel:
    """Return the model of a local folder or hub id.

    Args:
        name: the folder or id.
        options: dtype (float32 on a CPU by default, elsewhere the checkpoint's own; `auto` is
            `open_auto`'s choice, and float32 for encoder–decoder models), device (a GPU where
            there is one), executor, adapter, trust_remote_code.

    Raises:
        ModelLoadError: it is incomplete, corrupt, or no language model that goes on from x.
        MissingExtraError: it needs a package that is not installed.
        UnknownNameError: no dtype or executor is called that.
        QueryError: the device is not there, or an option does not go with this kind of model.
    """
    device = _device(options.device)
    named_dtype = _dtype(options.dtype, device)
    if options.executor is not None:
        known = tuple(dict.fromkeys((*EXECUTORS, *DECODER_EXECUTORS)))
        _named(options.executor, known, "executor")
    common: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    if Path(name).is_dir():
        common["local_files_only"] = True
    with _refusing(name), quiet():
        config = AutoConfig.from_pretrained(name, **common)
    _check_kind(name, config)
    both = bool(getattr(config, "is_encoder_decoder", False))
    if both and options.batch_invariant:
        msg = (
            f"batch_invariant=True is for causal models, and {name!r} ({config.model_type}) has an "
            f"encoder and a decoder: leave it out, or load a causal model"
        )
        raise QueryError(msg)

    def read(dtype: torch.dtype | None) -> PreTrainedModel:
        kind: Any = AutoModelForSeq2SeqLM if both else AutoModelForCausalLM
        with _refusing(name), quiet():
            loaded: Any = kind.from_pretrained(
                name,
                config=copy.deepcopy(config),  # reading writes the dtype into it
                dtype=_OWN if dtype is None else dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are named below, and refused
                **common,
            )
        model, info = loaded
        _check_complete(name, info)
        _check_finite(name, model)
        if options.adapter is not None:
            with _refusing(options.adapter), quiet():
                found = model.load_adapter(options.adapter)
            if found is not None:
                _check_complete(options.adapter, found.to_dict())
        model.requires_grad_(requires_grad=False)
        return cast("PreTrainedModel", model.to(device))

    named = name if options.adapter is None else f"{name} + {options.adapter}"
    tokenizer = _tokenizer(name, common)
    # Of files that have been read: what is not there has been refused in its own words by then.
    digest = cache(partial(_digest, name, options.adapter))
    if both:
        model = read(torch.float32 if options.dtype == AUTO else named_dtype)
        sides = None if tokenizer is None else Sides.of(tokenizer)
        return HFEncoderDecoder.from_modules(
            model,
            sides,
            name=named,
            executor=options.executor,
            digest=digest(),
            pack_tokens=options.pack_tokens,
            kv_bytes=options.kv_bytes,
        )

    def build(model: PreTrainedModel) -> HFModel:
        return HFModel.from_modules(
            model,
            None if tokenizer is None else from_transformers(tokenizer),
            name=named,
            executor=options.executor,
            digest=digest(),
            pack_tokens=options.pack_tokens,
            kv_bytes=options.kv_bytes,
            cache_bytes=options.cache_bytes,
            batch_invariant=options.batch_invariant,
        )

    if options.dtype == AUTO:
        return open_auto(read, build, in_float32=lambda: stored_in_float32(_weight_files(name)))
    return build(read(named_dtype))


def _named(name: str, known: tuple[str, ...], kind: str) -> str:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        msg = f"no {kind} is called {name!r}{hint}; there are {', '.join(known)}"
        raise UnknownNameError(msg)
    return name


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        line = str(error).splitlines()[0]
        msg = f"device {name!r} cannot be used here ({line}): give device='cpu'"
        raise QueryError(msg) from error
    return device


def _dtype(name: str | None, device: torch.device) -> torch.dtype | None:
    """Return the dtype of a name; None for the checkpoint's own, and where `auto` is to choose."""
    if name is None:
        return torch.float32 if device.type == "cpu" else None
    return DTYPES.get(_named(name, (*DTYPES, AUTO), "dtype"))


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn whatever transformers raises for a bad folder into an error that says which and why."""
    try:
        yield
    except ImportError as error:
        install = f"; pip install {error.name}" if error.name else ""
        msg = f"{name!r} needs a package that is not installed: {_line(error)}{install}"
        raise MissingExtraError(msg) from error
    except Exception as error:
        reason = _line(error)
        if isinstance(error, OSError) and not Path(name).exists():
            msg = (
                f"there is no folder {name!r} here, so it was taken for a hub id, and the hub "
                f"could not be reached or has no such model ({reason}); give the path of a folder, "
                f"such as './{name}', or set HF_HUB_OFFLINE=1 to look in the local cache alone"
            )
            raise ModelLoadError(msg) from error
        ways = "check the folder, or load it anew"
        if "trust_remote_code" in str(error):
            ways = "if you trust its authors, give trust_remote_code=True"
        msg = f"{name!r} cannot be loaded: {type(error).__name__}: {reason}; {ways}"
        raise ModelLoadError(msg) from error


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no reason given"


def _check_kind(name: str, config: PretrainedConfig) -> None:
    declared = list(config.architectures or ())
    if declared and all(_NOT_CAUSAL.search(one) for one in declared):
        kind = "not a causal language model, so it gives no log Pr(y | x)"
    elif _reads_other_than_text(config):
        kind = "an encoder-decoder model that reads something else than text"
    else:
        return
    what = ", ".join(declared) or config.model_type
    msg = (
        f"{name!r} ({what}) is {kind}: load a model of the kind ...ForCausalLM, or one that writes "
        f"text after reading text, such as T5, BART or Marian"
    )
    raise ModelLoadError(msg)


def _reads_other_than_text(config: PretrainedConfig) -> bool:
    """Return whether this is an encoder–decoder model whose encoder takes sound or pictures."""
    if not getattr(config, "is_encoder_decoder", False) or hasattr(config, "auto_map"):
        return False
    known = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING.get(type(config), None)
    return getattr(known, "main_input_name", None) != "input_ids"


def _check_complete(name: str, info: dict[str, Any]) -> None:
    """Refuse a checkpoint whose missing tensors transformers would have filled with noise."""
    wrong = {
        "lack": sorted(info["missing_keys"]),
        "have, in another shape,": sorted(
            f"{key} {tuple(found)} for {tuple(wanted)}"
            for key, found, wanted in info["mismatched_keys"]
        ),
    }
    for what, names in wrong.items():
        if names:
            msg = (
                f"the weights of {name!r} {what} {len(names)} of the tensors that its config "
                f"calls for: {_listed(names)}; get the missing files, or correct config.json"
            )
            raise ModelLoadError(msg)
    if info["error_msgs"]:
        msg = f"the weights of {name!r} cannot be read: {_listed(sorted(info['error_msgs']))}"
        raise ModelLoadError(msg)
    unexpected = sorted(info["unexpected_keys"])
    if unexpected:
        msg = (
            f"the weights of {name!r} hold {len(unexpected)} tensors that the model its config "
            f"calls for does not use: {_listed(unexpected)}"
        )
        warnings.warn(msg, UserWarning, stacklevel=4)


def _check_finite(name: str, model: PreTrainedModel) -> None:
    """Refuse weights with nan or infinities: some attention kernels swallow them without a word."""
    bad = []
    for key, tensor in model.named_parameters():
        if tensor.is_floating_point() and tensor.numel():
            low, high = torch.aminmax(tensor.detach())
            if not bool(torch.isfinite(low) & torch.isfinite(high)):
                bad.append(key)
    if bad:
        msg = (
            f"{len(bad)} tensors of {name!r} hold nan or infinities: {_listed(bad)}; get the "
            f"weights anew, or give a dtype of more range than {model.dtype}"
        )
        raise ModelLoadError(msg)


def _listed(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _tokenizer(name: str, common: dict[str, Any]) -> object | None:
    """Return the tokenizer of transformers, or None where the folder has none."""
    folder = Path(name)
    if folder.is_dir() and not any((folder / file).exists() for file in _TOKENIZER_FILES):
        return None
    with _refusing(name), quiet():
        tokenizer: object = AutoTokenizer.from_pretrained(name, **common)
    return tokenizer


def _digest(name: str, adapter: str | None) -> str | None:
    """Return the digest of the weight files, or None where they cannot be found."""
    files: list[Path] = []
    for place in (name, adapter):
        if place is not None:
            files += _weight_files(place)
    return weights_digest(files) if files else None


def _weight_files(name: str) -> list[Path]:
    folder = Path(name)
    if not folder.is_dir():
        config = cached_file(name, "config.json", _raise_exceptions_for_missing_entries=False)
        if config is None:
            return []
        folder = Path(config).parent
    found = sorted(folder.glob("*.safetensors"))
    return found or sorted(folder.glob("*.bin"))
