"""Regular expressions of Python, read by Python's own parser, as automata over bytes."""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from logpr.decoding.constraints._charsets import (
    Ranges,
    byte_tree,
    complement,
    matched_by,
    merged,
)
from logpr.decoding.constraints._nfa import ByteAutomaton, Nfa
from logpr.errors import QueryError

_Given: TypeAlias = Any
"""What the parser says of one item: it has no types."""

_UNSUPPORTED = {
    "ASSERT": "look-ahead or look-behind: (?=…), (?<=…)",
    "ASSERT_NOT": "negative look-ahead or look-behind: (?!…), (?<!…)",
    "FAILURE": "negative look-ahead or look-behind: (?!…), (?<!…)",
    "GROUPREF": r"a backreference: \1, (?P=name)",
    "GROUPREF_EXISTS": "a condition on a group: (?(1)…|…)",
    "ATOMIC_GROUP": "an atomic group: (?>…)",
    "POSSESSIVE_REPEAT": "a possessive repetition: a*+, a++, a?+",
}
_ALPHABETS = re.ASCII | re.UNICODE  # a group that sets one ends the other
_BEGINS = ("AT_BEGINNING", "AT_BEGINNING_STRING")
_ENDS = ("AT_END", "AT_END_STRING")
_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
_MOST_ASKED = 64
"""Each class that only `re` can tell is asked for a million characters."""
_ANYTHING: Ranges = complement([])
_NO_NEWLINE: Ranges = complement([(10, 10)])


def automaton_of_pattern(pattern: str, *, name: str) -> ByteAutomaton:
    """Return the automaton of the UTF-8 spellings of all texts that `re.fullmatch` matches.

    Args:
        pattern: a regular expression as `re` reads it, inline flags too.
        name: what it is called in messages.

    Raises:
        QueryError: it is none; it holds what is not regular, or what depends on the text around
            (look-around, backreferences, atomic groups, word boundaries, anchors inside); or the
            automaton gets too large.
    """
    nfa = Nfa(name)
    try:
        with warnings.catch_warnings():
            # Of what Python may read otherwise one day: it is today's reading that is asked for.
            warnings.simplefilter("ignore")
            tree = _reader().parse(pattern)
        start = nfa.part()
        end = _Reader(nfa, name).sequence(tree, start, tree.state.flags, head=True, tail=True)
    except re.error as error:
        msg = f"{name} is no regular expression: {error}"
        raise QueryError(msg) from error
    except (RecursionError, OverflowError) as error:
        msg = f"{name} is nested too deep or counts too high; write it flatter"
        raise QueryError(msg) from error
    return nfa.determined(start, end)


def _reader() -> Any:  # noqa: ANN401 - a module that Python does not promise
    """Return what `re` itself reads expressions with: the one reader that agrees with it on all.

    Raises:
        QueryError: this Python has it elsewhere.
    """
    try:
        return importlib.import_module("re._parser")
    except ImportError as error:
        msg = (
            f"regular expressions are read by Python's own reader, and Python "
            f"{sys.version_info.major}.{sys.version_info.minor} has none at re._parser; use "
            f"choices (--choice), or another Python"
        )
        raise QueryError(msg) from error


