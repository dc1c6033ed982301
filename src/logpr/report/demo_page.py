"""A worked example as one HTML document that needs no other file."""

from __future__ import annotations

import base64

from logpr.report.demo import Story
from logpr.report.demo_picture import svg
from logpr.report.html import _render, explanation


def page(story: Story) -> str:
    """Return the steps of a story, its picture at the head and its explanation at the end.

    It runs no script of its own and loads nothing; its policy forbids both.
    """
    # As an image of its own, so that its style stays off the page.
    picture = base64.b64encode(svg(story.picture).encode()).decode("ascii")
    whole = story.explanation
    return _render(
        "demo.html.j2",
        story=story,
        picture=f"data:image/svg+xml;base64,{picture}",
        explanation=None if whole is None else explanation(whole),
    )
