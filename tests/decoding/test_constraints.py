"""Constraints allow exactly the sequences that they name, in every spelling."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logpr._values.decoding import Constraint
from logpr.decoding.automaton import Automaton
from logpr.decoding.constraints import _grammar, _nfa, _regex, automaton_of
from logpr.decoding.constraints._integers import integers_between
from logpr.errors import QueryError
from logpr.tokens.tokenizer import FastTokenizer
from tests.decoding.pieces import PieceTokenizer, allowed, reached, takes

END = 9
E_ACUTE = "é".encode()
TINY = PieceTokenizer(
    [b"a", b"ab", b"b", E_ACUTE[:1], E_ACUTE[1:], E_ACUTE, b"", b"a", b"<s>", b"b", b"c\n"],
    special=[8],
)
"""Pieces that overlap, halves of a character, two that are alike, one without text, END."""
BYTES = PieceTokenizer([bytes([byte]) for byte in range(256)])


def of_regex(pattern: str, tokenizer: PieceTokenizer | FastTokenizer = TINY) -> Automaton:
    """Return the automaton of an expression."""
    ends = (END,) if tokenizer is TINY else ()
    return automaton_of(
        Constraint(kind="regex", source=pattern),
        tokenizer=tokenizer,
        end_ids=ends,
        vocab_size=tokenizer.vocab_size,
    )


def of_schema(schema: object, tokenizer: PieceTokenizer | FastTokenizer = BYTES) -> Automaton:
    """Return the automaton of a schema."""
    return automaton_of(
        Constraint(kind="json_schema", source=json.dumps(schema)),
        tokenizer=tokenizer,
        end_ids=(),
        vocab_size=tokenizer.vocab_size,
    )


def of_choices(*sequences: tuple[int, ...]) -> Automaton:
    """Return the automaton of choices, of a model of 20 tokens."""
    return automaton_of(
        Constraint(kind="choice_ids", sequences=sequences),
        tokenizer=None,
        end_ids=(END,),
        vocab_size=20,
    )


def by_trying(
    is_allowed: Callable[[str], bool], tokenizer: PieceTokenizer, longest: int
) -> set[tuple[int, ...]]:
    """Return the sequences whose text is allowed, by looking at each there is."""
    texts = [
        token
        for token in range(tokenizer.vocab_size)
        if tokenizer.token_bytes(token) and not (tokenizer is TINY and token == END)
    ]
    out = set()
    for length in range(longest + 1):
        for sequence in itertools.product(texts, repeat=length):
            try:
                text = b"".join(map(tokenizer.token_bytes, sequence)).decode()
            except UnicodeDecodeError:
                continue
            if is_allowed(text):
                out.add(sequence)
    return out


def spells(automaton: Automaton, text: str) -> bool:
    """Return whether the bytes of a text are allowed one by one."""
    return takes(automaton, tuple(text.encode()))


PATTERNS = [
    "",
    "a*",
    "(ab)+",
    "a?b?é?",
    "é+",
    "[^a]{1,2}",
    "[é-ü]|ab",
    ".*",
    "(?s).{1,2}",
    "(?i)A(?-i:b)",
    r"\w+?",
    r"[^\W\d]b",
    r"\s|b\n?",
    "^(a|^b)$",
    "(a|ab)(c|bcd|b*)",
    "a{2}|b{1,}",
    "(?:a*)*b",
    "(?x) a  b # with a note",
    "c",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_expressions_allow_what_python_matches(pattern: str) -> None:
    """Of all sequences of up to four tokens, those are allowed whose text `re` matches whole."""
    found = allowed(of_regex(pattern), 4)
    assert found == by_trying(lambda text: re.fullmatch(pattern, text) is not None, TINY, 4)


_ATOMS = st.sampled_from(["a", "b", "é", ".", "[ab]", "[^a]", "[b-é]", "(?i:A)", r"\w", r"\s", ""])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{0,2}", "{1,}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


@given(_EXPRESSIONS)
def test_any_expression_agrees_with_python(pattern: str) -> None:
    """Expressions made at random match the texts of up to three characters that `re` matches."""
    automaton = of_regex(pattern, BYTES)
    for length in range(4):
        for letters in itertools.product("aBbé\n日", repeat=length):
            text = "".join(letters)
            assert spells(automaton, text) == (re.fullmatch(pattern, text) is not None), text


@given(_EXPRESSIONS, st.sets(st.sampled_from(range(11))))
def test_every_state_leads_on(pattern: str, left_out: set[int]) -> None:
    """From each state that is come to, tokens lead to an accepting one, whatever pieces lack."""
    automaton = automaton_of(
        Constraint(kind="regex", source=pattern),
        tokenizer=TINY,
        end_ids=left_out,
        vocab_size=TINY.vocab_size,
    )
    after = reached(automaton)
    leading = {state for state in after if automaton.accepts(state)}
    while True:
        more = {state for state in after if after[state] & leading} - leading
        if not more:
            break
        leading |= more
    assert set(after) - leading <= {automaton.start}
    assert automaton.start in leading or not after[automaton.start]


CHARACTERS = "aAkKKsSſßẞiIıİµμΜéÉǅͅͅ1٣²_ -\n\t\x1c\u00a0\u2028日𝔘🙂\ue000\uffff"


PAIRS = list(itertools.product("aAkKé1", repeat=2))


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", ".", "(?s).", r"(?a)\W", r"(?a:\w(?u:\w))"),
        *("(?i)a(?-i:k)", "(?i)s", "(?i)[^k]", "(?i)[h-l]", "(?i)ß", "(?i)µ"),
        *(r"[^\w\s]", r"[\d_-]", "[^é]", "[é-\ue000]"),
    ],
)
def test_classes_of_characters_are_those_of_python(pattern: str) -> None:
    """Categories, ranges and (?i) hold for the characters that `re` says."""
    automaton = of_regex(pattern, BYTES)
    texts = [*CHARACTERS, *map(chr, range(0, 0xD7FF, 97)), *map("".join, PAIRS)]
    wrong = [text for text in texts if spells(automaton, text) != bool(re.fullmatch(pattern, text))]
    assert not wrong


def test_halves_of_a_character_spell_it() -> None:
    """One character may be one token or two; half of it is no text."""
    assert allowed(of_regex("é"), 3) == {(5,), (3, 4)}


@pytest.mark.parametrize("raw", ["eda080", "c080", "e08080", "f4908080", "f0808080", "80", "c3"])
def test_bytes_that_are_no_utf8_are_no_text(raw: str) -> None:
    """Surrogates, overlong spellings and what lies beyond the last character are not allowed."""
    assert not takes(of_regex("(?s).*", BYTES), tuple(bytes.fromhex(raw)))
    assert takes(of_regex("(?s).*", BYTES), tuple("\ud7ff\ue000\U0010ffff\u0800\u0080".encode()))


def test_bytes_that_lead_nowhere_are_cut_off() -> None:
    """An automaton over bytes is trimmed: the vocabulary is not walked into a dead end."""
    automaton = _regex.automaton_of_pattern(r"ab[^\s\S]|c", name="regex")
    assert np.flatnonzero(automaton.table[automaton.start] >= 0).tolist() == [ord("c")]


def test_tokens_without_text_are_never_steps() -> None:
    """Special tokens, tokens without text and end tokens are left out; tokens alike are not."""
    tokens, _ = of_regex("(?s).*").steps(0)
    assert tokens.tolist() == [0, 1, 2, 3, 5, 7, 10]


def test_rows_beyond_the_model_are_no_steps() -> None:
    """A tokenizer may know more tokens than the model has rows for."""
    automaton = automaton_of(
        Constraint(kind="regex", source="a|b"), tokenizer=TINY, end_ids=(), vocab_size=7
    )
    assert allowed(automaton, 2) == {(0,), (2,)}


def test_what_no_token_spells_is_infeasible() -> None:
    """Where nothing is allowed, the start has no steps and does not accept."""
    for pattern in ("x", "ax", r"[^\s\S]", "a*x"):
        automaton = of_regex(pattern)
        assert not automaton.accepts(automaton.start)
        assert not automaton.steps(automaton.start)[0].size


def test_steps_that_were_let_go_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on what is kept changes no step."""
    wanted = allowed(of_regex("(a|b|é){1,3}"), 4)
    monkeypatch.setattr(_grammar, "_MOST_KEPT", 1)
    automaton = of_regex("(a|b|é){1,3}")
    assert isinstance(automaton, _grammar.TextAutomaton)
    assert allowed(automaton, 4) == wanted
    assert sum(tokens.size for tokens, _ in automaton._kept.values()) <= 1


