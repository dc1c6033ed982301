"""logpr as a model of lm-evaluation-harness: `--model logpr --model_args pretrained=…`.

Importing this registers it. The harness (0.4.13) does not look for the models of other packages,
so its command line is started through here, with all of its own arguments:

    python -m logpr.integrations.lm_eval --model logpr --model_args pretrained=FOLDER --tasks …

Values are those of the harness's own Hugging Face backend: the ids are made by its conventions,
and the log-probabilities and favourites of all requests come out of one trie a window.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from logpr.errors import LogprError, MissingExtraError, ModelError

# `python -m` imports this before `main` can say anything, so what is missing is raised on use.
_missing: MissingExtraError | None = None
try:
    from logpr.integrations.lm_eval._model import LogprLM, cli_evaluate
except MissingExtraError as error:
    _missing = error

__all__ = ["LogprLM", "main"]

_BAD_INPUT = 2
_MODEL_FAILED = 3


def main() -> None:
    """Run the harness's command line, with the model `logpr` known to it.

    What logpr finds wrong is one line on stderr, with exit code 2, or 3 where the model failed.
    """
    try:
        if _missing is not None:
            raise _missing
        cli_evaluate()
    except LogprError as error:
        sys.stderr.write(f"logpr: {error}\n")
        sys.exit(_MODEL_FAILED if isinstance(error, ModelError) else _BAD_INPUT)


def __getattr__(name: str) -> NoReturn:
    """Say what `LogprLM` needs, where it is not installed."""
    if _missing is not None and name in __all__:
        raise _missing
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
