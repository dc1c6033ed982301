"""logpr's plugin of pytest: checks of scorers as tests, without a test file.

It stands beside the package, since pytest imports it at every start: whoever asks for no check
does not pay for logpr, and a conftest.py may still do what has to come before `import logpr`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from sys import modules
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from logpr.conformance.parametrize import Check, Suite

ROOM = "logpr"
"""The first word of the ids: `logpr::pkg.mod:score::chain_rule`, and of an argument like it."""

_FACTORY = "factory:"
_MODULE = "logpr.conformance.parametrize"
_EXCUSE = re.compile(r"(?:(?P<target>\S.*)::)?(?P<check>\w+)\s*:\s+(?P<reason>\S.*)")


@dataclass(slots=True)
class _Asked:
    """What is to be checked, and of which tests the checks of each suite are left."""

    wanted: dict[str, list[str] | None] = field(default_factory=dict)
    """Targets, each with the checks that were named, or None for all."""
    suites: dict[str, Suite] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    left: Counter[Suite] = field(default_factory=Counter)


_ASKED = pytest.StashKey[_Asked]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, whose names are those of `logpr check`."""
    group = parser.getgroup("logpr", "checks of scorers (logpr)")
    add = group.addoption
    add(
        "--logpr-check",
        action="append",
        default=[],
        metavar="TARGET",
        help="check a scorer: pkg.mod:score, factory:pkg.mod:make, or whatever `logpr check` takes",
    )
    add(
        "--logpr-factory",
        action="store_true",
        help="every TARGET of --logpr-check is make(model_folder), which returns a scorer",
    )
    add(
        "--logpr-declares",
        action="append",
        default=[],
        metavar="unit=bits,end=stop",
        help="what the numbers of targets are said to be",
    )
    for name, what in (("only", "run these checks alone"), ("skip", "leave these out")):
        add(f"--logpr-{name}", action="append", default=[], metavar="ID,ID", help=what)
    add(
        "--logpr-toy",
        choices=("gpt2", "llama"),
        help="which of the suite's models a factory is handed (gpt2)",
    )
    add("--logpr-seed", type=int, default=0, metavar="N", help="of the cases drawn by lot (0)")
    add(
        "--logpr-time-limit",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long one call may take (60)",
    )
    add(
        "--logpr-strict",
        action="store_true",
        help="a SHOULD that is broken fails its test, as a MUST does; it is xfailed otherwise",
    )
    parser.addini("logpr_check", "scorers to check, one a line", "linelist", [])
    parser.addini("logpr_declares", "what their numbers are said to be", "linelist", [])
    parser.addini(
        "logpr_expected_failures",
        "lines `check: reason`, or `target::check: reason`",
        "linelist",
        [],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Take the arguments `logpr::…` out, which name no file, and see what is to be checked."""
    config.addinivalue_line("markers", "logpr: a check of a scorer (logpr)")
    asked = config.stash[_ASKED] = _Asked()
    nodes = [arg for arg in config.args if arg == ROOM + "::" or arg.startswith(ROOM + "::")]
    if nodes:
        config.args[:] = [arg for arg in config.args if arg not in nodes]
    prefix = _FACTORY if config.option.logpr_factory else ""
    for target in config.option.logpr_check:
        asked.wanted[target if target.startswith(prefix) else prefix + target] = None
    for node in nodes:
        _want(node.removeprefix(ROOM + "::"), asked, config)
    if not nodes and not _is_narrow(config):
        asked.wanted.update(dict.fromkeys(config.getini("logpr_check")))


def _want(text: str, asked: _Asked, config: pytest.Config) -> None:
    """Note what an argument names: all targets of the ini file, one target, or a check of one."""
    if not text:
        asked.wanted.update(dict.fromkeys(config.getini("logpr_check")))
        return
    target, colons, check = text.rpartition("::")
    if not colons or not check.isidentifier():
        asked.wanted[text] = None
        return
    named = asked.wanted.setdefault(target, [])
    if named is not None:
        named.append(check)


def _is_narrow(config: pytest.Config) -> bool:
    """Return whether files or tests were named, so that a whole run is not what is wanted."""
    folder = config.invocation_params.dir
    return any("::" in arg or (folder / arg).is_file() for arg in config.option.file_or_dir)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Return which scorers are checked."""
    asked = config.stash[_ASKED]
    if not asked.wanted:
        return None
    return f"logpr: checks {', '.join(asked.wanted)}; seed {config.option.logpr_seed}"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Find the scorers, in every process: what is misspelled is told once, before any test."""
    config = session.config
    asked = config.stash[_ASKED]
    if not asked.wanted:
        return
    from logpr.conformance.pairs import declared_words
    from logpr.conformance.parametrize import suite_named
    from logpr.conformance.run import selected
    from logpr.conformance.targets.importing import working_folder
    from logpr.errors import LogprError

    option = config.option
    stack = ExitStack()
    config.add_cleanup(stack.close)
    stack.enter_context(working_folder())
    excuses = _excuses(config)
    only = [*_split(option.logpr_only)] or None
    try:
        named = [name for names in asked.wanted.values() for name in names or ()]
        selected(named, (), dict.fromkeys((check for _, check in excuses), ""))
        asked.checks = selected(only, [*_split(option.logpr_skip)], {})
        texts = [*config.getini("logpr_declares"), *option.logpr_declares]
        said = declared_words(",".join(texts), option="--logpr-declares") if texts else {}
        for target in asked.wanted:
            asked.suites[target] = suite_named(
                target,
                declared=said,
                expected={
                    check: reason
                    for (whose, check), reason in excuses.items()
                    if whose in (None, target)
                },
                architecture=option.logpr_toy,
                seed=option.logpr_seed,
                time_limit=option.logpr_time_limit,
                should="fail" if option.logpr_strict else "xfail",
                excuses="logpr_expected_failures",
            )
    except LogprError as error:
        raise pytest.UsageError(_as_options(str(error))) from error


def _as_options(text: str) -> str:
    """Return an error of the command line with its ways out in pytest's words."""
    text = text.replace("logpr check --factory ", f"--logpr-check {_FACTORY}")
    return text.replace("logpr check ", "--logpr-check ").replace("--factory ", _FACTORY)


def _excuses(config: pytest.Config) -> dict[tuple[str | None, str], str]:
    """Return the reasons of the ini file by target, None for all of them, and check."""
    found: dict[tuple[str | None, str], str] = {}
    known = {*config.getini("logpr_check"), *config.stash[_ASKED].wanted}
    for line in config.getini("logpr_expected_failures"):
        match = _EXCUSE.fullmatch(line)
        if match is None:
            msg = (
                f"logpr_expected_failures holds lines `check: reason`, or `target::check: reason`; "
                f"found {line!r}"
            )
            raise pytest.UsageError(msg)
        target = match["target"]
        if target is not None and target not in known:
            msg = (
                f"logpr_expected_failures is about {target!r}, which is not checked; there are "
                f"{', '.join(sorted(known))}"
            )
            raise pytest.UsageError(msg)
        found[target, match["check"]] = match["reason"]
    return found


def _split(texts: Sequence[str]) -> Iterator[str]:
    """Yield ids, given once or more, with commas between them."""
    for text in texts:
        yield from (name.strip() for name in text.split(",") if name.strip())


# Wrappers of the older kind, which every pytest takes: this file is loaded by all that start.
@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    """Put the scorers behind the files that a session collects."""
    came = yield
    report: pytest.CollectReport = came.get_result()
    asked = collector.config.stash[_ASKED]
    if isinstance(collector, pytest.Session) and report.passed:
        for target, suite in asked.suites.items():
            named = asked.wanted[target]
            ids = asked.checks if named is None else named
            report.result.append(
                Scorer.from_parent(
                    collector,
                    name=target,
                    nodeid=f"{ROOM}::{target}",
                    checks=suite.checks(dict.fromkeys(ids)),
                )
            )


class Scorer(pytest.Collector):
    """A scorer whose checks are collected."""

    def __init__(self, *, checks: Sequence[Check], **given: Any) -> None:  # noqa: ANN401
        super().__init__(**given)
        self.checks = checks

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for each check."""
        for check in self.checks:
            yield CheckItem.from_parent(self, name=check.law.id, check=check)


class CheckItem(pytest.Item):
    """A check of a scorer."""

    def __init__(self, *, check: Check, **given: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**given)
        self.check = check

    def runtest(self) -> None:
        """Run the check."""
        self.check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401 - pytest's own
        """Return the check's own words, for which no traceback is needed."""
        if excinfo.traceback[-1].frame.f_globals.get("__name__") == _MODULE:
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where it stands: in no file."""
        return self.config.rootpath / ROOM, None, self.nodeid.removeprefix(ROOM + "::")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Say of a check that was not judged where it stands, which is in no file."""
    came = yield
    report: pytest.TestReport = came.get_result()
    if isinstance(item, CheckItem) and report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (str(item.reportinfo()[0]), None, report.longrepr[2])  # type: ignore[assignment]


def _check_of(item: pytest.Item) -> Check | None:
    """Return the check that a test is about, whether it is ours or somebody's function."""
    if isinstance(item, CheckItem):
        return item.check
    module = modules.get(_MODULE)
    spec = getattr(item, "callspec", None)
    if module is None or spec is None:
        return None
    return next((each for each in spec.params.values() if isinstance(each, module.Check)), None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the checks, before any is left out by its mark."""
    for item in items:
        check = _check_of(item)
        if check is not None:
            item.add_marker("logpr")
            if config.option.logpr_strict:
                check.suite.should = "fail"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the tests of each suite, to know its last."""
    checks = filter(None, map(_check_of, session.items))
    session.config.stash[_ASKED].left.update(check.suite for check in checks)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Close a scorer behind its last test."""
    check = _check_of(item)
    if check is None:
        return
    left = item.config.stash[_ASKED].left
    left[check.suite] -= 1
    if left[check.suite] <= 0:
        check.suite.close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close what is open still: a run may stop early, or have its last test in another process."""
    asked = session.config.stash.get(_ASKED, None)
    if asked is not None:
        for suite in asked.left:
            suite.close()
