"""The search: which computation reproduces every claim."""
