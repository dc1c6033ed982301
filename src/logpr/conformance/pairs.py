"""What is declared, as it is typed on one line: unit=bits,end=stop."""

from __future__ import annotations

from logpr.errors import QueryError


def declared_words(
    text: str, *, option: str = "--declares", example: str = "unit=bits,per_token=true"
) -> dict[str, str]:
    """Return "unit=bits,end=stop" by name.

    Args:
        text: as it was typed.
        option: how messages call it.
        example: what they show.

    Raises:
        QueryError: a part is not NAME=VALUE, or a name is said twice.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            msg = f"{option} is NAME=VALUE,NAME=VALUE; found {part!r}; write {option} {example}"
            raise QueryError(msg)
        if name in found:
            msg = f"{option} says {name} twice: {found[name]} and {value}; leave one out"
            raise QueryError(msg)
        found[name] = value
    return found
