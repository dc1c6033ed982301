"""The most memory that an exact search holds above the loaded model, for some bounds on it.

Each search runs in a process of its own: the model is loaded and one short search made, Linux is
told to forget the process's peak, and its next peak is read after the long search.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import logpr
from benchmarks.decode import texts
from benchmarks.decode.stories import Json, outputs_of

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a search held: in the process, and by its own account."""

    model: str
    memory: str
    peak: int
    counted: int
    expansions: int
    fed_again: int
    dropped: float
    seconds: float


def measured(data: Path, *, memories: list[str], budget: str, length: int) -> Iterator[Held]:
    """Yield what searches that are far too long hold.

    Args:
        data: folder of models and stories.
        memories: bounds, such as "64MB".
        budget: of each search.
        length: tokens of each output.
    """
    for model in (str(data / texts.MODEL), "builtin"):
        for memory in memories:
            words = [model, memory, budget, str(length), str(data)]
            done = subprocess.run(  # noqa: S603 - our own arguments
                [sys.executable, "-m", "benchmarks.decode.memory", *words],
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            for line in done.stdout.splitlines():
                yield Held(**json.loads(line))


def markdown(found: list[Held]) -> str:
    """Return a table.

    Args:
        found: of all searches.
    """
    head = (
        "| model | memory= | peak above the model, MB | of the bound | counted by the search, MB "
        "| expansions | tokens fed again | s |"
    )
    lines = [head, "|---" * 8 + "|"]
    lines += [
        f"| {Path(one.model).name} | {one.memory} | {one.peak / 1e6:.0f} | "
        f"{one.peak / (float(one.memory.removesuffix('MB')) * 1e6):.2f} | {one.counted / 1e6:.0f} "
        f"| {one.expansions:,} | {one.fed_again:,} | {one.seconds:.0f} |"
        for one in found
    ]
    return "\n".join(lines)


def _child(model: str, memory: str, budget: str, length: int, data: Path) -> Held:
    lm = logpr.load(model)
    assert lm.tokenizer is not None
    assert lm.tokenizer.bos_id is not None
    told = texts.stories(data / texts.STORIES, lm.tokenizer, 1, lm.tokenizer.bos_id)
    (prompt,) = texts.prompts("open", told)
    asked: Json = {"prompt_ids": prompt.prompt_ids, "model": lm, "memory": memory}
    logpr.decode(**asked, **outputs_of("open", 4), budget="2s")
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is what is held now
    before = _status("VmRSS")
    found = logpr.decode(**asked, **outputs_of("open", length), budget=budget)
    certificate = found.certificate
    return Held(
        model=model,
        memory=memory,
        peak=_status("VmHWM") - before,
        counted=found.peak_bytes,
        expansions=certificate.expansions,
        fed_again=certificate.tokens_fed_again,
        dropped=certificate.mass.dropped,
        seconds=found.seconds,
    )


def _status(name: str) -> int:
    """Return a size of this process in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    msg = f"no {name} in /proc/self/status; this needs Linux"
    raise SystemExit(msg)


if __name__ == "__main__":
    from dataclasses import asdict

    _model, _memory, _budget, _length, _data = sys.argv[1:]
    print(json.dumps(asdict(_child(_model, _memory, _budget, int(_length), Path(_data)))))
