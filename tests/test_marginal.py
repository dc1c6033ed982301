"""Boundary `marginal`, against the sum over every spelling written out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logpr import _marginal
from logpr._marginal import marginal, spellings
from logpr._types import FloatVocab
from logpr._values import ModelProvenance
from logpr.errors import ContextLengthError, EmptyContextError, QueryError
from logpr.models.base import NO_EVIDENCE, EdgeScores, Evidence, NextRows, Predictive
from logpr.tokens.base import SpecialSpan, Tokenizer
from logpr.tokens.pack import Pack

TOLERANCE = 1e-12
assert settings.default is not None
fewer = settings(max_examples=settings.default.max_examples // 4)
"""For laws whose every example is a dozen searches."""
ENDLESS = 100_000
END, BOS = 0, 1
CONTEXT = 64


@dataclass(frozen=True)
class Letters:
    """A tokenizer of made-up pieces, the longest that fits first; ids 0 and 1 are END and BOS."""

    pieces: tuple[str, ...]
    adds_bos: bool = True
    bos_id: int | None = BOS
    eos_id: int | None = END
    unk_id: int | None = None
    chat_template: str | None = None
    digest: str = "sha256:none"
    special_ids: frozenset[int] = frozenset((END, BOS))

    @property
    def vocab_size(self) -> int:
        """END, BOS and the pieces."""
        return 2 + len(self.pieces)

    def encode(self, text: str, *, parse_special: bool, start: bool = True) -> tuple[int, ...]:
        """Cut the longest piece off the front, again and again."""
        del parse_special, start
        out: list[int] = []
        while text:
            piece = max(filter(text.startswith, self.pieces), key=len)
            out.append(2 + self.pieces.index(piece))
            text = text[len(piece) :]
        return tuple(out)

    def special_spans(self, text: str) -> tuple[SpecialSpan, ...]:
        """None: no string means END or BOS."""
        del text
        return ()

    def encode_around(
        self, text: str, specials: Sequence[SpecialSpan], *, start: bool = True
    ) -> tuple[int, ...]:
        """As encode."""
        del specials
        return self.encode(text, parse_special=False, start=start)

    def token_bytes(self, token: int) -> bytes:
        """Return the piece's letters."""
        return self.token_text(token).encode() if token > BOS else b""

    def token_text(self, token: int) -> str:
        """Return the piece."""
        return self.pieces[token - 2] if token > BOS else ("END", "BOS")[token]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the pieces, joined."""
        return "".join(map(self.token_text, ids))

    def normalise(self, text: str, *, start: bool = True) -> str:
        """As it is."""
        del start
        return text


@dataclass(frozen=True)
class Dice:
    """A model whose next-token distribution is drawn by lot for each prefix, always the same."""

    tokenizer: Letters
    seed: int
    ends: bool = True
    context_length: int = CONTEXT
    end_ids: tuple[int, ...] = (END,)

    @property
    def vocab_size(self) -> int:
        """The tokenizer's."""
        return self.tokenizer.vocab_size

    @property
    def provenance(self) -> ModelProvenance:
        """A name, and no noise."""
        return ModelProvenance(model="dice", backend="test")

    def edges(self, pack: Pack, *, evidence: Evidence = NO_EVIDENCE) -> EdgeScores:
        """Nobody asks."""
        raise NotImplementedError

    @cached_property
    def rows(self) -> dict[tuple[int, ...], FloatVocab]:
        """The rows drawn so far."""
        return {}

    def row(self, prefix: Sequence[int]) -> FloatVocab:
        """Return the log-probabilities after a prefix."""
        key = tuple(prefix)
        if key not in self.rows:
            self.rows[key] = self.drawn(key)
        return self.rows[key]

    def drawn(self, prefix: tuple[int, ...]) -> FloatVocab:
        """Return log-probabilities that differ from token to token by nats; none for BOS."""
        rng = np.random.default_rng([self.seed, *prefix])
        logits = rng.normal(scale=2.0, size=self.vocab_size)
        logits[BOS] = -np.inf
        if not self.ends:
            logits[END] = -np.inf
        shifted = logits - logits.max()
        row: FloatVocab = shifted - np.log(np.exp(shifted).sum())
        return row

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> NextRows:
        """Return the row of each prefix."""
        assert all(prefixes), "nothing to condition on"
        rows = np.stack([self.row(prefix) for prefix in prefixes])
        return NextRows(logprobs=rows, logits=None, logz=None)


