"""What has to be ended with the process: at its regular end, and by SIGTERM."""

import os
import signal
import weakref
from collections.abc import Callable
from threading import Thread, current_thread, main_thread
from types import FrameType
from typing import Any, Final

__all__ = ["end_with_the_process"]

_PATIENCE_SECONDS: Final = 10.0
_ends: list["weakref.finalize[..., Any]"] = []


def end_with_the_process(owner: object, end: Callable[[], None]) -> "weakref.finalize[..., Any]":
    """Calls `end` once: when `owner` is gone, when the process ends, or when SIGTERM comes.

    SIGTERM is heard only where nobody else does: a program's own handler is left alone, and ends
    the process regularly. In a fork of this process nothing is ended.

    Args:
        owner: Whose end it is; `end` must not refer to it.
        end: Never raises.
    """
    finalizer = weakref.finalize(owner, _if_here, os.getpid(), end)
    _ends[:] = [*(each for each in _ends if each.alive), finalizer]
    if current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    return finalizer


def _if_here(process: int, end: Callable[[], None]) -> None:
    if os.getpid() == process:
        end()


def _terminate(number: int, _frame: FrameType | None) -> None:
    # The main thread stands still here, perhaps with a lock in its hands: it waits, but not for
    # ever.
    ending = Thread(target=_end_all, daemon=True)
    ending.start()
    ending.join(_PATIENCE_SECONDS)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _end_all() -> None:
    # What came later uses what came before: sessions let go of what is not theirs to end.
    for finalizer in reversed(_ends):
        finalizer()
