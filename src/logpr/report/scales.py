"""The colours of surprisal: one fixed absolute scale in nats, so that pictures compare.

Lightness alone carries the order (one hue, pale to dark), so that it holds for every kind of
colour vision and in grey; the number always stands beside the colour.
"""

from __future__ import annotations

import math

CLAMP = 10.0
"""Surprisal, in nats, from which on the shade no longer changes: Pr = 4.5e-5."""

_PALE, _MIDDLE, _DARK = (255, 246, 224), (233, 148, 48), (112, 33, 12)
_UNSHADED_BELOW = 0.05
"""Tokens that were nearly certain keep the background: a page of them is no alarm."""


def level(logprob: float | None) -> float:
    """Return where the surprisal −`logprob` lies on the scale, 0 to 1 (null and NaN: 0)."""
    if logprob is None or math.isnan(logprob):
        return 0.0
    return min(1.0, max(0.0, -logprob / CLAMP))


def shade(logprob: float | None) -> tuple[str, str] | None:
    """Return background and text colours (#rrggbb) for a token, or None where none is due."""
    at = level(logprob)
    if at < _UNSHADED_BELOW:
        return None
    low, high, part = (_PALE, _MIDDLE, 2 * at) if at <= 0.5 else (_MIDDLE, _DARK, 2 * at - 1)  # noqa: PLR2004
    mixed = tuple(round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    # Rec. 709 luma: black on the pale half, white on the dark one.
    luma = 0.2126 * mixed[0] + 0.7152 * mixed[1] + 0.0722 * mixed[2]
    ink = "#000000" if luma > 110 else "#ffffff"  # noqa: PLR2004
    return "#{:02x}{:02x}{:02x}".format(*mixed), ink


FIRST, SECOND = "#0072b2", "#d55e00"
"""What speaks for the first of two candidates and what for the second.

A blue and an orange that every kind of colour vision tells apart (Okabe and Ito 2008), both
readable on dark and on light grounds; the sign of the number always stands beside them.
"""
