"""The sentences that go with values: our words, and the user's texts set apart from them.

Terminal and HTML say the same; only how a user's text is set differs. Nothing is decided: who
leads, by how much, where the fork lies and what it gives are fields of the value. An audit's words
may order its rows and say of many numbers their range and median.
"""
