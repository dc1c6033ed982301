"""What leaving out a sentence does, on real stories: who is named moves whose name comes later."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import logpr

STORIES = 40
OTHERS = ("Tom", "Sue", "Max")
FIRST = re.compile(r"[^.!?]*\bnamed ([A-Z][a-z]+)\. ")


def heroes(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (the story up to where a sentence begins with the hero's name again, that name).

    The name stands in the first sentence and nowhere else before.
    """
    text = next(folder.glob("tinystories*")).read_text(encoding="utf-8")
    for told in text.split("<|endoftext|>"):
        story = " ".join(told.split())
        first = FIRST.match(story)
        if first is None:
            continue
        again = re.search(rf"(?<=[.!?] ){first[1]} ", story[first.end() + 1 :])
        if again is None:
            continue
        prompt = story[: first.end() + 1 + again.start()].rstrip()
        if len(prompt) <= 400 and not re.search(rf"\b{first[1]}\b", prompt[first.end() :]):
            yield prompt, first[1]


def test_the_sentence_that_names_the_hero_moves_the_hero(data_dir: Path) -> None:
    """Without it the hero's name falls behind each other name, in 40 of 40 stories for one."""
    lm = logpr.load(f"builtin:{data_dir / 'models' / 'stories260K'}")
    found = heroes(data_dir / "text")
    ahead = everyone = 0
    for (prompt, hero), _ in zip(found, range(STORIES), strict=False):
        others = [name for name in OTHERS if name not in prompt]
        ranking = logpr.rank(prompt, [f" {hero}", *(f" {name}" for name in others)], model=lm)
        why = logpr.explain(ranking, model=lm, influence="sentences", first=0, second=1)
        naming = why.influence[0]
        assert f"named {hero}" in naming.text
        assert naming.gap is not None
        assert naming.gap == pytest.approx(naming.moved[0] - naming.moved[1], abs=1e-12)
        ahead += naming.gap > 0
        everyone += all(naming.moved[0] > moved for moved in naming.moved[1:])
    assert ahead == STORIES
    assert everyone >= STORIES - 2


def test_the_same_story_with_another_name(data_dir: Path) -> None:
    """Who is named decides, not who is common: the sentence speaks for whichever name it has."""
    lm = logpr.load(f"builtin:{data_dir / 'models' / 'stories260K'}")
    names = ["Lily", "Tom", "Sara"]
    for place, name in enumerate(names):
        prompt = (
            f"Once upon a time, there was a child named {name}. The child had a small dog. One "
            f"day, the dog ran away."
        )
        ranking = logpr.rank(prompt, [f" {other}" for other in names], model=lm)
        why = logpr.explain(ranking, model=lm, influence="sentences")
        moved = why.influence[0].moved
        assert max(range(3), key=moved.__getitem__) == place
