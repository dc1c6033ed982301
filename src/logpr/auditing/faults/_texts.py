"""What each entry says to people, from its page: formulas, the corrected line, a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

_FOLDER = "texts"


@dataclass(frozen=True, slots=True)
class Words:
    """The head of an entry's page; {name} in it stands for a parameter."""

    used: str
    use: str
    code: str
    shows: str
    sentence: str

    def filled(self, name: str, parameters: Mapping[str, str]) -> str:
        """Return one of the texts with the parameters in it."""
        text: str = getattr(self, name)
        for key, value in parameters.items():
            text = text.replace("{" + key + "}", value)
        return text


@cache
def words(fault: str) -> Words:
    """Return the head of an entry's page."""
    head, _ = page(fault)
    return Words(**{name: str(head[name]) for name in Words.__dataclass_fields__})


@cache
def page(fault: str) -> tuple[dict[str, str], str]:
    """Return an entry's page as its head and its body, Markdown."""
    text = (files(__package__) / _FOLDER / f"{fault}.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body.strip() + "\n"
