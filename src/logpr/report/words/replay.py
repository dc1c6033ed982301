"""The line that runs one case of a check again, on the command line or in Python."""

from __future__ import annotations

import re
import shlex

from logpr._values import CheckReport

_URL = re.compile(r"https?://\S+")
_NAMED = re.compile(r"(?!__main__:|cmd:)[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_CLASS = re.compile(r".*:[A-Z]\w*")
"""`pkg.mod:fn`. What a session of Python defined is in no module; a class is a factory alone."""
_COMMAND = re.compile(r"cmd:.+|(?:\S*/\S*|python[\d.]*|uv|uvx|node|npx|bash|sh|java|docker) .+")


def again(report: CheckReport, replay: str) -> tuple[str, ...]:
    """Return the command that runs a case alone, in parts that may stand on lines of their own.

    The case's id holds all that was drawn, so no seed is needed. Of a target that only a session
    of Python knows it is the call that does it, with … for what it was called with.
    """
    # The suite, for this line alone.
    from logpr.conformance.adapters import ADAPTERS  # noqa: PLC0415 - as said
    from logpr.conformance.declares import Declares  # noqa: PLC0415 - as said

    target = report.target
    adapter = ADAPTERS.get(target)
    known = any(form.fullmatch(target) for form in (_URL, _NAMED, _COMMAND))
    if report.architecture is None and _CLASS.fullmatch(target):
        known = False
    if adapter is None and not known:
        return (f"logpr.check(…, replay={replay!r})",)
    parts = [f"logpr check {shlex.quote(target)}"]
    if adapter is None and report.architecture is not None and _NAMED.fullmatch(target):
        parts.append("--factory")
    if report.architecture not in (None, "gpt2"):
        parts.append(f"--toy {shlex.quote(str(report.architecture))}")
    usual = dict((adapter.declares if adapter else Declares()).pairs())
    declared = [f"{name}={value}" for name, value in report.declares if usual.get(name) != value]
    if declared:
        parts.append(f"--declares {shlex.quote(','.join(declared))}")
    return (*parts, f"--replay {shlex.quote(replay)}")