def test_choices_are_the_sequences_given() -> None:
    """The output is one of them, in exactly these tokens; one may be the beginning of another."""
    choices = {(), (1, 2), (1, 2, 3), (4,)}
    automaton = of_choices(*choices, (4,))
    assert allowed(automaton, 5) == choices
    assert automaton.name == "5 choice_ids"
    assert automaton.steps(automaton.start)[0].tolist() == [1, 4]


def test_no_choices_allow_nothing() -> None:
    """An empty list of choices is infeasible, and no error."""
    automaton = of_choices()
    assert not automaton.accepts(automaton.start)
    assert not automaton.steps(automaton.start)[0].size


@pytest.mark.parametrize("token", [END, 20, -1])
def test_choices_that_cannot_be_outputs_are_refused(token: int) -> None:
    """An end token in a choice, or an id without a row, is an error that names both."""
    with pytest.raises(QueryError, match=f"choice 1 holds token {token}"):
        of_choices((1,), (1, token))


JSON_PIECES = PieceTokenizer(
    [
        piece.replace(b"_", b" ")
        for piece in b'{ } " "a" "b" :_ : , ,_ 1 0 - true [ ] {"a ":_1 .5 _ null'.split()
    ]
)


def is_object(value: object) -> bool:
    """Return whether {"a": integer, "b"?: boolean}."""
    return (
        isinstance(value, dict)
        and list(value) in (["a"], ["a", "b"])
        and type(value["a"]) is int
        and type(value.get("b", True)) is bool
    )