class Startless(Dice):
    """Dice that need nothing before the first token."""

    def start_logprobs(self) -> FloatVocab:
        """Return the row of a sequence's first token."""
        return self.row(())


class Never(Dice):
    """Dice that never show the second letter, nor anything after it."""

    def drawn(self, prefix: tuple[int, ...]) -> FloatVocab:
        """Return the drawn row without the pieces from the second on."""
        row = super().drawn(prefix)
        row[3:] = -np.inf
        return row


def sequences(
    model: Dice, context: tuple[int, ...], text: str
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield C(text) with probabilities: ever longer sequences, up to the one that reaches it."""
    pieces = model.tokenizer.pieces
    stack: list[tuple[tuple[int, ...], str, float]] = [((), "", 1.0)]
    while stack:
        tokens, said, probability = stack.pop()
        if len(said) >= len(text):
            if said.startswith(text):
                yield tokens, probability
        elif text.startswith(said):
            row = np.exp(model.row((*context, *tokens)))
            for i, piece in enumerate(pieces):
                stack.append(((*tokens, 2 + i), said + piece, probability * float(row[2 + i])))


def truth(model: Dice, x: str, y: str, *, stop: bool = False) -> float:
    """Return the probability of y after x by its definition, every spelling written out."""
    start = () if model.tokenizer.bos_id is None else (BOS,)
    ids = (*start, *model.tokenizer.encode(x, parse_special=False))
    context, rest = (ids[:-1], model.tokenizer.token_text(ids[-1])) if x else (ids, "")
    above = [
        probability * (math.exp(model.row((*context, *tokens))[END]) if stop else 1.0)
        for tokens, probability in sequences(model, context, rest + y)
        if not stop or model.tokenizer.decode(tokens) == rest + y
    ]
    below = [probability for _, probability in sequences(model, context, rest)]
    return math.fsum(above) / math.fsum(below)


pieces = st.sets(
    st.sampled_from(("aa", "ab", "ba", "bb", "aab", "aba", "bab", "abba")), max_size=6
).map(lambda more: ("a", "b", *sorted(more)))
strings = st.text("ab", max_size=3)
models = st.builds(Dice, pieces.map(Letters), st.integers(0, 2**32))


def test_the_fakes_keep_the_protocols() -> None:
    """The dice are a Predictive model and the letters a Tokenizer."""
    assert isinstance(Letters(("a", "b")), Tokenizer)
    assert isinstance(Dice(Letters(("a", "b")), 0), Predictive)


@given(model=models, x=strings, y=strings, stop=st.booleans())
def test_it_is_the_sum_over_all_spellings(model: Dice, x: str, y: str, *, stop: bool) -> None:
    """With budget to spare the value is exact and the definition's, to 1e-12."""
    found = marginal(model, x, y, end="stop" if stop else "open", end_ids=(END,), budget=ENDLESS)
    assert found.exact
    assert found.lower == found.logprob == found.upper
    expected = math.log(truth(model, x, y, stop=stop))
    assert found.logprob == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)


@given(seed=st.integers(0, 2**32), more=pieces, x=strings, y=strings)
def test_a_model_that_needs_no_start_begins_with_the_first_token(
    seed: int, more: tuple[str, ...], x: str, y: str
) -> None:
    """Where nothing stands before the first token, its row is the start of every spelling."""
    model = Startless(Letters(more, adds_bos=False, bos_id=None), seed)
    found = marginal(model, x, y, budget=ENDLESS)
    assert found.logprob == pytest.approx(math.log(truth(model, x, y)), abs=TOLERANCE)
    assert not any("start_token" in note for note in found.warnings)


