"""Lists that come page by page, and times as the API writes them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ci_toolkit.emulator.refusals import invalid

__all__ = ["page", "timestamp"]


def timestamp(seconds: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def page(
    items: list[dict[str, Any]], members: Mapping[str, Any], *, key: str, default: int = 10
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One page of a list, and its `nextToken` if there are more.

    Args:
        items: All of it.
        members: Of the request: `maxResults`, `nextToken`.
        key: The member of an item that tells it from the others.
        default: How many are on a page.

    Raises:
        Refusal: The token is none of ours.
    """
    start = 0
    if (token := members.get("nextToken")) is not None:
        places = [n for n, item in enumerate(items, 1) if item[key] == token]
        if not places:
            fields = [("nextToken", "The token is not valid.")]
            raise invalid("The pagination token is not valid.", fields=fields)
        start = places[0]
    end = start + members.get("maxResults", default)
    return items[start:end], {"nextToken": items[end - 1][key]} if end < len(items) else {}
