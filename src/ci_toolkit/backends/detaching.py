"""A separate ability of some sandboxes: they can be let go of, and go on without this process."""

from typing import Protocol, runtime_checkable

__all__ = ["Detaching"]


@runtime_checkable
class Detaching(Protocol):
    """A sandbox of a backend that can `attach`, which goes on when its process lets go of it."""

    def detach(self) -> None:
        """Lets go of the sandbox, which nothing in this process ends any more.

        Idempotent; never raises. The object is not to be used any more; `Backend.attach` gives
        another one, here or in another process.
        """
        ...
