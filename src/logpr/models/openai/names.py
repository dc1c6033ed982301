"""From the names that servers give tokens to ids, where a name can mean one token alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import final

from logpr.tokens.base import Tokenizer

_ID = re.compile(r"token_id:([0-9]{1,18})")


@final
class Names:
    r"""What each token of a vocabulary may be called.

    A token may be called by its bytes as text, `bytes:\xe2` where they are part of a character,
    its id (`token_id:7`), a special token by its name, and each by what decoding it alone gives
    (which may lack the space of " the"). A name that two tokens may have means neither.

    Args:
        tokenizer: of the model behind the endpoint.
        vocab_size: ids run from 0 to this, exclusive.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        named: dict[str, set[int]] = defaultdict(set)
        by_bytes: dict[bytes, set[int]] = defaultdict(set)
        specials = tokenizer.special_ids
        for token in range(tokenizer.vocab_size):
            named[tokenizer.decode([token])].add(token)
            if token in specials:
                named[tokenizer.token_text(token)].add(token)
                continue
            piece = tokenizer.token_bytes(token)
            by_bytes[piece].add(token)
            named[_called(piece)].add(token)
        named.pop("", None)
        by_bytes.pop(b"", None)
        self._named = {name: min(ids) for name, ids in named.items() if len(ids) == 1}
        self._by_bytes = {piece: min(ids) for piece, ids in by_bytes.items() if len(ids) == 1}

    def of_name(self, name: str) -> int | None:
        """Return the token that a name means, or None where it may mean several, or none."""
        numbered = _ID.fullmatch(name)
        # A token that is spelt like this is called by its own id then, as all are.
        return self.of_id(int(numbered[1])) if numbered else self._named.get(name)

    def of_bytes(self, piece: Sequence[int]) -> int | None:
        """Return the one token that stands for some bytes, or None."""
        known = all(type(byte) is int and 0 <= byte < 2**8 for byte in piece)
        return self._by_bytes.get(bytes(piece)) if known else None

    def of_id(self, token: int) -> int | None:
        """Return an id of the vocabulary; None for one beyond it."""
        return token if 0 <= token < self._vocab_size else None

    def may_mean(self, name: str, token: int) -> bool:
        """Return whether nothing is known against a name's being that token's."""
        found = self.of_name(name)
        return found is None or found == token


def _called(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)
