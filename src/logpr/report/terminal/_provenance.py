"""What numbers rest on, in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from logpr._values import Provenance
from logpr.report.numbers import figure
from logpr.report.terminal._pen import Pen


def draw(value: Provenance, pen: Pen) -> Iterator[Text]:
    """Yield a line for each fact."""
    rows = _facts(value)
    names = max(len(name) for name, _ in rows)
    for name, fact in rows:
        yield pen.hanging(Text(f"{name:<{names}}  ", "dim"), pen.words(fact))


def _refines(dtype: str | None) -> str:
    return "" if dtype is None else f"; rankings that are close are decided in {dtype}"


def _facts(value: Provenance) -> list[tuple[str, str]]:
    ends = " ".join(map(str, value.end_ids)) or "none scored"
    count = "not known" if value.bos_count is None else f"{value.bos_count} fed"
    asked = [
        ("boundary", value.boundary),
        ("end", f"{value.end} (end ids: {ends})"),
        ("bos", f"{value.bos} ({count})"),
        ("logpr", value.logpr or "not known"),
    ]
    model = value.model
    if model is None:
        return [("model", "none: the numbers were given"), *asked]
    precision = figure(model.noise_precision)
    return [
        ("model", model.model),
        ("backend", f"{model.backend}, {model.executor} executor"),
        ("runs in", f"{model.dtype} on {model.device}{_refines(model.refines)}"),
        ("weights", model.weights_digest or "no digest"),
        ("tokenizer", model.tokenizer_digest or "no digest"),
        ("noise", f"packing {figure(model.noise_packing)}, precision {precision}"),
        ("", "the largest difference a token, in nats, that was measured"),
        *asked,
        ("versions", ", ".join(f"{name} {version}" for name, version in model.versions)),
    ]
