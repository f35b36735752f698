"""What a scripted model says, turn by turn; one script drives the models of every framework."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

__all__ = ["Calls", "Script", "Turn"]

Calls: TypeAlias = Sequence[tuple[str, Mapping[str, Any]]]
"""Tool calls made side by side: each the name of a tool and its arguments."""

Turn: TypeAlias = "str | Calls | Callable[[str], Turn]"
"""What a model says at once: a final text, tool calls, or what a function makes of the text of the
results that came last."""


class Script:
    """Turns, said one after the other.

    Args:
        turns: In order.
    """

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = tuple(turns)
        self._said = 0

    def next(self, results: str) -> str | Calls:
        """The next turn.

        Args:
            results: The text of the tool results that the model was just given.

        Raises:
            RuntimeError: All has been said.
        """
        if self._said == len(self._turns):
            raise RuntimeError(f"The script has {self._said} turns, and all of them were said.")
        turn = self._turns[self._said]
        self._said += 1
        while callable(turn):
            turn = turn(results)
        return turn
