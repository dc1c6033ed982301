"""What the HTML of a decoding draws: the tree, its bounds over time and the ledger, laid out."""

from logpr.report.decoding.document import fragment, page

__all__ = ["fragment", "page"]
