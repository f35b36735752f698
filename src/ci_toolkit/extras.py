"""A missing optional library, answered with what to install; used where such a library is known."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["extra"]


@contextmanager
def extra(name: str, *modules: str) -> Iterator[None]:
    """Says what to install where an import in the `with` block misses an optional library.

    Args:
        name: The extra of this package.
        modules: The top-level modules that it brings.

    Raises:
        ImportError: One of the modules is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in modules:
            raise
        raise ImportError(
            f"ci_toolkit.{name} needs {missing!r}, which is not installed. "
            f"Install it with: pip install 'ci-toolkit[{name}]'",
            name=error.name,
        ) from error
