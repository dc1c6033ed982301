"""Recorded API responses: what their numbers show of themselves."""
