"""Benchmarks of logpr: `start.py` (cold start) and `engine` (scoring)."""
