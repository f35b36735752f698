"""Log records that say whose call they belong to."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from ci_toolkit.scope import Scope

__all__ = ["ScopeFilter", "scoped", "scoped_logger"]

_scope: ContextVar[Scope | None] = ContextVar("ci_toolkit_scope", default=None)


class ScopeFilter(logging.Filter):
    """Gives each log record `user_id`, `session_id` and `branch` of the call that it belongs to.

    They are empty outside a call. Put it on a handler for the records of all libraries; those of
    this one have it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass."""
        scope = _scope.get()
        record.user_id = scope.user_id if scope else ""
        record.session_id = scope.session_id if scope else ""
        record.branch = scope.branch if scope else ""
        return True


_FILTER: Final = ScopeFilter()


def scoped_logger(name: str) -> logging.Logger:
    """The logger of this name, whose records carry the scope."""
    logger = logging.getLogger(name)
    logger.addFilter(_FILTER)
    return logger


@contextmanager
def scoped(scope: Scope) -> Iterator[None]:
    """Log records in this block, and in copies of its context, belong to this scope."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)
