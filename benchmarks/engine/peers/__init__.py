"""Scorers, one framework a file: logpr itself, the float64 reference, and the peers."""
