"""`logpr audit`: which computation made the numbers that some scorer printed."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

import logpr
from logpr._values import AuditReport
from logpr.auditing.claims.scorers import ManyScorer, Scorer
from logpr.auditing.claims.values import Declares
from logpr.cli import _options as opt
from logpr.cli._beside import beside
from logpr.cli._command import corrected, given, spelled
from logpr.cli._lists import ids_of
from logpr.cli._model import BUILTIN, ModelChoice
from logpr.cli._progress import Trying
from logpr.cli._say import emit, say, shown
from logpr.cli._scorer import scorer_named
from logpr.cli._unjudged import for_a_response, for_a_scorer, for_claims
from logpr.conformance.pairs import declared_words
from logpr.errors import QueryError, RecordError
from logpr.io import parse_mapping
from logpr.io._claim_numbers import bounded, source_of_numbers
from logpr.io.claims import declares_of
from logpr.io.datasets import is_dataset
from logpr.io.formats import Format, find_source
from logpr.io.responses import LARGEST, is_response
from logpr.io.writers import write_whole

SAMPLE = str(Path(__file__).with_name("claims.jsonl"))
"""Claims by a scorer that sums raw logits of the built-in model."""

_RECORDED = ".npz"

_OF_RECORDS = (
    *("scorer", "declares", "decimals", "end", "boundary", "bos"),
    *("map", "template", "sep", "format"),
)
"""Options that mean nothing for an API response, which says all of this itself."""

EXAMPLES = (
    "logpr audit",
    "logpr audit claims.jsonl --model builtin",
    "logpr audit claims.csv --map score=my_score --decimals 4 --model ./my-model --html audit.html",
    "logpr audit claims.jsonl --model builtin --declares rule=per_token,unit=bits,end=stop",
    "logpr audit questions.jsonl --scorer my_package.my_module:score --model ./my-model",
    "logpr audit response.json --model ./my-model --prompt 'The cat sat on the'",
    "logpr audit dump.npz --json",
)


def audit(
    context: typer.Context,
    claims: Annotated[
        str | None,
        typer.Argument(
            metavar="CLAIMS",
            help="A file of records whose candidates bring a score, or of numbers alone, a "
            "recording (.npz), a recorded API response; - is stdin. None: a sample.",
            show_default=False,
        ),
    ] = None,
    *,
    scorer: opt.Scorer = None,
    declares: opt.Declares = None,
    decimals: opt.Decimals = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="What an API response answered to, where it does not repeat it.",
            rich_help_panel=opt.CLAIMED,
        ),
    ] = None,
    model: opt.Model = None,
    dtype: opt.Dtype = None,
    device: opt.Device = None,
    executor: opt.Executor = None,
    adapter: opt.Adapter = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    batch_invariant: opt.BatchInvariant = False,
    end: opt.End = None,
    end_ids: opt.EndIds = None,
    boundary: opt.Boundary = "separate",
    bos: opt.Bos = "auto",
    map: opt.Map = None,  # noqa: A002 - the option's name
    template: opt.Template = None,
    sep: opt.Sep = None,
    format: opt.Format = None,  # noqa: A002 - the option's name
    json: opt.Json = False,
    html: opt.Html = None,
) -> None:
    """Audit numbers: say which formula produced them, and what that did to the decisions.

    CLAIMS are records whose candidates bring the score that some scorer printed. They are computed
    again with the model, or from what the records bring (logits, log-probabilities), and held
    against every known fault; a number counts as reproduced only where all its printed digits are.

    This is about numbers that a scorer printed: not about a scorer's code, and not about the
    installation and a model (logpr doctor). Exit code 0: the numbers are what they are declared to
    be. 1: they are not, or it is not clear what they are. 2: it could not be judged, or the input
    cannot be used. 3: the model failed.
    """
    said = _declared(context, declares)
    ends = None if end_ids is None else ids_of(end_ids, "--end-ids")
    fields = None if map is None else parse_mapping(map, claims=scorer is None)
    page = (
        None
        if html is None
        else beside("--html", html, "audit.html", source=claims, called="the file of claims")
    )
    choice = ModelChoice(
        model=model,
        dtype=dtype,
        device=device,
        executor=executor,
        adapter=adapter,
        trust_remote_code=trust_remote_code,
        batch_invariant=batch_invariant,
    )
    if claims is None:
        _refuse_without_claims(context)
        choice = _sampled(choice, scorer)
    # Before the model, which may take minutes to load.
    source = _source(context, claims, format, plain=scorer is None and template is None)
    reading: dict[str, Any] = {
        "declares": said,
        "decimals": decimals,
        "end": end,
        "boundary": boundary,
        "bos": bos,
        "format": format,
        "template": template,
        "sep": sep,
    }
    with _scorer(scorer) as numbers, Trying() as trying:
        lm = choice.load_named(context)
        report = logpr.audit(
            source,
            model=lm,
            scorer=numbers,
            prompt=prompt,
            end_ids=ends,
            map=fields,
            progress=trying,
            **reading,
        )
    _give(report, json=json, page=page)
    if report.verdict == "not_enough_evidence" and lm is None:
        if scorer is not None:
            say(for_a_scorer(context, claims))
        elif report.evidence == "response":
            say(for_a_response(context, source))
        else:
            say(for_claims(context, source, {**reading, "mapping": fields}))
    raise typer.Exit(report.exit_code)


def _declared(context: typer.Context, text: str | None) -> Declares:
    """Return `rule=per_token,unit=bits` as what is declared."""
    if text is None:
        return Declares()
    found = declared_words(text, example="rule=per_token,unit=bits")
    _refuse_contradiction(context, found)
    return declares_of(found)


def _refuse_contradiction(context: typer.Context, found: Mapping[str, str]) -> None:
    for name in given(context, "end", "boundary", "bos"):
        typed = context.params[name]
        if name in found and found[name] != typed:
            msg = (
                f"{spelled(context, name)} {typed} and --declares {name}={found[name]} "
                f"contradict each other; leave one out"
            )
            raise QueryError(msg)


def _refuse_without_claims(context: typer.Context) -> None:
    beside = given(context, "declares", "decimals", "prompt", "map", "template", "sep", "format")
    if beside:
        msg = (
            f"{spelled(context, beside[0])} says how CLAIMS are read, and none are given; write\n"
            f"  {corrected(context, ['claims.jsonl'])}"
        )
        raise QueryError(msg)


def _sampled(choice: ModelChoice, scorer: str | None) -> ModelChoice:
    """Return the model for the sample, and say that it is audited."""
    if scorer is not None:
        say(f"no CLAIMS: {scorer} is run on the prompts of the sample that ships with logpr")
        return choice
    if choice.model not in (None, BUILTIN):
        msg = (
            f"no CLAIMS to audit with {choice.model}, and the sample's numbers are of the built-in "
            f"model; write\n  logpr audit CLAIMS --model {choice.model}"
        )
        raise QueryError(msg)
    say(
        "no CLAIMS: auditing the sample that ships with logpr, scores that a faulty scorer made of "
        "the built-in model. Your own:\n  logpr audit CLAIMS --model MODEL"
    )
    return replace(choice, model=BUILTIN)


def _source(
    context: typer.Context,
    claims: str | None,
    format: Format | None,  # noqa: A002 - the option's own name
    *,
    plain: bool,
) -> str:
    """Return what is audited, once it is there and every option has a use for it.

    `plain`: it may be numbers alone, in a file of any name.
    """
    if claims is None:
        return SAMPLE
    if claims == "-":
        data = bounded(sys.stdin.buffer, LARGEST)
        if data is None:
            msg = (
                f"stdin has more than {LARGEST >> 20} MiB, the most that is read of it; save it in "
                f"a file, which is read line by line, and give the file:\n"
                f"  {corrected(context, ['claims.jsonl'])}"
            )
            raise RecordError(msg)
        response = is_response(data)
        # Read to be looked at, and stdin cannot be read twice.
        sys.stdin = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
        source = data.decode("utf-8-sig", errors="surrogateescape") if response else claims
    else:
        source = claims
        response = _is_file(claims) and is_response(claims)
    if response:
        beside = given(context, *_OF_RECORDS)
        if beside:
            msg = (
                f"{claims} is a recorded API response, and {spelled(context, beside[0])} is for "
                f"records of claims; leave it out"
            )
            raise QueryError(msg)
        _refuse_without_model(context)
    elif claims.lower().endswith(_RECORDED):
        _refuse_of_recordings(context, claims)
    elif not is_dataset(claims) and not (plain and source_of_numbers(claims, format)):
        find_source(claims, format)
    return source


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def _refuse_without_model(context: typer.Context) -> None:
    if given(context, "model"):
        return
    for name in given(context, "prompt", "end_ids"):
        msg = (
            f"{spelled(context, name)} goes with a model, and would do nothing here; add "
            f"--model MODEL, or leave it out"
        )
        raise QueryError(msg)


def _refuse_of_recordings(context: typer.Context, claims: str) -> None:
    for name in given(context, "scorer", "map", "template", "sep", "format"):
        msg = (
            f"{claims} is a recording, and {spelled(context, name)} is for files of records; leave "
            f"it out"
        )
        raise QueryError(msg)


def _scorer(name: str | None) -> AbstractContextManager[Scorer | ManyScorer | None]:
    return nullcontext(None) if name is None else scorer_named(name)


def _give(report: AuditReport, *, json: bool, page: Path | None) -> None:
    if json:
        emit(report.to_dict())
    else:
        shown(report)
    if page is not None:
        # Templates take 30 ms to load, for this option alone.
        from logpr.report.html import audit_page  # noqa: PLC0415 - as said

        write_whole(page, audit_page(report))
        say(f"wrote the page to {page}")
