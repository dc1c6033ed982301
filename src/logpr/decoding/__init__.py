"""Decoding: outputs that maximise an objective, and what is proven about them.

>>> import logpr
>>> from logpr.models.table import TableModel
>>> model = TableModel.from_dict(
...     {"tokens": ["x", "a", "."], "end": ["."], "kind": "probs", "order": 0,
...      "rows": {"": [0.1, 0.5, 0.4]}}
... )
>>> found = logpr.decode("x", model=model, max_new_tokens=3)
>>> found.certificate.status, found.best.token_ids
('optimal', ())
>>> logpr.decoding.verify(found.certificate, model=model).verified
True
"""

from __future__ import annotations

from logpr.decoding.verifier import verify

__all__ = ["verify"]
