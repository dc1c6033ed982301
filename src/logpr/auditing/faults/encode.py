"""Stage encode: which ids are fed. A change gives a candidate's material anew, or None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from logpr.auditing.faults._entry import Change, Fault, ParameterSpec
from logpr.auditing.scene.scene import Case, Material, Scene
from logpr.errors import LogprError
from logpr.tokens.boundary import encode

Encoding: TypeAlias = Callable[[Scene, Case], Material | None]


def _start(scene: Scene) -> int | None:
    return None if scene.tokenizer is None else scene.tokenizer.bos_id


def _without_start(scene: Scene, context: tuple[int, ...]) -> tuple[int, ...]:
    start, first = _start(scene), 0
    while first < len(context) and context[first] == start:
        first += 1
    return context[first:]


def bos_missing(scene: Scene, case: Case) -> Material | None:
    """Return the candidate without start tokens."""
    return replace(case.material, context=_without_start(scene, case.material.context))


def bos_doubled(scene: Scene, case: Case) -> Material | None:
    """Return the candidate with one start token more."""
    start = _start(scene)
    if start is None:
        return None
    return replace(case.material, context=(start, *case.material.context))


def eos_missing(scene: Scene, case: Case) -> Material | None:
    """Return the candidate with its END not scored."""
    del scene
    return replace(case.material, end_ids=())


def eos_added(scene: Scene, case: Case) -> Material | None:
    """Return the candidate with END scored."""
    if not scene.end_ids:
        return None
    return replace(case.material, end_ids=scene.end_ids)


def joint_boundary(scene: Scene, case: Case) -> Material | None:
    """Return tok(x + y) cut where tok(x) ends, whatever merged."""
    tokenizer = scene.tokenizer
    if tokenizer is None or case.prompt is None or case.text is None:
        return case.material
    start = case.material.context
    start = start[: len(start) - len(_without_start(scene, start))]
    specials = tokenizer.special_spans(case.prompt)
    try:
        ids = tokenizer.encode_around(case.prompt + case.text, specials)
        size = len(tokenizer.encode_around(case.prompt, specials))
    except LogprError:
        return None
    return replace(
        case.material,
        context=(*start, *ids[:size]),
        tokens=tuple(ids[size:]),
        chars=len(case.text),
        bytes=len(case.text.encode()),
    )


def straddling(scene: Scene, case: Case) -> Material | None:
    """Return tok(x + y), scored from the first token that reaches into y."""
    if scene.tokenizer is None or case.prompt is None or case.text is None:
        return case.material
    try:
        encoded = encode(scene.tokenizer, case.prompt, case.text, boundary="joint", bos="never")
    except LogprError:
        return None
    start = case.material.context
    start = start[: len(start) - len(_without_start(scene, start))]
    scored = encoded.text or ""
    return replace(
        case.material,
        context=start + encoded.context_ids,
        tokens=encoded.token_ids,
        chars=len(scored),
        bytes=len(scored.encode()),
    )


def _respaced(scene: Scene, case: Case, prompt: str, text: str) -> Material | None:
    if scene.tokenizer is None:
        return case.material
    if not prompt and not text:
        return None
    try:
        encoded = encode(scene.tokenizer, prompt, text, bos="never")
    except LogprError:
        return None
    start = case.material.context
    start = start[: len(start) - len(_without_start(scene, start))]
    scored = encoded.text or ""
    return Material(
        context=start + encoded.context_ids,
        tokens=encoded.token_ids,
        end_ids=case.material.end_ids,
        chars=len(scored),
        bytes=len(scored.encode()),
    )


def space_dropped(scene: Scene, case: Case) -> Material | None:
    """Return the candidate without the space that parts it from the prompt."""
    if case.prompt is None or case.text is None:
        return case.material
    return _respaced(scene, case, case.prompt.rstrip(" "), case.text.lstrip(" "))


def space_doubled(scene: Scene, case: Case) -> Material | None:
    """Return the candidate with one space more before it."""
    if case.prompt is None or case.text is None:
        return case.material
    bare = case.prompt.rstrip(" ")
    moved = case.prompt[len(bare) :]
    return _respaced(scene, case, bare, f" {moved}{case.text}")


def _simple(fault: str, run: Encoding, possible: Callable[[Scene], bool]) -> Fault:
    def make() -> Change:
        return Change(fault, "encode", run)

    def changes(scene: Scene) -> Sequence[Change]:
        return (make(),) if possible(scene) else ()

    return Fault(fault, "encode", "fault", changes, make)


def _has_start(scene: Scene) -> bool:
    return _start(scene) is not None


def _starts(scene: Scene) -> bool:
    start = _start(scene)
    return start is not None and any(case.material.context[:1] == (start,) for case in scene.cases)


def _scores_end(scene: Scene) -> bool:
    return any(case.material.end_ids for case in scene.cases)


def _may_score_end(scene: Scene) -> bool:
    return bool(scene.end_ids) and any(not case.material.end_ids for case in scene.cases)


_CUTS = {"split": joint_boundary, "straddling": straddling}


def _joint(form: str) -> Change:
    return Change("joint_boundary", "encode", _CUTS[form], (("form", form),), needs="text")


def _joint_boundary(scene: Scene) -> Sequence[Change]:
    return tuple(map(_joint, _CUTS)) if _texts(scene) else ()


_FORMS = {"dropped": space_dropped, "doubled": space_doubled}


def _space(form: str) -> Change:
    return Change("space_lost", "encode", _FORMS[form], (("form", form),), needs="text")


def _space_lost(scene: Scene) -> Sequence[Change]:
    return tuple(map(_space, _FORMS)) if _texts(scene) else ()


def _texts(scene: Scene) -> bool:
    return scene.tokenizer is not None and any(case.text is not None for case in scene.cases)


ENTRIES = (
    _simple("bos_missing", bos_missing, _starts),
    _simple("bos_doubled", bos_doubled, _has_start),
    _simple("eos_missing", eos_missing, _scores_end),
    _simple("eos_added", eos_added, _may_score_end),
    Fault(
        "joint_boundary",
        "encode",
        "choice",
        _joint_boundary,
        lambda form="split": _joint(form),
        (
            ParameterSpec(
                "form", "enumerated", "split (where tok(x) ends), straddling (whole tokens count)"
            ),
        ),
    ),
    Fault(
        "space_lost",
        "encode",
        "fault",
        _space_lost,
        lambda form="dropped": _space(form),
        (ParameterSpec("form", "enumerated", "dropped, doubled"),),
    ),
)
