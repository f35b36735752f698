"""What the guest asks of a language: `Kernel` runs code where the variables of earlier runs are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pipes import Pipes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from output import Output

__all__ = ["Kernel", "Pipes", "Ran"]


@dataclass
class Ran:
    """How one run ended; the fields mean what those of the host's `Execution` mean.

    Attributes:
        exit_code: 0, 1 after an exception, the code given to an exit call, or the negative signal.
        ended: `completed`, `timed_out`, `interrupted` or `died`.
        state_kept: Whether the variables are still there.
        restarted: Whether the process before this run's was lost, with its variables.
        images: Media type, name and content of each picture.
    """

    exit_code: int = 0
    ended: str = "completed"
    state_kept: bool = True
    restarted: bool = False
    images: list[tuple[str, str, bytes]] = field(default_factory=list)


class Kernel(ABC):
    """A language whose variables stay from run to run.

    The process is started at the first run, or earlier by `prepare`, and replaced when it is gone.
    """

    @property
    @abstractmethod
    def pid(self) -> int:
        """The process that runs the code; 0 when there is none."""

    @abstractmethod
    def run(self, code: str, *, language: str, timeout: float, output: Output) -> Ran:
        """Runs code at most once; blocks until it has ended, which it does soon after `timeout`.

        Everything printed, tracebacks included, has been written to `output` on return.
        """

    def rearm(self) -> None:  # noqa: B027 - most kernels have nothing to forget
        """Forgets interrupts that came too late for the run before; called before each run."""

    @abstractmethod
    def interrupt(self) -> None:
        """Makes the run that is going on end as `interrupted`; from another thread."""

    @abstractmethod
    def close(self) -> None:
        """Ends the process and everything that it started."""
