"""The scoring engine against the machine's matmul rate and against its peers."""
