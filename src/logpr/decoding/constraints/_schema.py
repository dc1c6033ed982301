r"""JSON schemas as regular expressions over JSON text.

Every text that is allowed is a JSON value valid under the schema. Of the many spellings of one
value these are allowed:

- White space: at most one space after each comma and each colon between values, none elsewhere.
- Objects: the properties that are listed, in the order of the schema, no others; those that are not
  required may be absent. Without a list, `additionalProperties` gives the schema of all values.
- Strings: every character as itself or as an escape (\n, \u00e9); no escape for half of a pair.
- Integers without sign at 0, fraction or exponent; other numbers in any way JSON writes them.
- `enum` and `const`: as `json.dumps` writes them without escaping, white space as above.

Keywords: type (a list of types too), enum, const, anyOf, $ref within the schema that does not come
back to itself, minLength, maxLength; minimum, maximum, exclusiveMinimum, exclusiveMaximum of
integers; items, minItems, maxItems; properties, required, additionalProperties. Those that only
describe (title, description, default, examples, …) are passed over. Any other is refused: to leave
it out would allow what the schema forbids.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import NoReturn, TypeAlias
from urllib.parse import unquote

from logpr.decoding.constraints._integers import integers_between
from logpr.errors import QueryError

_Schema: TypeAlias = dict[str, object]

_HEX = "[0-9a-fA-F]"
_CHARACTER = (
    r'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]'
    rf"|\\u(?:[0-9a-ceA-CEfF]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}}"
    rf"|[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}))"
)
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_COMMA = ", ?"
_COLON = ": ?"
_NOTHING = "[^\x00-\U0010ffff]"

_SAID = frozenset(
    {
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
_OF_TYPE = {
    "null": frozenset[str](),
    "boolean": frozenset[str](),
    "string": frozenset({"minLength", "maxLength"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset[str](),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
}
_MOST_PATTERN = 500_000


def pattern_of_schema(source: str) -> str:
    """Return a regular expression of `re` that matches the JSON texts of a schema.

    Args:
        source: the schema as JSON text.

    Raises:
        QueryError: it is no JSON, uses what is not supported, contradicts itself or gets too large.
    """
    try:
        root = json.loads(source, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        msg = f"json_schema is no JSON: {error}"
        raise QueryError(msg) from error
    try:
        return _Writer(root).value(root, "#", ())
    except RecursionError as error:
        msg = "json_schema is nested too deep; write it flatter"
        raise QueryError(msg) from error


def _no_number(name: str) -> NoReturn:
    msg = f"{name} is no JSON number"
    raise ValueError(msg)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        msg = f"{_shown(text)} is beyond the largest number of 64 bits"
        raise ValueError(msg)
    return number


class _Writer:
    """Writes the pattern of each part of one schema.

    `where` is the place of the part, as a JSON pointer; `above` are the references on the way to
    it.
    """

    def __init__(self, root: object) -> None:
        self._root = root
        self._writers: dict[str, Callable[[_Schema, str, tuple[str, ...]], str]] = {
            "null": lambda *_: "null",
            "boolean": lambda *_: "(?:true|false)",
            "number": lambda *_: f"(?:{_NUMBER})",
            "string": self._string,
            "integer": self._integer,
            "array": self._array,
            "object": self._object,
        }

    def value(self, schema: object, where: str, above: tuple[str, ...]) -> str:
        if not isinstance(schema, dict):
            _refuse(where, f"is {_shown(schema)}", 'give a schema with a type: {"type": "string"}')
        if "$ref" in schema:
            self._check(schema, where, frozenset({"$ref"}), "$ref")
            return self._reference(schema["$ref"], where, above)
        if "anyOf" in schema:
            self._check(schema, where, frozenset({"anyOf"}), "anyOf")
            options = schema["anyOf"]
            if not isinstance(options, list) or not options:
                _refuse(f"{where}/anyOf", f"is {_shown(options)}", "list the schemas")
            return _either(
                self.value(option, f"{where}/anyOf/{number}", above)
                for number, option in enumerate(options)
            )
        for word in ("const", "enum"):
            if word in schema:
                self._check(schema, where, frozenset({word, "type"}), word)
                return self._listed(schema, word, where)
        return self._typed(schema, where, above)

    def _typed(self, schema: _Schema, where: str, above: tuple[str, ...]) -> str:
        types = _types(schema, where)
        if types is None:
            unknown = sorted(set(schema) - _SAID - frozenset().union(*_OF_TYPE.values()))
            if unknown:
                self._check(schema, where, frozenset({"type"}).union(*_OF_TYPE.values()), "schema")
            _refuse(where, "has no type", 'say which: {"type": "object", …}')
        known = frozenset({"type"}).union(*(_OF_TYPE[name] for name in types))
        self._check(schema, where, known, " or ".join(types))
        if "number" in types and "integer" in types:
            types = [name for name in types if name != "integer"]
            self._check(schema, where, known - _OF_TYPE["integer"], "number")
        return _either(self._writers[name](schema, where, above) for name in types)

    def _check(self, schema: _Schema, where: str, known: frozenset[str], beside: str) -> None:
        for word in schema:
            if word not in known and word not in _SAID:
                listed = ", ".join(sorted(known))
                _refuse(
                    where,
                    f"holds {word!r}, which is not supported for {beside}",
                    f"leave it out, or write the text as regex=…; supported here: {listed}",
                )

    def _reference(self, target: object, where: str, above: tuple[str, ...]) -> str:
        if not isinstance(target, str) or not target.startswith("#"):
            _refuse(where, f"refers to {_shown(target)}", 'copy it into "$defs": "#/$defs/NAME"')
        if target in above:
            _refuse(
                where,
                f"refers to {target!r}, inside of which it stands",
                "values nested without end are not regular; write out as many levels as needed",
            )
        found = self._root
        for step in target[1:].split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                _refuse(where, f"refers to {target!r}, which is not there", "correct the reference")
        return self.value(found, target, (*above, target))

    def _listed(self, schema: _Schema, word: str, where: str) -> str:
        values = [schema["const"]] if word == "const" else schema["enum"]
        if not isinstance(values, list):
            _refuse(f"{where}/enum", f"is {_shown(values)}", "list the values")
        types = _types(schema, where)
        kept = [
            value for value in values if types is None or any(_is(value, name) for name in types)
        ]
        return _either(_literal(value, where) for value in kept)

    def _string(self, schema: _Schema, where: str, _above: tuple[str, ...]) -> str:
        least, most = _counts(schema, "minLength", "maxLength", where)
        if most is not None and least > most:
            return _NOTHING
        return f'"{_CHARACTER}{{{least},{"" if most is None else most}}}"'

    def _integer(self, schema: _Schema, where: str, _above: tuple[str, ...]) -> str:
        least: list[int] = []
        most: list[int] = []
        for word in sorted(_OF_TYPE["integer"] & set(schema)):
            bound = schema[word]
            if isinstance(bound, bool) or not isinstance(bound, int | float):
                _refuse(f"{where}/{word}", f"is {_shown(bound)}", "give a number")
            if "inimum" in word:
                least.append(math.floor(bound) + 1 if "exclusive" in word else math.ceil(bound))
            else:
                most.append(math.ceil(bound) - 1 if "exclusive" in word else math.floor(bound))
        found = integers_between(max(least, default=None), min(most, default=None))
        return _NOTHING if found is None else found

    def _array(self, schema: _Schema, where: str, above: tuple[str, ...]) -> str:
        least, most = _counts(schema, "minItems", "maxItems", where)
        if most is not None and least > most:
            return _NOTHING
        if most == 0:
            return r"\[\]"
        if "items" not in schema:
            _refuse(where, "has no items", 'say what they are: "items": {"type": "string"}')
        item = self.value(schema["items"], f"{where}/items", above)
        more = f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        inside = _bounded(f"{item}(?:{_COMMA}{item}){more}", where)
        return rf"\[(?:{inside}){'' if least else '?'}\]"

    def _object(self, schema: _Schema, where: str, above: tuple[str, ...]) -> str:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        others = schema.get("additionalProperties")
        if not isinstance(properties, dict):
            _refuse(f"{where}/properties", f"is {_shown(properties)}", "give a schema by name")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            _refuse(f"{where}/required", f"is {_shown(required)}", "list the names")
        missing = [name for name in required if name not in properties]
        if missing:
            _refuse(
                f"{where}/required",
                f"names {_shown(missing[0])}, which properties does not",
                "add it to properties",
            )
        if isinstance(others, dict):
            if properties:
                _refuse(
                    where,
                    "holds properties and a schema of additionalProperties",
                    'list all properties and say "additionalProperties": false',
                )
            value = self.value(others, f"{where}/additionalProperties", above)
            pair = f'"{_CHARACTER}*"{_COLON}{value}'
            return _bounded(rf"\{{(?:{pair}(?:{_COMMA}{pair})*)?\}}", where)
        if not properties and others is not False:
            _refuse(where, "has no properties", 'list them: "properties": {"name": {…}}')
        pairs = [
            (
                f"{_literal(name, where)}{_COLON}{self.value(part, f'{where}/properties', above)}",
                name in required,
            )
            for name, part in properties.items()
        ]
        return rf"\{{{self._members(pairs, where)}\}}"

    def _members(self, pairs: list[tuple[str, bool]], where: str) -> str:
        """Return the pattern of pairs with commas between those that are there."""
        after = ""  # what follows a pair, and what stands where none has come yet
        first = ""
        for pair, is_required in reversed(pairs):
            first = f"{pair}{after}" if is_required else f"(?:{pair}{after}|{first})"
            after = f"{_COMMA}{pair}{after}" if is_required else f"(?:{_COMMA}{pair})?{after}"
            _bounded(first, where)
        return first


def _types(schema: _Schema, where: str) -> list[str] | None:
    if "type" not in schema:
        return None
    given = schema["type"]
    types: list[str] = []
    for name in given if isinstance(given, list) else [given]:
        if not isinstance(name, str) or name not in _OF_TYPE:
            _refuse(f"{where}/type", f"is {_shown(name)}", f"types are {', '.join(_OF_TYPE)}")
        types.append(name)
    return types


def _is(value: object, name: str) -> bool:
    """Return whether a value of JSON is of a type."""
    if isinstance(value, bool):
        return name == "boolean"
    if isinstance(value, int):
        return name in ("number", "integer")
    if isinstance(value, float):
        return name == "number" or (name == "integer" and value.is_integer())
    if isinstance(value, str):
        return name == "string"
    if isinstance(value, list):
        return name == "array"
    return name == ("object" if isinstance(value, dict) else "null")


def _literal(value: object, where: str) -> str:
    if isinstance(value, list):
        return r"\[" + _COMMA.join(_literal(item, where) for item in value) + r"\]"
    if isinstance(value, dict):
        pairs = (
            f"{_literal(name, where)}{_COLON}{_literal(part, where)}"
            for name, part in value.items()
        )
        return r"\{" + _COMMA.join(pairs) + r"\}"
    text = json.dumps(value, ensure_ascii=False)
    if any("\ud800" <= character <= "\udfff" for character in text):
        _refuse(where, f"holds {_shown(value)}, half of a pair", "give text that UTF-8 can write")
    return re.escape(text)


def _counts(schema: _Schema, low_word: str, high_word: str, where: str) -> tuple[int, int | None]:
    return _count(schema, low_word, where) or 0, _count(schema, high_word, where)


def _count(schema: _Schema, word: str, where: str) -> int | None:
    if word not in schema:
        return None
    count = schema[word]
    if isinstance(count, float) and count.is_integer():
        count = int(count)  # JSON has one kind of number: 2.0 is 2
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        _refuse(f"{where}/{word}", f"is {_shown(count)}", "give a whole number from 0")
    return count


def _either(parts: Iterable[str]) -> str:
    listed = list(parts)
    if not listed:
        return _NOTHING
    return listed[0] if len(listed) == 1 else _bounded("(?:" + "|".join(listed) + ")", "#")


def _bounded(pattern: str, where: str) -> str:
    if len(pattern) > _MOST_PATTERN:
        _refuse(
            where,
            f"needs a regular expression of more than {_MOST_PATTERN} characters",
            "make fewer properties optional, shorten lists of values, or nest less",
        )
    return pattern


def _refuse(where: str, found: str, way_out: str) -> NoReturn:
    msg = f"json_schema at {where} {found}; {way_out}"
    raise QueryError(msg)


def _shown(value: object) -> str:
    most = 40
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"
