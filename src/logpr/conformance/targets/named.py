"""From what is typed after `logpr check` to what is checked."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import inspect
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from logpr.conformance.declares import Declares
from logpr.conformance.targets.base import Target
from logpr.conformance.targets.called import TIME_LIMIT, Called, Made
from logpr.conformance.targets.command import MODEL, Command
from logpr.conformance.targets.importing import found, is_dotted
from logpr.errors import MissingExtraError, QueryError, UnknownNameError

TYPED = "logpr check"
_COMMAND = "cmd:"
_WANTED = f"{TYPED} pkg.mod:fn, where fn(prompt, candidates) returns a score for each candidate"
_WANTED_FACTORY = (
    f"{TYPED} --factory pkg.mod:make, where make(model_folder) returns a scorer of that model"
)


@runtime_checkable
class Known(Protocol):
    """A package that is known by a name; see `logpr.conformance.adapters`."""

    @property
    def make(self) -> str:
        """`module:function`, called with a model's folder."""
        ...

    @property
    def package(self) -> str:
        """What is to be installed, as pip takes it."""
        ...

    @property
    def declares(self) -> Declares:
        """What it documents its numbers to be."""
        ...

    @property
    def architecture(self) -> str | None:
        """Which of the suite's models it loads; None: both."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a name stands for, and what is declared of its numbers."""

    target: Target
    declares: Declares
    architecture: str | None = None


def target_named(
    text: str,
    *,
    declared: Mapping[str, str] | None = None,
    factory: bool = False,
    time_limit: float = TIME_LIMIT,
    api_model: str | None = None,
    known: Mapping[str, Known] | None = None,
) -> Named:
    """Return what is checked: a function, a URL, a known package, or a command.

    Modules of the working folder are found inside `importing.working_folder()`.

    Args:
        text: `pkg.mod:fn`, http://…, a name of `known`, `cmd:…` or a command as it is.
        declared: by name; what is not said is as the package documents it, or the default.
        factory: whether `pkg.mod:fn` is make(model_folder).
        time_limit: seconds for a call.
        api_model: which model a URL is asked for.
        known: adapters by name.

    Raises:
        UnknownNameError: it stands for nothing; with what is near, and the forms there are.
        QueryError: it cannot be imported or run, or options contradict it.
        WrongTypeError: it names no scorer.
        MissingExtraError: the package is not installed.
    """
    known, given = known or {}, dict(declared or {})
    is_url = re.match(r"(?i)https?://", text) is not None
    if api_model is not None and not is_url:
        msg = f"--api-model names a model of a URL, and {text!r} is none; leave it out"
        raise QueryError(msg)
    if text in known:
        return _of_package(text, known[text], given, time_limit)
    declares = Declares.of(given)
    if is_url:
        # httpx takes 100 ms to load, for this alone.
        from logpr.conformance.targets.http import Url  # noqa: PLC0415 - as said

        _refuse_factory(text, "a URL", "it holds a model of its own", factory=factory)
        url = Url(text, declares=declares, model=api_model, time_limit=time_limit)
        return Named(target=url, declares=declares)
    if text.startswith(_COMMAND) or _is_command(text):
        command = Command(
            text.removeprefix(_COMMAND), declares=declares, time_limit=time_limit, name=text
        )
        if not command.factory:
            way = f"write {MODEL} where its folder is to stand"
            _refuse_factory(text, "a command", way, factory=factory)
        return Named(target=command, declares=declares)
    if ":" in text:
        wanted = _WANTED_FACTORY if factory else _WANTED
        value = found(text, typed=f"{TYPED} --factory" if factory else TYPED, wanted=wanted)
        _refuse_other_kind(text, value, factory=factory)
        kind = Made if factory else Called
        target = kind(value, declares=declares, time_limit=time_limit, name=text)
        return Named(target=target, declares=declares)
    raise _unknown(text, known)


def _of_package(name: str, package: Known, given: Mapping[str, str], time_limit: float) -> Named:
    wanted = re.split(r"[\[<>=!~; ]", package.package, maxsplit=1)[0]
    try:
        importlib.metadata.distribution(wanted)
    except importlib.metadata.PackageNotFoundError as error:
        msg = f"{TYPED} {name} needs {wanted}; run: pip install '{package.package}'"
        raise MissingExtraError(msg) from error
    module, _, attribute = package.make.partition(":")
    make = getattr(importlib.import_module(module), attribute)
    declares = Declares.of({**dict(package.declares.pairs()), **given})
    return Named(
        target=Made(make, declares=declares, time_limit=time_limit, name=name),
        declares=declares,
        architecture=package.architecture,
    )


def _is_command(text: str) -> bool:
    """Return whether a text is words, or a program: a module's name with a colon is neither."""
    module, colon, _ = text.partition(":")
    if colon and (is_dotted(module) or module.endswith(".py")) and not any(map(str.isspace, text)):
        return False
    return any(map(str.isspace, text.strip())) or shutil.which(text) is not None


def _refuse_factory(text: str, kind: str, way: str, *, factory: bool) -> None:
    if factory:
        msg = f"--factory is for make(model_folder), and {text!r} is {kind}: {way}"
        raise QueryError(msg)


def _refuse_other_kind(text: str, value: object, *, factory: bool) -> None:
    """Refuse a factory that is given as a scorer, and the other way round, by what they take."""
    if not callable(value) or hasattr(value, "many") or isinstance(value, type):
        return
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return
    makes, scores = _takes(signature, 1), _takes(signature, 2)
    if not factory and makes and not scores:
        msg = (
            f"{text} takes one argument, {signature}; a scorer takes (prompt, candidates). Where "
            f"it makes a scorer for a model's folder, write\n  {TYPED} --factory {text}"
        )
        raise QueryError(msg)
    if factory and scores and not makes:
        msg = (
            f"{text} takes two arguments, {signature}; a factory takes (model_folder). Where it is "
            f"a scorer itself, write\n  {TYPED} {text}"
        )
        raise QueryError(msg)


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _unknown(text: str, known: Mapping[str, Known]) -> UnknownNameError:
    """Return the error for a text that is none of the forms."""
    path = Path(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    if is_file and path.suffix == ".py":
        msg = (
            f"{text!r} is a file; write {TYPED} {path.stem}:score for a function in it, or "
            f"{TYPED} 'python {text}' for a program that answers JSON Lines"
        )
        return UnknownNameError(msg)
    if is_file:
        return UnknownNameError(f"{text!r} is a file that cannot be run; chmod +x {text}")
    near = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    names = ", ".join(known)
    msg = (
        f"{text!r} names no scorer{meant}. There are:\n"
        f"  pkg.mod:fn            fn(prompt, candidates), or an object with many(queries)\n"
        f"  --factory pkg.mod:fn  fn(model_folder), which returns one\n"
        f"  http://HOST:PORT/v1   a completions URL as OpenAI's is\n"
        f"  'python scorer.py'    a program that answers JSON Lines (or cmd:PROGRAM)\n"
        f"  a known package: {names}"
    )
    return UnknownNameError(msg)
