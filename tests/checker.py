"""The runtime type checker that the tests run the package under.

beartype checks, within a scope of axes where some are named. jaxtyping's own decorator would do the
same in several times the time: it binds the arguments of each call, and checks them twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import io
import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, ForwardRef, Self, get_args, get_type_hints

import jaxtyping
import typer
from beartype import BeartypeConf, FrozenDict, beartype
from beartype.door import die_if_unbearable

CONF = BeartypeConf(
    # jaxtyping's hook decorates one method at a time, where beartype cannot tell what Self stands
    # for; mypy checks those. And what typer hands a verb is its inner context, not the class that
    # it is asked for by.
    hint_overrides=FrozenDict({Self: Any, typer.Context: Any}),
    # An int where a float is asked for, as mypy reads it.
    is_pep484_tower=True,
    violation_type=jaxtyping.TypeCheckError,
)
checked = beartype(conf=CONF)

VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS

own: Callable[..., Any] = jaxtyping.jaxtyped
"""jaxtyping's, whose place is taken here."""


def jaxtyped(asked: Any = None, /, *, typechecker: Any) -> Any:  # noqa: ANN401 - of any kind
    """Decorate a function or class as `jaxtyping.jaxtyped` does, in the code of the import hook."""
    if asked is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if not inspect.isclass(asked):
        return _checked_function(asked, typechecker)
    if dataclasses.is_dataclass(asked) and not hasattr(asked.__init__, "__wrapped__"):
        asked.__init__ = _checked_function(asked.__init__, typechecker)  # type: ignore[method-assign]
    return asked


def _checked_function(function: Any, typechecker: Any) -> Any:  # noqa: ANN401 - as above
    # Of what a generator yields and a coroutine returns beartype alone has an opinion of its own.
    special = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    if not isinstance(function, FunctionType) or any(is_one(function) for is_one in special):
        return own(function, typechecker=typechecker)
    hints = _hints(function.__code__, tuple(function.__annotations__.items()), function.__module__)
    # A function within a function is made anew at each call, and beartype's code takes longer to
    # write than to run.
    by_hand = "<locals>" in function.__qualname__ and not function.__code__.co_flags & VARIADIC
    strict = _by_hand(function, hints) if by_hand else typechecker(_annotated(function, hints))
    if any(map(_names_axes, hints.values())):
        strict = _scoped(strict)

    @functools.wraps(function)
    def either(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's own
        disabled = jaxtyping.config.jaxtyping_disable
        return (function if disabled else strict)(*args, **kwargs)

    return either


def _scoped(strict: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function within which axes of one name have one size, which an error tells."""

    def scoped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        with own("context"):
            try:
                return strict(*args, **kwargs)
            except jaxtyping.TypeCheckError as error:
                if not hasattr(error, "__notes__"):  # of this call, and of none further in
                    with contextlib.redirect_stdout(io.StringIO()) as sizes:
                        jaxtyping.print_bindings()  # type: ignore[no-untyped-call]
                    error.add_note(sizes.getvalue())
                raise

    return scoped


@functools.cache
def _hints(
    code: CodeType,  # noqa: ARG001 - two functions may look up the same words at different times
    annotations: tuple[tuple[str, Any], ...],
    module: str,
) -> dict[str, Any]:
    """Return what annotations stand for; Any, as with jaxtyping, where a name is not there yet."""
    hints: dict[str, Any] = {}
    for name, hint in annotations:

        def bearer() -> None: ...

        bearer.__annotations__ = {name: hint}
        try:
            hints |= get_type_hints(bearer, vars(sys.modules[module]), include_extras=True)
        except Exception:  # noqa: BLE001 - annotations are evaluated, which may raise anything
            hints[name] = Any
    return hints


def _names_axes(hint: Any) -> bool:  # noqa: ANN401 - as above
    if isinstance(hint, list | tuple):  # the parameters of a Callable
        return any(map(_names_axes, hint))
    if isinstance(hint, str | ForwardRef):
        return True  # it may
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(_names_axes, get_args(hint)))


def _annotated(function: FunctionType, hints: dict[str, Any]) -> FunctionType:
    """Return the same function with these annotations."""
    twin = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__qualname__ = function.__qualname__
    twin.__module__ = function.__module__
    twin.__annotations__ = hints
    return twin


def _by_hand(function: FunctionType, hints: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that checks what goes in and what comes out, and writes no code."""
    places = [hints.get(name, Any) for name in function.__code__.co_varnames]
    returned = hints.get("return", Any)

    def strict(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        for value, hint in zip(args, places, strict=False):
            die_if_unbearable(value, hint, conf=CONF)
        for name, value in kwargs.items():
            die_if_unbearable(value, hints.get(name, Any), conf=CONF)
        out = function(*args, **kwargs)
        die_if_unbearable(out, returned, conf=CONF)
        return out

    return strict
