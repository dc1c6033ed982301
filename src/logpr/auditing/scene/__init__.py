"""What is audited, in token ids, with the rows of the evidence."""
