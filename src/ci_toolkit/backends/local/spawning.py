"""One thread that starts all sandboxes, because a sandbox dies with the thread that started it."""

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["spawn"]

Result = TypeVar("Result")

_lock = threading.Lock()
_orders: queue.SimpleQueue[Callable[[], None]] | None = None


def spawn(start: Callable[[], Result]) -> Result:
    """Calls a function in a thread that lives as long as this process, and gives its result."""
    future: Future[Result] = Future()

    def order() -> None:
        try:
            future.set_result(start())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            future.set_exception(error)

    _queue().put(order)
    return future.result()


def _queue() -> "queue.SimpleQueue[Callable[[], None]]":
    global _orders  # noqa: PLW0603 - one thread per process is the point
    with _lock:
        if _orders is None:
            _orders = queue.SimpleQueue()
            threading.Thread(
                target=_serve, args=(_orders,), name="ci-toolkit-spawner", daemon=True
            ).start()
        return _orders


def _serve(orders: "queue.SimpleQueue[Callable[[], None]]") -> None:
    while True:
        orders.get()()


def _forget() -> None:
    """A forked process has no such thread yet."""
    global _orders, _lock
    _orders, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