def is_list(value: object) -> bool:
    """Return whether a list of one or two numbers or nulls."""
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 2
        and all(item is None or type(item) in (int, float) for item in value)
    )


def is_listed(value: object) -> bool:
    """Return whether one of five values; True is not 1 here."""
    return json.dumps(value) in ("true", '{"a": 1}', "[]", '"b"', "10")


@pytest.mark.parametrize(
    ("schema", "is_valid"),
    [
        (
            {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}},
                "required": ["a"],
                "additionalProperties": False,
            },
            is_object,
        ),
        (
            {
                "type": "array",
                "items": {"$ref": "#/$defs/number~1null"},
                "minItems": 1,
                "maxItems": 2,
                "$defs": {"number/null": {"type": ["number", "null"]}},
            },
            is_list,
        ),
        ({"enum": [True, {"a": 1}, [], "b", 10]}, is_listed),
    ],
)
def test_schemas_allow_the_values_they_describe(
    schema: object, is_valid: Callable[[object], bool]
) -> None:
    """Of all sequences of up to four pieces, those that are JSON of the schema, spelled plainly.

    Plainly: as `json.dumps` does, each comma and colon with a space after it or without.
    """

    def is_allowed(text: str) -> bool:
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            return False
        plain = json.dumps(value, separators=(",", ":"))
        spelled = re.sub("([,:]) ", r"\1", text).replace("-0,", "0,").replace("-0]", "0]")
        same = plain.replace("-0,", "0,").replace("-0]", "0]") == spelled
        # 1.50 and -0 are numbers too, but no integers of ours.
        return (
            is_valid(value) and (same or is_list(value)) and "  " not in text and "-0}" not in text
        )

    found = allowed(of_schema(schema, JSON_PIECES), 4)
    texts = {b"".join(map(JSON_PIECES.token_bytes, sequence)).decode() for sequence in found}
    assert all(is_valid(json.loads(text)) for text in texts)
    tried = by_trying(is_allowed, JSON_PIECES, 4)
    tight = {
        sequence
        for sequence in tried
        if not re.search(r"\s([,:\]}]|$)|[\[{]\s|^\s", JSON_PIECES.decode(sequence))
    }
    assert found == tight
    assert len(found) > 2


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "null"}, ["null"], ["Null", "", " null"]),
        ({"const": 'a"\\é\n'}, ['"a\\"\\\\é\\n"'], ['"a"', '"a\\"\\\\\\u00e9\\n"']),
        ({"enum": [1, "x", None], "type": ["integer", "string"]}, ["1", '"x"'], ["null"]),
        (
            {"type": "string", "minLength": 1, "maxLength": 2},
            ['"a"', '"é日"', r'"\ud83d\ude42🙂"', r'"\"\\"', r'"\n\u00E9"', '"\x7f"'],
            [
                '""',
                '"abc"',
                r'"\ud83d"',
                r'"\ude42"',
                r'"\udc00\udc00"',
                r'"\x"',
                '"\n"',
                r'"\u00g0"',
                '"a',
            ],
        ),
        ({"type": "string"}, ['""', f'"{"é" * 99}"'], ["''", '"""']),
        (
            {"type": "number"},
            ["0", "-0.5", "10", "1e5", "1E-07", "3.25e+1", "-0"],
            ["01", "+1", ".5", "1.", "NaN", "1e", "--1", "٣"],
        ),
        ({"type": "integer"}, ["0", "-7", "120"], ["-0", "1.0", "07", "1e3", "-"]),
        (
            {"type": "integer", "exclusiveMinimum": -3, "maximum": 12.5},
            ["-2", "0", "12"],
            ["-3", "13", "12.5"],
        ),
        (
            {"type": "object", "additionalProperties": {"type": "null"}},
            ["{}", '{"a":null}', '{"é": null, "b":null}'],
            ['{"a":1}', '{"a":null,}', "{ }"],
        ),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a":1}']),
        (
            {"type": "object", "properties": {name: {"type": "null"} for name in "abc"}},
            ["{}", '{"b":null}', '{"a":null,"c":null}', '{"a":null, "b": null, "c":null}'],
            ['{"b":null,"a":null}', '{,"a":null}', '{"a":null,,"c":null}', '{"d":null}'],
        ),
        (
            {
                "type": "object",
                "properties": {name: {"type": "null"} for name in "abc"},
                "required": ["b"],
            },
            ['{"b":null}', '{"a":null,"b":null}', '{"b":null,"c":null}'],
            ["{}", '{"a":null}', '{"a":null,"c":null}'],
        ),
        ({"type": "array", "maxItems": 0}, ["[]"], ["[1]", "[ ]"]),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 2.0},
            ["[null,null]", "[null, null,null]"],
            ["[]", "[null]", "[null ,null]"],
        ),
        ({"anyOf": [{"type": "null"}, {"const": [1, {"a": 2}]}]}, ["null", '[1, {"a":2}]'], ["1"]),
        ({"type": "integer", "minimum": 3, "maximum": 2}, [], ["2", "3", ""]),
        ({"enum": []}, [], ["null"]),
        ({"type": "boolean", "title": "t", "description": "d"}, ["true", "false"], ["True"]),
    ],
)
def test_texts_of_schemas(schema: object, valid: list[str], invalid: list[str]) -> None:
    """Each text that should be is allowed, and is JSON; each that should not be is not."""
    automaton = of_schema(schema)
    for text in valid:
        json.loads(text)
        assert spells(automaton, text), text
    assert not [text for text in invalid if spells(automaton, text)]


