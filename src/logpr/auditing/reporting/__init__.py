"""The report: words, rows side by side, the damage."""