@given(model=models, x=strings, y=strings, stop=st.booleans(), budget=st.integers(1, 12))
def test_the_truth_lies_within_the_bounds_at_every_budget(
    model: Dice, x: str, y: str, *, stop: bool, budget: int
) -> None:
    """lower <= log Pr <= upper and lower <= logprob <= upper, however little is expanded."""
    found = marginal(model, x, y, end="stop" if stop else "open", end_ids=(END,), budget=budget)
    expected = math.log(truth(model, x, y, stop=stop))
    assert found.lower - TOLERANCE <= expected <= found.upper + TOLERANCE
    assert found.lower <= found.logprob <= found.upper <= 0.0
    assert found.prefixes <= budget
    assert found.exact == (found.lower == found.upper)


@fewer
@given(model=models, x=strings, size=st.integers(1, 3), ends=st.booleans())
def test_strings_of_one_length_share_the_mass_of_those_that_get_there(
    model: Dice, x: str, size: int, *, ends: bool
) -> None:
    """Over all strings of one length the probabilities sum to 1, or below where outputs may end."""
    model = Dice(model.tokenizer, model.seed, ends=ends)
    total = math.fsum(
        math.exp(marginal(model, x, "".join(letters), budget=ENDLESS).logprob)
        for letters in itertools.product("ab", repeat=size)
    )
    if ends:
        assert total < 1.0 + TOLERANCE
    else:
        assert total == pytest.approx(1.0, abs=TOLERANCE)


@fewer
@given(model=models, x=strings, y=strings)
def test_extending_a_string_cannot_make_it_more_probable(model: Dice, x: str, y: str) -> None:
    """Pr(y) = Pr(ya) + Pr(yb) + Pr(exactly y), so each part is at most the whole."""
    whole = math.exp(marginal(model, x, y, budget=ENDLESS).logprob)
    parts = [math.exp(marginal(model, x, y + more, budget=ENDLESS).logprob) for more in "ab"]
    exact = marginal(model, x, y, end="stop", end_ids=(END,), budget=ENDLESS)
    assert math.fsum([*parts, math.exp(exact.logprob)]) == pytest.approx(whole, abs=TOLERANCE)


@given(seed=st.integers(0, 2**32), x=strings, y=strings)
def test_with_one_token_a_letter_there_is_one_spelling(seed: int, x: str, y: str) -> None:
    """Where every token is one letter, the value is the plain sum over y's tokens."""
    model = Dice(Letters(("a", "b")), seed)
    ids = [BOS, *model.tokenizer.encode(x, parse_special=False)]
    expected = 0.0
    for token in model.tokenizer.encode(y, parse_special=False):
        expected += float(model.row(ids)[token])
        ids.append(token)
    assert marginal(model, x, y).logprob == pytest.approx(expected, abs=TOLERANCE)


@fewer
@given(model=models, x=strings, y=strings)
def test_batches_do_not_change_the_value(model: Dice, x: str, y: str) -> None:
    """Prefixes asked one at a time give the value that they give together."""
    many = marginal(model, x, y, budget=ENDLESS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_marginal, "_BATCH", 1)
        one = marginal(model, x, y, budget=ENDLESS)
    assert one.logprob == pytest.approx(many.logprob, abs=TOLERANCE)
    assert one.prefixes == many.prefixes


def test_the_own_spelling_is_tried_first() -> None:
    """A budget of the own spelling's length finds that spelling: the lower bound is finite."""
    model = Dice(Letters(("a", "b", "ab", "ba", "bb")), 7)
    y = "abba" * 4
    size = len(model.tokenizer.encode("a" + y, parse_special=False))
    found = marginal(model, "ba", y, budget=size)
    assert not found.exact
    assert -np.inf < found.lower < found.upper


def test_what_cannot_change_a_digit_is_not_searched() -> None:
    """The search stops, exact, where all that is left is lost in the sum's rounding."""

    class Sure(Dice):
        """Dice that show the first piece but for e^−50."""

        def drawn(self, prefix: tuple[int, ...]) -> FloatVocab:
            """Return log 1 for the first piece and −50 for the others."""
            del prefix
            return np.where(np.arange(self.vocab_size) == 2, 0.0, -50.0)

    model = Sure(Letters(("aaa", "a", "aa")), 0)
    found = marginal(model, "", "a" * 30, budget=ENDLESS)
    assert found.exact
    assert found.prefixes < 20
    assert found.logprob == pytest.approx(0.0, abs=TOLERANCE)


