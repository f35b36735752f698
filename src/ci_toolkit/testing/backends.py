"""The contract of `Backend` and `Sandbox`, in three parts: runs, files, and beginning and end."""

from typing import ClassVar

from ci_toolkit.testing.backend_files import FileContract
from ci_toolkit.testing.backend_life import LifeContract
from ci_toolkit.testing.backend_runs import COMMANDS, RunContract

__all__ = ["COMMANDS", "BackendContract"]


class BackendContract(RunContract, FileContract, LifeContract):
    """Checks a backend: subclass it and override the fixture `backend`.

    Attributes:
        patience: Seconds that a run which should end at once may take.
        large_file: Bytes of the file that has to be streamed.
        special_files: Whether sandboxes have links and FIFOs; the tests of them are skipped if not.
    """

    patience: ClassVar[float] = 60.0
    large_file: ClassVar[int] = 64 * 1024 * 1024
    special_files: ClassVar[bool] = True
