"""Decoding: outputs that maximise an objective, and what is proven about them."""