def test_a_start_token_that_is_added_is_said() -> None:
    """Where a' is empty, auto feeds the start token and warns once; always feeds it unsaid."""
    letters = Letters(("a", "b", "ab"), adds_bos=False)
    model = Dice(letters, 4)
    added = marginal(model, "a", "b")
    assert [note.partition(":")[0] for note in added.warnings] == [
        "no_separator",
        "start_token_added",
    ]
    asked = marginal(model, "a", "b", bos="always")
    assert asked.logprob == added.logprob
    assert len(asked.warnings) == 1


def test_an_empty_string_is_certain_and_its_end_is_one_step() -> None:
    """An empty y has log Pr 0 under open; under stop after an empty x, it is log Pr(END | BOS)."""
    model = Dice(Letters(("a", "ab", "b")), 3)
    for x in ("", "a", "ab"):
        assert marginal(model, x, "").logprob == 0.0
        assert marginal(model, x, "").exact
    stopped = marginal(model, "", "", end="stop", end_ids=(END,))
    assert stopped.logprob == pytest.approx(float(model.row([BOS])[END]), abs=TOLERANCE)


def test_several_end_tokens_are_one_outcome() -> None:
    """Under stop the numerator takes the sum over the end tokens."""
    model = Dice(Letters(("a", "b")), 11)
    found = marginal(model, "b", "a", end="stop", end_ids=(END, 3))
    row = model.row([BOS])
    after = model.row([BOS, 3])
    last = model.row([BOS, 3, 2])
    assert row[3] < 0
    expected = float(after[2]) + float(np.logaddexp(last[END], last[3]))
    assert found.logprob == pytest.approx(expected, abs=TOLERANCE)


def test_a_string_that_no_spelling_reaches_is_impossible() -> None:
    """Where every spelling has probability zero, log Pr is -inf, and exactly so."""
    found = marginal(Never(Letters(("a", "b")), 5), "a", "ab")
    assert found.exact
    assert found.lower == found.logprob == found.upper == -np.inf


def test_the_vocabulary_is_looked_up_by_what_tokens_begin_with() -> None:
    """`beginning_with` and `within` are the two ways a token and a text can agree; END never."""
    tokenizer = Letters(("a", "ab", "abb", "b", "a"))
    vocabulary = spellings(tokenizer, tokenizer.vocab_size)
    assert set(vocabulary.beginning_with(b"ab").tolist()) == {3, 4}
    assert set(vocabulary.beginning_with(b"").tolist()) == {2, 3, 4, 5, 6}
    assert sorted(vocabulary.within(b"aba")) == [(2, 1), (3, 2), (6, 1)]
    assert set(spellings(tokenizer, 4).beginning_with(b"").tolist()) == {2, 3}


def test_impossible_prompts_are_an_error() -> None:
    """Nothing is conditioned on a prompt that the model gives no probability at all."""
    with pytest.raises(QueryError, match="no probability however it is spelled"):
        marginal(Never(Letters(("a", "b")), 1), "ab", "a")


def test_what_cannot_be_asked_is_refused() -> None:
    """Budgets below 1, nothing before the first token, and texts over the context are errors."""
    model = Dice(Letters(("a", "b")), 1)
    with pytest.raises(QueryError, match="at least 1; found 0"):
        marginal(model, "a", "b", budget=0)
    with pytest.raises(EmptyContextError, match="bos='always'"):
        marginal(model, "a", "b", bos="never")
    with pytest.raises(ContextLengthError, match="66 tokens, the model's context is 64"):
        marginal(model, "a" * 60, "b" * 5)


def test_sequences_over_the_context_stay_in_the_upper_bound() -> None:
    """A spelling that does not fit into the context is not expanded, and its mass not forgotten."""
    model = Dice(Letters(("a", "aa")), 2, context_length=4)
    found = marginal(model, "a", "aaaa")
    assert not found.exact
    assert found.lower <= math.log(truth(model, "a", "aaaa")) <= found.upper
