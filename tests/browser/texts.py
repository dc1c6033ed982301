"""Token texts that a page must show and never obey."""

from __future__ import annotations

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "closing": "</script></style></pre></title><script>alert(2)</script>",
    "attribute": "\"><img src=x onerror=alert(3)> ' onfocus=alert(4) autofocus '",
    "comment": "--><svg onload=alert(5)><!--",
    "template": "{{7*7}} {% raw %} ${7*7}",
    "link": "javascript:alert(6)",
    "style": "</style><style>*{display:none}@import url(http://example.com/x.css)",
    "entity": "&lt;b&gt; &amp;nbsp; &#x3c;script&#x3e;",
    "override": "abc\u202edcba\u202c \u2066\u2067\u2069\u200f",
    "right_to_left": "שלום עולם، مرحبا بالعالم",
    "marks": "e\u0301\u0301\u0301" + "\u0325" * 40 + "\u0488",
    "emoji": "👨‍👩‍👧‍👦🇨🇭❤️",
    "zero_width": "a\u200bb\u200dc\ufeffd\u2060",
    "lines": "a\nb\r\nc\u2028d\te",
    "controls": "\x00\x07\x1b[31m\x85",
    "bytes": "\udcf0\udc9f\udc98",
    "surrogate": "\ud83d",
    "long_word": "x" * 10_000,
    "long_text": "word " * 2_000,
    "wide": "日本語" * 500,
}
