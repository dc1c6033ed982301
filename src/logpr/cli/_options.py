"""The options that several verbs share, each spelt as the Python keyword is."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from logpr import _types

ASKED = "Prompt and candidates"
CLAIMED = "What was claimed"
EXPLAINED = "What is explained"
MODEL = "Model"
MEANING = "What is computed"
FILE = "Files"
OUTPUT = "Output"

OF_MODELS = (
    "model",
    "dtype",
    "device",
    "executor",
    "adapter",
    "trust_remote_code",
    "batch_invariant",
)
"""Parameters that say which model, and how it runs."""

Prompt = Annotated[
    str | None,
    typer.Option(
        help="The prompt x; what stands after the options are its candidates.",
        rich_help_panel=ASKED,
    ),
]
PromptIds = Annotated[
    str | None,
    typer.Option(metavar="1,5,9", help="The prompt as token ids.", rich_help_panel=ASKED),
]
Messages = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.json",
        help='The prompt as chat messages: a JSON list of {"role": …, "content": …}, in a file, '
        "on stdin (-) or as it is.",
        rich_help_panel=ASKED,
    ),
]
CandidateIds = Annotated[
    list[str] | None,
    typer.Option(
        metavar="4,5", help="A candidate as token ids; once for each.", rich_help_panel=ASKED
    ),
]
TokenLogprobs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="-0.9,-1.5",
        help="A candidate's own token log-probabilities, once for each; no model is needed.",
        rich_help_panel=ASKED,
    ),
]
EndLogprob = Annotated[
    list[float] | None,
    typer.Option(
        metavar="-0.2",
        help="Beside --token-logprobs under --end stop: log Pr(END), once for each.",
        rich_help_panel=ASKED,
    ),
]

Scorer = Annotated[
    str | None,
    typer.Option(
        metavar="PKG.MOD:FN",
        help="Run this scorer on the records, and audit what it returns: fn(prompt, candidates), "
        "or an object with many(queries). Modules of the working folder are found.",
        rich_help_panel=CLAIMED,
    ),
]
Declares = Annotated[
    str | None,
    typer.Option(
        metavar="rule=per_token,unit=bits",
        help="What the numbers are said to be, where records do not say: rule, end, boundary, bos, "
        "unit (nats, bits, log10, probability, perplexity). Left out: log Pr(y | x) in nats.",
        rich_help_panel=CLAIMED,
    ),
]
Decimals = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Digits after the point that they were rounded to, where that cannot be seen.",
        rich_help_panel=CLAIMED,
        show_default=False,
    ),
]

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="builtin, a folder or hub id, builtin:FOLDER (Llama-type, in NumPy), "
        "table:FILE.yaml, logits:FILE.npz, gguf:FILE.gguf, or an endpoint: "
        "http://HOST:PORT/v1#tokenizer=FOLDER.",
        rich_help_panel=MODEL,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="float32",
        help="The precision it runs in: float32, float64, bfloat16, float16, or auto (ranks in "
        "bfloat16 where that is faster, and decides in float32). Left out: float32 on a CPU, "
        "elsewhere as the model is stored.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str | None, typer.Option(metavar="cuda", help="Where it runs.", rich_help_panel=MODEL)
]
Executor = Annotated[
    str | None,
    typer.Option(
        metavar="plain",
        help="How it runs packed prefixes: forest, mask, cache or plain. Left out: the first of "
        "them that gives the model's own numbers.",
        rich_help_panel=MODEL,
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="A PEFT adapter.", rich_help_panel=MODEL),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code", help="Run code that comes with the model.", rich_help_panel=MODEL
    ),
]
BatchInvariant = Annotated[
    bool,
    typer.Option(
        "--batch-invariant",
        help="The same bits for a candidate alone and in any company; slower.",
        rich_help_panel=MODEL,
    ),
]

Rule = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="What ranks: logprob, per_token, per_char, per_byte, bits_per_byte, choice_prob, "
        "length_penalty(0.6), pmi, vocab_subset.",
        rich_help_panel=MEANING,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        min=1,
        help="Only the K best, with rule logprob: the others are dropped as soon as their first "
        "tokens prove that they are none of them.",
        rich_help_panel=MEANING,
        show_default=False,
    ),
]
Neutral = Annotated[
    str,
    typer.Option(help="The prompt that rule pmi compares with.", rich_help_panel=MEANING),
]
Among = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A,B",
        help="The tokens of a subset, as texts or as #id; may be repeated.",
        rich_help_panel=MEANING,
    ),
]
End = Annotated[
    _types.End | None,
    typer.Option(
        help="open: the output begins with the candidate (default). stop: it is exactly the "
        "candidate (default for messages).",
        rich_help_panel=MEANING,
        show_default=False,
    ),
]
EndIds = Annotated[
    str | None,
    typer.Option(
        metavar="2,7", help="The end tokens, in place of the model's own.", rich_help_panel=MEANING
    ),
]
Boundary = Annotated[
    _types.Boundary,
    typer.Option(
        help="How prompt and candidate are tokenised where they meet.", rich_help_panel=MEANING
    ),
]
Bos = Annotated[
    _types.Bos,
    typer.Option(help="Whether a start token is fed first.", rich_help_panel=MEANING),
]
Special = Annotated[
    _types.Special,
    typer.Option(
        help="Whether special-token strings are parsed; auto: in prompts only.",
        rich_help_panel=MEANING,
    ),
]
Truncate = Annotated[
    _types.Truncate | None,
    typer.Option(
        help="left: drop tokens from the left of a prompt that is too long.",
        rich_help_panel=MEANING,
        show_default=False,
    ),
]
MarginalBudget = Annotated[
    int,
    typer.Option(
        min=1, help="Prefixes to expand under --boundary marginal.", rich_help_panel=MEANING
    ),
]
Evidence = Annotated[
    bool,
    typer.Option(
        "--evidence",
        help="Also each token's logit, log-normaliser, rank, favourite and entropy.",
        rich_help_panel=OUTPUT,
    ),
]
Alternatives = Annotated[
    int,
    typer.Option(
        min=0, help="With --evidence: how many best tokens to list.", rich_help_panel=OUTPUT
    ),
]

Map = Annotated[
    str | None,
    typer.Option(
        metavar="prompt=ctx,candidates=endings",
        help="Our names for the fields of your file.",
        rich_help_panel=FILE,
    ),
]
Template = Annotated[
    str | None,
    typer.Option(
        metavar="'Q: {{ question }}'",
        help="A Jinja template of the prompt over the row's fields.",
        rich_help_panel=FILE,
    ),
]
Sep = Annotated[
    str | None,
    typer.Option(help="Put between prompt and candidate.", rich_help_panel=FILE),
]
Format = Annotated[
    Literal["jsonl", "csv", "parquet"] | None,
    typer.Option(
        help="The file's format, where its name does not say it.",
        rich_help_panel=FILE,
        show_default=False,
    ),
]
OnError = Annotated[
    Literal["stop", "skip"],
    typer.Option(
        help="A row that cannot be used ends the run, or is put aside with its reason.",
        rich_help_panel=FILE,
    ),
]
Rejects = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.jsonl",
        help="Where rows put aside go (default: OUT.rejected.jsonl; without -o, "
        "FILE.rejected.jsonl in the working folder).",
        rich_help_panel=FILE,
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD", help="Accuracy also for each group of a field.", rich_help_panel=FILE
    ),
]
Window = Annotated[
    int,
    typer.Option(
        min=1, help="Records that share prefixes; a run resumes at its start.", rich_help_panel=FILE
    ),
]
Restart = Annotated[
    bool,
    typer.Option(
        "--restart", help="Forget an unfinished run of this output.", rich_help_panel=FILE
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="Write records to a .jsonl, .parquet or .csv file (- is stdout); an interrupted run "
        "goes on where it was.",
        rich_help_panel=OUTPUT,
    ),
]
Tokens = Annotated[
    bool,
    typer.Option(
        "--tokens",
        help="Also each candidate's tokens and their log-probabilities.",
        rich_help_panel=OUTPUT,
    ),
]
Show = Annotated[
    int,
    typer.Option(min=0, help="How many records of a file to show in full.", rich_help_panel=OUTPUT),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON, a record a line.", rich_help_panel=OUTPUT),
]
Html = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Also write the report as one page that needs no other file.",
        rich_help_panel=OUTPUT,
    ),
]
