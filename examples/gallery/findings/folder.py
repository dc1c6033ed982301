"""Write a model of the suite as a transformers folder, and as GGUF beside it where gguf is there.

python folder.py toy|startless|padded_left|halves|… FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from logpr.conformance.adapters._gguf import write_gguf
from logpr.conformance.toy import toy
from logpr.conformance.toy.export import write_folder

name, folder = sys.argv[1], Path(sys.argv[2])
write_folder(toy(name), folder)
try:
    write_gguf(folder, folder / "model.gguf")
except ImportError as error:
    print("no model.gguf:", error)
