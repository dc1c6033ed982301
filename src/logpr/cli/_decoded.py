"""Where a decoding goes, how its certificate is looked at again, and how the verb ends."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer

from logpr._types import JsonValue
from logpr._values import Decoding, Moment, Verification
from logpr.cli._beside import beside
from logpr.cli._group import INTERRUPTED
from logpr.cli._say import emit, say, shown
from logpr.errors import QueryError
from logpr.io.writers import write_whole
from logpr.models.base import Model

REFUTED = 1
UNSETTLED = 2

_HOPELESS = -12.0
"""log Pr of the best output below which a proof may take millions of expansions."""
_SETTLED_SECONDS = 0.5
_SETTLED_EXPANSIONS = 100
_SLOW_SECONDS = 5.0
"""How long a search runs before its speed says something: the first passes are the slowest, so not
before it has made some expansions, or has had time to make them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The terminal or JSON on stdout, and files beside."""

    html: Path | None
    output: Path | None
    json: bool

    @classmethod
    def of(cls, *, html: str | None, output: str | None, json: bool, source: str | None) -> Places:
        """Return what the options say; the files are looked at before anything is computed.

        Args:
            html: the page.
            output: the JSON.
            json: whether it also goes to stdout.
            source: a file that is read, which must stay.

        Raises:
            InputError: one of them cannot be written, or both are one.
        """
        if output == "-":
            msg = "-o - : stdout takes the JSON by --json; write --json, or -o decoding.json"
            raise QueryError(msg)
        page = None if html is None else beside("--html", html, "decoding.html")
        record = None
        if output is not None:
            record = beside("-o", output, "decoding.json", source=source, called="the certificate")
        if page is not None and record is not None and page.resolve() == record.resolve():
            msg = f"--html and -o both name {page}; write -o {page.with_suffix('.json')}"
            raise QueryError(msg)
        return cls(html=page, output=record, json=json)

    def give(self, value: Decoding | None, verification: Verification | None) -> None:
        """Show what was found and write its files.

        Args:
            value: what was searched for; None where a certificate alone was looked at.
            verification: of the certificate, where that was asked.
        """
        record: dict[str, JsonValue] = {} if value is None else value.to_dict()
        if verification is not None:
            record["verification"] = verification.to_dict()
        # The file first: whoever closes the pipe, or has seen enough, still has it.
        if self.output is not None:
            write_whole(self.output, json.dumps(record, ensure_ascii=False, indent=2) + "\n")
        if self.json:
            emit(record)
        else:
            shown(*(view for view in (value, verification) if view is not None))
        if self.html is not None and value is not None:
            # Templates take 30 ms to load, for pages alone.
            from logpr.report.html import decoding_page  # noqa: PLC0415 - as said

            write_whole(self.html, decoding_page(value))
            say(f"wrote the page to {self.html}")
        if self.output is not None:
            say(f"wrote the JSON to {self.output}")


def check_early(*, budget: str | None, memory: str, objective: str) -> None:
    """Refuse what cannot be meant before a model is loaded for it.

    Raises:
        InputError: one of them cannot be read.
    """
    # The search and what it stands on take 50 ms to load, for this verb alone.
    from logpr.decoding.limits import Budget, memory_of  # noqa: PLC0415 - as said
    from logpr.decoding.objective import objective_named  # noqa: PLC0415 - as said

    Budget.of(budget)
    memory_of(memory)
    objective_named(objective)


def checked(value: Decoding, model: Model, *, budget: str | None) -> Verification | None:
    """Return the certificate of a search looked at again; None where Ctrl-C ends that.

    Args:
        value: what the search found.
        model: that was searched.
        budget: as the search had.
    """
    from logpr.decoding.verifier import verify  # noqa: PLC0415 - for --verify alone

    if value.certificate.stopped == "interrupted":
        say("interrupted: the certificate was not looked at again; -o keeps it for --certificate")
        return None
    listed = [one.token_ids for one in value.nbest]
    try:
        return verify(
            value.certificate,
            model=model,
            budget=budget,
            outputs=listed if value.method == "threshold" else None,
        )
    except KeyboardInterrupt:
        say("interrupted while the certificate was looked at again; it stands as it was made")
        return None


def finish(
    value: Decoding | None,
    verification: Verification | None,
    places: Places,
    *,
    interrupted: bool = False,
) -> None:
    """Give all that there is, and end with the code that says how it went.

    Args:
        value: what was found; None where a certificate alone was looked at.
        verification: of the certificate, where there is one.
        places: where both go.
        interrupted: whether Ctrl-C ended more than the search.

    Raises:
        typer.Exit: 130 after Ctrl-C, 1 where a claim does not hold, 2 where a certificate alone
            was looked at and not settled.
    """
    places.give(value, verification)
    if value is not None and value.certificate.stopped == "interrupted":
        say("interrupted: this is the best so far, and no output exceeds its bound")
        raise typer.Exit(INTERRUPTED)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if verification is not None and verification.verified is False:
        raise typer.Exit(REFUTED)
    if value is None and verification is not None and verification.verified is None:
        raise typer.Exit(UNSETTLED)


def hopeless(
    objective: str | None, *, longest: int | None, tolerance: float, budget: str | None
) -> Callable[[Moment], str | None]:
    """Return what says of a moment that the search will hardly end, and how to stop it.

    Args:
        objective: of the search; None where it proves nothing of its best output.
        longest: tokens of the longest output; None as where nothing was said.
        tolerance: nats of gap at which it may stop.
        budget: that it has.
    """
    stops, longer = "no --budget stops it", ""
    if budget is not None:
        stops, longer = f"it stops at --budget {budget}", "; --budget 10m goes on longer"

    def said(moment: Moment) -> str | None:
        if objective != "logprob" or moment.seconds < _SETTLED_SECONDS:
            return None
        if moment.expansions < _SETTLED_EXPANSIONS and moment.seconds < _SLOW_SECONDS:
            return None
        if not -math.inf < moment.lower < _HOPELESS or moment.upper - moment.lower <= tolerance:
            return None
        from logpr._decode._request import DEFAULT_LONGEST  # noqa: PLC0415 - it runs: it is loaded
        from logpr.decoding.forecast import forecast  # noqa: PLC0415 - as above

        expected = forecast(
            moment.lower, longest or DEFAULT_LONGEST, moment.expansions, moment.seconds
        )
        if expected is None:
            return None
        return (
            f"this may not be proven soon: {expected}; {stops}. Ctrl-C gives the best so far "
            f"with its bound{longer}"
        )

    return said
