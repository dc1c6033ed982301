"""How well, and how fast, the audit names the computation behind a file of claims."""
