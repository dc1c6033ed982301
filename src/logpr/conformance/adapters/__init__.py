"""Known packages as scorers: each made for a model's folder, and called as its own docs call it.

An adapter is `make(model_folder) -> scorer`, a few lines in a module of its own, which imports its
package where it is needed. Nothing is repaired on the way: what is checked is what the package
gives.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from logpr.conformance.declares import Declares
from logpr.conformance.toy import Architecture
from logpr.errors import MissingExtraError

__all__ = ["ADAPTERS", "Adapter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A package that `logpr check NAME` knows.

    Args:
        name: what `logpr check` calls it.
        make: `module:function` of make(model_folder).
        about: what of the package is called, in one line.
        package: what is to be installed, as pip takes it; the version that the gallery ran.
        imports: the module that it is imported as.
        declares: what the package documents its numbers to be.
        architecture: which of the suite's models it can load; None for both.
    """

    name: str
    make: str
    about: str
    package: str
    imports: str
    declares: Declares
    architecture: Architecture | None = None

    @property
    def installed(self) -> bool:
        """Whether its package is."""
        return importlib.util.find_spec(self.imports) is not None

    def factory(self) -> Callable[[str], Any]:
        """Return make(model_folder) -> scorer.

        >>> from logpr.conformance.adapters import ADAPTERS
        >>> ADAPTERS["logpr:builtin"].factory().__name__
        'builtin'

        Raises:
            MissingExtraError: its package is not installed.
        """
        if not self.installed:
            msg = f"{self.name} is checked through its package: pip install '{self.package}'"
            raise MissingExtraError(msg)
        module, _, function = self.make.partition(":")
        found: Callable[[str], Any] = getattr(importlib.import_module(module), function)
        return found


_HERE = "logpr.conformance.adapters"

_DOUBLE = Declares(dtype="float64")

_TRANSFORMERS = "transformers==5.23.0"

_MINICONS = Adapter(
    name="minicons",
    make=f"{_HERE}.minicons:make",
    about="IncrementalLMScorer.conditional_score(prompt, y, separator='', reduction=sum)",
    package="minicons==0.3.39",
    imports="minicons",
    # `conditional_score` counts the prompt's tokens alone, and scores what follows in the whole.
    declares=replace(_DOUBLE, boundary="split"),
)

_OWN = Declares(per_token=True, dtype="float64")


def _own(name: str, what: str) -> Adapter:
    return Adapter(
        name=f"logpr:{name}",
        make=f"{_HERE}.own:{name}",
        about=f"logpr's own scores of a transformers model, executor {what}",
        package="logpr[hf]",
        imports="torch",
        declares=_OWN,
    )


_TABLE = (
    Adapter(
        name="lm-eval",
        make=f"{_HERE}.lm_eval:make",
        about="lm-evaluation-harness, HFLM.loglikelihood of one Instance a candidate",
        package="lm_eval[hf]==0.4.13",
        imports="lm_eval",
        declares=_DOUBLE,
    ),
    _MINICONS,
    replace(
        _MINICONS,
        name="minicons:mean",
        make=f"{_HERE}.minicons:make_mean",
        about="IncrementalLMScorer.conditional_score(prompt, y, separator=''), its default: a mean",
        declares=replace(_MINICONS.declares, aggregate="mean"),
    ),
    Adapter(
        name="surprisal",
        make=f"{_HERE}.surprisal:make",
        about="surprisal, minus extract_surprisal(y, prefix=prompt) of a causal model",
        package="surprisal[transformers]==0.1.7",
        imports="surprisal",
        declares=Declares(boundary="joint", bos="always"),
    ),
    Adapter(
        name="transformers-perplexity",
        make=f"{_HERE}.transformers:make_perplexity",
        about="the sliding-window recipe of the page Perplexity, prompt tokens labelled -100",
        package=_TRANSFORMERS,
        imports="transformers",
        # A loss is taken in float32, whatever the model's precision.
        declares=Declares(boundary="split"),
    ),
    Adapter(
        name="transformers-transition-scores",
        make=f"{_HERE}.transformers:make_transition_scores",
        about="compute_transition_scores(…, normalize_logits=True) of a generation held to y",
        package=_TRANSFORMERS,
        imports="transformers",
        # So are the logits of a generation.
        declares=Declares(boundary="verbatim", per_token=True),
    ),
    Adapter(
        name="transformers-transition-scores:default",
        make=f"{_HERE}.transformers:make_transition_logits",
        about="the same without normalize_logits: documented as transition scores (logits)",
        package=_TRANSFORMERS,
        imports="transformers",
        declares=Declares(boundary="verbatim", per_token=True),
    ),
    Adapter(
        name="evaluate-perplexity",
        make=f"{_HERE}.evaluate:make",
        about="the metric `perplexity`: log Pr(prompt y) − log Pr(prompt), each −n ln perplexity",
        package="evaluate==0.4.6",
        imports="evaluate",
        declares=replace(_DOUBLE, boundary="split", bos="always"),
    ),
    Adapter(
        name="llama-cpp-python",
        make=f"{_HERE}.llama_cpp:make",
        about="create_completion(prompt + y, echo=True, logprobs=1), tokens by their text_offset",
        package="llama-cpp-python==0.3.36",
        imports="llama_cpp",
        # float32, with GELU looked up in a table of float16.
        declares=Declares(boundary="joint", dtype="float16", per_token=True),
        architecture="gpt2",
    ),
    Adapter(
        name="logpr",
        make=f"{_HERE}.own:make",
        about="logpr's own scores of a transformers model",
        package="logpr[hf]",
        imports="torch",
        declares=_OWN,
    ),
    _own("plain", "plain: one sequence at a time"),
    _own("cache", "cache: keys of shared prefixes are kept"),
    _own("mask", "mask: a trie as one packed sequence"),
    _own("forest", "forest: attention along the paths of a trie"),
    Adapter(
        name="logpr:builtin",
        make=f"{_HERE}.own:builtin",
        about="logpr's own Llama in NumPy",
        package="logpr",
        imports="logpr",
        declares=replace(_OWN, dtype="float32"),
        architecture="llama",
    ),
    Adapter(
        name="logpr:table",
        make=f"{_HERE}.own_files:table",
        about="a table: file of the contexts asked, by token ids",
        package="logpr",
        imports="logpr",
        declares=replace(_OWN, ids=True),
    ),
    Adapter(
        name="logpr:logits",
        make=f"{_HERE}.own_files:logits",
        about="a logits: file of the rows asked, by token ids",
        package="logpr",
        imports="logpr",
        declares=replace(_OWN, ids=True),
    ),
)

ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in _TABLE}
"""Every adapter, by name."""
