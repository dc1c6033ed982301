"""How a recording gets to the disk: what is taken in, the files that grow, the file that is left.

Nothing here holds more than one row of logits at a time, and nothing loads a framework.
"""

from __future__ import annotations