@pytest.mark.parametrize("least", [None, -1234, -100, -9, -1, 0, 1, 7, 99, 100, 1009])
@pytest.mark.parametrize("most", [None, -200, -1, 0, 9, 10, 101, 999, 1234])
def test_whole_numbers_between_bounds(least: int | None, most: int | None) -> None:
    """The pattern of a range holds its numbers, each in one spelling."""
    pattern = integers_between(least, most)
    low, high = -1300 if least is None else least, 1300 if most is None else most
    if pattern is None:
        assert low > high
        return
    found = {number for number in range(-1300, 1300) if re.fullmatch(pattern, str(number))}
    assert found == set(range(max(low, -1300), min(high, 1299) + 1))
    assert not re.fullmatch(pattern, "-0")
    assert not re.fullmatch(pattern, "07")


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("a(?=b)", "look-ahead"),
        ("a(?!b)", "negative look-ahead"),
        ("(?<=a)b", "look-behind"),
        (r"(a)\1", "backreference"),
        ("(a)?(?(1)b|c)", "condition"),
        (r"\ba", "word boundary"),
        ("a^b", "after its beginning"),
        ("a$b", "before its end"),
        ("(a$)+", "before its end"),
        ("a)", "no regular expression"),
        ("(" * 2000 + ")" * 2000, "nested too deep"),
        ("(a|b)*a(a|b){11}", "states over bytes"),
        ("((a{1,99}){1,99}){1,99}", "parts before it is even built"),
        ("(a{0}){4000000}", "parts before it is even built"),
        ("(a?){1500}", "too many parts at once"),
        ("(?i)" + "".join(f"[a{chr(300 + place)}]" for place in range(9)), "different classes"),
    ],
)
def test_expressions_that_are_refused(
    pattern: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not supported, or too large, is an error that names it and says a way out."""
    monkeypatch.setattr(_nfa, "_MOST_PARTS", 9_000)
    monkeypatch.setattr(_nfa, "_MOST_WORK", 300_000)
    monkeypatch.setattr(_nfa, "MOST_STATES", 2_000)
    monkeypatch.setattr(_regex, "_MOST_ASKED", 8)
    with pytest.raises(QueryError, match=named):
        of_regex(pattern)


def test_a_constraint_without_its_source_is_refused() -> None:
    """A certificate that anybody wrote may have one."""
    with pytest.raises(QueryError, match="kind regex needs its source"):
        automaton_of(Constraint(kind="regex"), tokenizer=BYTES, end_ids=(), vocab_size=256)


def test_a_listed_number_may_have_any_number_of_digits() -> None:
    """A whole number that no float holds is an integer."""
    assert spells(of_schema({"type": "integer", "enum": [10**400, 0.5]}), f"1{'0' * 400}")


def test_a_long_expression_takes_time_by_its_length() -> None:
    """A text of 90,000 characters is refused at once: the time does not grow with its square."""
    started = time.process_time()
    with pytest.raises(QueryError, match="more than 20000 states over bytes"):
        of_regex("a" * 90_000)
    assert time.process_time() - started < 10  # it took half a minute


def test_the_bounds_of_a_release_hold() -> None:
    """An expression of twenty characters with a million states is refused, as is a long string."""
    with pytest.raises(QueryError, match="more than 20000 states over bytes"):
        of_regex("(a|b)*a(a|b){19}")
    with pytest.raises(QueryError, match=r"more than 20000 states|parts"):
        of_schema({"type": "string", "maxLength": 2000})


@pytest.mark.parametrize("pattern", ["(?>a)", "a++"])
def test_what_never_goes_back_is_refused(pattern: str) -> None:
    """Atomic groups and possessive repetitions match other texts than their plain forms."""
    with pytest.raises(QueryError, match=r"atomic|possessive"):
        of_regex(pattern)


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "number", "minimum": 1}, "'minimum'"),
        ({"type": "array", "items": {"type": "null"}, "uniqueItems": True}, "'uniqueItems'"),
        ({"type": "string", "pattern": "a"}, "'pattern'"),
        ({"type": "string", "format": "date"}, "'format'"),
        ({"type": ["integer", "number"], "minimum": 1}, "'minimum'"),
        ({"allOf": []}, "'allOf'"),
        ({"anyOf": [{"type": "null"}], "type": "null"}, "'type'"),
        ({"not": {}}, "'not'"),
        ({}, "no type"),
        (True, "is True"),
        ({"type": "object"}, "no properties"),
        ({"type": "array"}, "no items"),
        ({"type": "text"}, "types are null"),
        ({"type": "string", "maxLength": -1}, "maxLength is -1"),
        ({"type": "integer", "minimum": "1"}, "minimum is '1'"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "names 'a'"),
        ({"type": "object", "properties": {}, "required": [["a"]]}, "required is [['a']]"),
        ({"$ref": "https://example.org/schema.json"}, "refers to 'https://example.org"),
        ({"$ref": "#/$defs/x"}, "not there"),
        ({"type": "array", "items": {"$ref": "#"}}, "inside of which it stands"),
        ({"const": "\ud800"}, "half of a pair"),
        ({"type": "string", "maxLength": 99999}, "parts"),
        (
            {"type": "object", "properties": {f"p{n}": {"type": "number"} for n in range(300)}},
            "500000 characters",
        ),
    ],
)
def test_schemas_that_are_refused(schema: object, named: str) -> None:
    """A keyword that is not supported is an error, never left out; so is a schema too large."""
    with pytest.raises(QueryError, match=re.escape(named)):
        of_schema(schema)


@pytest.mark.parametrize(
    "source",
    [
        "{",
        '{"const": NaN}',
        '{"enum": [1e400]}',
        '{"type": "integer", "minimum": -1e400}',
        "[" * 99999,
    ],
)
def test_schemas_that_are_no_json(source: str) -> None:
    """A schema is JSON text."""
    with pytest.raises(QueryError, match="no JSON"):
        automaton_of(
            Constraint(kind="json_schema", source=source),
            tokenizer=BYTES,
            end_ids=(),
            vocab_size=256,
        )


def test_constraints_on_text_need_a_tokenizer() -> None:
    """A model of bare ids takes choice_ids."""
    with pytest.raises(QueryError, match="choice_ids"):
        automaton_of(Constraint(kind="regex", source="a"), tokenizer=None, end_ids=(), vocab_size=9)


def test_names_are_the_words_of_the_caller() -> None:
    """A long source is cut short in a name."""
    assert of_regex("a|b").name == "regex 'a|b'"
    assert len(of_regex("a" * 500).name) < 80


REAL = ["models/stories260K", "tokenizers/gpt2", "tokenizers/llama2"]


@pytest.mark.parametrize("folder", REAL)
def test_every_spelling_of_a_real_vocabulary(data_dir: Path, folder: str) -> None:
    """The first tokens of a finite set of texts are all that one of them begins with."""
    tokenizer = FastTokenizer.from_folder(data_dir / folder)
    automaton = of_regex(" (yes|no|maybe|é\n)", tokenizer)
    texts = [text.encode() for text in (" yes", " no", " maybe", " é\n")]
    raw = {token: tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)}
    wanted = [
        token for token in raw if raw[token] and any(text.startswith(raw[token]) for text in texts)
    ]
    tokens, states = automaton.steps(automaton.start)
    assert tokens.tolist() == wanted
    for token, state in zip(tokens.tolist(), states.tolist(), strict=True):
        assert automaton.accepts(state) == (raw[token] in texts)
        rests = [text.removeprefix(raw[token]) for text in texts if text.startswith(raw[token])]
        assert automaton.steps(state)[0].tolist() == [
            then for then in raw if raw[then] and any(rest.startswith(raw[then]) for rest in rests)
        ]


@pytest.mark.parametrize("folder", REAL[:2])
def test_a_tokenizers_own_spelling_is_allowed(data_dir: Path, folder: str) -> None:
    """Text goes through a schema as the tokenizer cuts it, bytes for rare characters too."""
    tokenizer = FastTokenizer.from_folder(data_dir / folder)
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["cat", "dog"]},
            "age": {"type": "integer"},
            "name": {"type": "string", "maxLength": 20},
        },
        "required": ["kind", "age", "name"],
    }
    automaton = of_schema(schema, tokenizer)
    for name in ("Tom", "日本 🙂 é", ""):
        text = json.dumps({"kind": "cat", "age": 12, "name": name}, ensure_ascii=False)
        ids = tokenizer.encode(text, parse_special=False, start=False)
        assert takes(automaton, ids)
        assert not takes(automaton, ids[:-1])
    too_long = json.dumps({"kind": "cat", "age": 12, "name": "a" * 21})
    assert not takes(automaton, tokenizer.encode(too_long, parse_special=False, start=False))
    tokens = np.concatenate([automaton.steps(state)[0] for state in reached(automaton)])
    assert tokenizer.special_ids.isdisjoint(np.unique(tokens).tolist())
