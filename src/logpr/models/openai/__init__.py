"""OpenAI-compatible completion endpoints as models: what they say, checked when they are opened."""

from __future__ import annotations

from logpr.models.openai.model import EndpointModel, open_endpoint

__all__ = ["EndpointModel", "open_endpoint"]