class _Reader:
    """Adds what a parsed expression means to an NFA; each method returns the part after it."""

    def __init__(self, nfa: Nfa, name: str) -> None:
        self._nfa = nfa
        self._name = name
        self._asked: set[str] = set()

    def sequence(
        self,
        parsed: _Given,
        place: int,
        flags: int,
        *,
        head: bool,
        tail: bool,
    ) -> int:
        """Add items one after the other.

        Args:
            parsed: items as the parser gives them.
            place: the part before them.
            flags: of `re`, as they hold here.
            head: whether nothing can come before them.
            tail: whether nothing can come after them.
        """
        items = [(str(code), given) for code, given in parsed]
        # An anchor takes no room: ^ may follow ^, and $ may come before $.
        wide = [number for number, (code, _) in enumerate(items) if code != "AT"]
        first, last = (wide[0], wide[-1]) if wide else (len(items), -1)
        for number, (code, given) in enumerate(items):
            place = self._item(
                code,
                given,
                place,
                flags,
                head=head and number <= first,
                tail=tail and number >= last,
            )
        return place

    def _item(
        self, code: str, given: _Given, place: int, flags: int, *, head: bool, tail: bool
    ) -> int:
        if code in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._nfa.character(place, byte_tree(self._characters(code, given, flags)))
        if code == "SUBPATTERN":
            _, added, removed, items = given
            inside = (flags & ~_ALPHABETS if added & _ALPHABETS else flags) | added
            return self.sequence(items, place, inside & ~removed, head=head, tail=tail)
        if code == "BRANCH":
            end = self._nfa.part()
            for items in given[1]:
                start = self._nfa.part()
                self._nfa.join(place, start)
                self._nfa.join(self.sequence(items, start, flags, head=head, tail=tail), end)
            return end
        if code in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, items = given
            return self._repeated(
                lambda at: self.sequence(items, at, flags, head=False, tail=False),
                place,
                int(least),
                None if most == _reader().MAXREPEAT else int(most),
            )
        if code == "AT":
            self._check_anchor(str(given), head=head, tail=tail)
            return place
        return self._refuse(_UNSUPPORTED.get(code, f"the construct {code}"))

    def _repeated(
        self, once: Callable[[int], int], place: int, least: int, most: int | None
    ) -> int:
        nfa = self._nfa
        for _ in range(least):
            begin = nfa.part()  # a part for each round: rounds of nothing are counted too
            nfa.join(place, begin)
            place = once(begin)
        end = nfa.part()
        nfa.join(place, end)
        if most is None:
            begin = nfa.part()
            nfa.join(end, begin)
            nfa.join(once(begin), end)
            return end
        for _ in range(most - least):
            begin = nfa.part()
            nfa.join(place, begin)
            place = once(begin)
            nfa.join(place, end)
        return end

    def _characters(self, code: str, given: _Given, flags: int) -> Ranges:
        if code == "ANY":
            return _ANYTHING if flags & re.DOTALL else _NO_NEWLINE
        if code == "IN":
            items = [(str(kind), value) for kind, value in given]
            negated = items[0][0] == "NEGATE"
            items = items[1:] if negated else items
        else:
            items, negated = [("LITERAL", given)], code == "NOT_LITERAL"
        if not flags & re.IGNORECASE and all(kind != "CATEGORY" for kind, _ in items):
            found = merged(
                (value, value) if kind == "LITERAL" else (value[0], value[1])
                for kind, value in items
            )
            return complement(found) if negated else found
        inside = "".join(_written(kind, value) for kind, value in items)
        asked = f"[{'^' if negated else ''}{inside}]"
        self._asked.add(asked)
        if len(self._asked) > _MOST_ASKED:
            msg = (
                f"{self._name} holds more than {_MOST_ASKED} different classes that read (?i) or "
                f"hold \\w, \\d or \\s; write out the characters of some, or use fewer"
            )
            raise QueryError(msg)
        return matched_by(asked, flags & (re.IGNORECASE | re.ASCII))

    def _check_anchor(self, which: str, *, head: bool, tail: bool) -> None:
        """Let an anchor be where it holds anyway: the whole text is matched."""
        if (which in _BEGINS and head) or (which in _ENDS and tail):
            return
        if which in _BEGINS:
            self._refuse(r"^ or \A after its beginning; the whole text is matched without it")
        if which in _ENDS:
            self._refuse(r"$ or \Z before its end; the whole text is matched without it")
        self._refuse(r"a word boundary: \b, \B")

    def _refuse(self, what: str) -> NoReturn:
        msg = (
            f"{self._name} holds {what}. Supported are characters, classes, "
            f"groups, alternatives and repetitions; write it with these, or list the outputs: "
            f"choices=[…]"
        )
        raise QueryError(msg)


def _written(kind: str, value: _Given) -> str:
    if kind == "CATEGORY":
        return _CATEGORIES[str(value)]
    if kind == "LITERAL":
        return f"\\U{value:08x}"
    return f"\\U{value[0]:08x}-\\U{value[1]:08x}"
