"""The rules for keys, the same in every workspace."""

from ci_toolkit.errors import WorkspaceError

__all__ = ["check_key", "check_prefix", "is_key"]

_LONGEST = 1000


def is_key(text: str) -> bool:
    """Whether a text can be a key: 1 to 1,000 bytes of UTF-8 in parts joined by `/`."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return False
    plain = len(encoded) <= _LONGEST and "\0" not in text
    return plain and not any(part in ("", ".", "..") for part in text.split("/"))


def check_key(key: str) -> None:
    """Refuses what is no key.

    Raises:
        WorkspaceError: The text can be no key.
    """
    if not is_key(key):
        raise WorkspaceError(
            f"{key[:100]!r} is no key: 1 to {_LONGEST} bytes of UTF-8, in parts joined by '/', "
            "none of them empty, '.' or '..', without NUL."
        )


def check_prefix(prefix: str) -> None:
    """Refuses what is no prefix: neither empty nor parts each followed by `/`.

    Raises:
        WorkspaceError: The text can be no prefix.
    """
    if prefix and not (prefix.endswith("/") and is_key(prefix[:-1])):
        raise WorkspaceError(
            f"{prefix[:100]!r} is no prefix: empty, or parts each followed by '/'."
        )
