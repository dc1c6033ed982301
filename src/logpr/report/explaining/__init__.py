"""What the HTML of an explanation draws: bars, strips, curves and tables, laid out as values."""

from logpr.report.explaining.document import embedded, fragment, index, page

__all__ = ["embedded", "fragment", "index", "page"]
