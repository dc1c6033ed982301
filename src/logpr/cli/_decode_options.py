"""The options of `logpr decode` alone, each spelt as the Python keyword is."""

from __future__ import annotations

from typing import Annotated

import typer

from logpr import _types
from logpr._values.decoding import Method as _Method
from logpr._values.decoding import MinLength as _MinLength
from logpr.cli._options import OUTPUT

PROMPT = "Prompt"
SEARCH = "How it is searched"
OUTPUTS = "Which outputs there are"
DRAWS = "Draws"

Prompt = Annotated[
    str | None, typer.Argument(help="The prompt x.", show_default=False, metavar="PROMPT")
]
PromptIds = Annotated[
    str | None,
    typer.Option(metavar="1,5,9", help="The prompt as token ids.", rich_help_panel=PROMPT),
]
Messages = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.json",
        help='The prompt as chat messages: a JSON list of {"role": …, "content": …}, in a file, '
        "on stdin (-) or as it is.",
        rich_help_panel=PROMPT,
    ),
]
CertificateFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.json",
        help="In place of a prompt: a decoding that -o or --json wrote, or its certificate alone. "
        "It is looked at again with --model, and nothing is searched.",
        rich_help_panel=PROMPT,
        show_default=False,
    ),
]

Method = Annotated[
    _Method,
    typer.Option(
        metavar="METHOD",
        help="exact: the best output, proven. greedy, beam: as generate() chooses, and what that "
        "proves. threshold: all outputs with Pr >= --threshold. sample, "
        "sample_without_replacement: -n draws.",
        rich_help_panel=SEARCH,
    ),
]
Count = Annotated[
    int,
    typer.Option(
        "--n",
        "-n",
        metavar="N",
        min=1,
        help="How many best outputs, or draws.",
        rich_help_panel=SEARCH,
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        metavar="W",
        min=1,
        help="Of the beam: 5 with --method beam; 20 for the beam that exact begins with.",
        rich_help_panel=SEARCH,
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="0.01",
        help="With --method threshold: the least Pr(y | x) of an output, from 1e-6 to 1.",
        rich_help_panel=SEARCH,
        show_default=False,
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What is maximised: logprob, per_token, per_token(0.8), length_penalty(0.6).",
        rich_help_panel=SEARCH,
    ),
]
Budget = Annotated[
    str,
    typer.Option(
        metavar="30s",
        help="Where it stops with the best so far and a bound: 30s, 5m, '10000 nodes', "
        "'1m, 10000 nodes', or none. Ctrl-C stops it the same way.",
        rich_help_panel=SEARCH,
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(
        metavar="0.1",
        help="Nats between the best and the bound at which it may stop.",
        rich_help_panel=SEARCH,
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="512MB",
        help="What the search may hold: keys, values, rows, beginnings.",
        rich_help_panel=SEARCH,
    ),
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare/--no-compare",
        help="Also greedy, beam-5, a sample and the empty output, beside the best.",
        rich_help_panel=SEARCH,
    ),
]

End = Annotated[
    _types.End,
    typer.Option(
        help="stop: an output is followed by END, whatever end token that is. open: it is exactly "
        "--max-new-tokens tokens (give --min-new-tokens the same).",
        rich_help_panel=OUTPUTS,
    ),
]
EndIds = Annotated[
    str | None,
    typer.Option(
        metavar="2,7",
        help="The end tokens, in place of the model's own; 15 is the full stop of the built-in "
        "one.",
        rich_help_panel=OUTPUTS,
    ),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        metavar="12",
        min=1,
        help="Tokens of an output at most, END not counted; 64 where it is left out.",
        rich_help_panel=OUTPUTS,
        show_default=False,
    ),
]
MinNewTokens = Annotated[
    int | None,
    typer.Option(
        metavar="4",
        min=0,
        help="Tokens of an output at least.",
        rich_help_panel=OUTPUTS,
        show_default=False,
    ),
]
MinLength = Annotated[
    _MinLength,
    typer.Option(
        help="restrict: shorter outputs are left out. renormalise: END is masked before that "
        "length, and the other tokens share its probability.",
        rich_help_panel=OUTPUTS,
    ),
]
Choice = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="An output that is allowed, once for each; it begins with its space, as a candidate "
        "of rank does.",
        rich_help_panel=OUTPUTS,
    ),
]
Choices = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="The same from a file, one a line (- is stdin); blank lines are skipped.",
        rich_help_panel=OUTPUTS,
    ),
]
Regex = Annotated[
    str | None,
    typer.Option(
        metavar="' (mat|rug)'",
        help="What the whole text of an output matches.",
        rich_help_panel=OUTPUTS,
    ),
]
JsonSchema = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.json",
        help="A JSON schema that the text of an output fulfils: a file, or the schema itself.",
        rich_help_panel=OUTPUTS,
    ),
]
Bias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="' mat'=-2",
        help="Nats, at most 0, that each use of a token (its text, or #id) adds to the score; may "
        "be repeated.",
        rich_help_panel=OUTPUTS,
    ),
]
Bos = Annotated[
    _types.Bos,
    typer.Option(help="Whether a start token is fed first.", rich_help_panel=PROMPT),
]
Special = Annotated[
    _types.Special,
    typer.Option(
        help="Whether special-token strings in the prompt are parsed.", rich_help_panel=PROMPT
    ),
]

Temperature = Annotated[
    float,
    typer.Option(
        help="Of draws: q is proportional to Pr^(1 / temperature).", rich_help_panel=DRAWS
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        min=1,
        help="Draw from the K best outcomes of each step.",
        rich_help_panel=DRAWS,
        show_default=False,
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        metavar="0.9",
        help="Draw from the fewest outcomes of each step that have this much probability.",
        rich_help_panel=DRAWS,
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the draws.", rich_help_panel=DRAWS)]

Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Also why the greedy output lost to the best one, where it did.",
        rich_help_panel=OUTPUT,
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Look at the certificate again by other code, within the same --budget; exit code 1 "
        "where a claim of it does not hold.",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON, on one line.", rich_help_panel=OUTPUT)
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE.json",
        help="Also write the JSON to a file, which --certificate reads.",
        rich_help_panel=OUTPUT,
    ),
]
