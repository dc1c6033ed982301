"""Decoding: how often common methods find the mode, and what a proof of it costs."""
