"""Sandboxes of other frameworks as backends: a `Place` for each, and one `Sandbox` over all.

Such a sandbox runs shell commands and takes and gives files. Everything else that the seam
promises is done by the programs of `errands`, so it needs Linux and a `python3` of 3.9 or later.
"""

from ci_toolkit.backends.foreign.backend import ForeignBackend, Opened
from ci_toolkit.backends.foreign.place import Place

__all__ = ["ForeignBackend", "Opened", "Place"]
