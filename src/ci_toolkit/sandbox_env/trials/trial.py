"""One small real thing that is done with a library; the shape of what this folder holds."""

from dataclasses import dataclass

__all__ = ["Trial"]


@dataclass(frozen=True)
class Trial:
    """A program that fails unless the library did its work.

    Attributes:
        does: What it does, in a few words for a table.
        code: Python that runs in a fresh sandbox without network, in its working directory.
    """

    does: str
    code: str
