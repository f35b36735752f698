"""Turns answers of the service into `Execution`s; used by `AgentCoreSandbox`."""

from ci_toolkit.backends.agentcore.answers import Answer
from ci_toolkit.backends.errands.watch import Ran
from ci_toolkit.results import Execution

__all__ = ["of_code", "without_answer"]

_CHARACTERS = 16 * 1024 * 1024


def of_code(ran: Ran[Answer], *, stateful: bool) -> Execution:
    """How code ended.

    The service strips both streams at both ends. The line end of the last line is put back, since
    nearly every output has one; blanks before the first line stay lost.

    Args:
        ran: The run.
        stateful: Whether its language keeps variables, which an interrupt does not touch.
    """
    answer = ran.answer
    if answer is None:
        return without_answer(ran)
    # A call that failed before any code began has text and nothing else.
    told = not answer.structured
    code = answer.exit_code or int(answer.is_error)
    return Execution(
        stdout=_whole("" if told and answer.is_error else answer.text if told else answer.stdout),
        stderr=_whole(answer.text if told and answer.is_error else answer.stderr),
        exit_code=code or int(ran.ended != "completed"),
        ended=ran.ended,
        state_kept=stateful or ran.ended == "completed",
        images=answer.images,
        started=ran.started,
        duration=_duration(ran, answer.seconds),
    )


def without_answer(ran: Ran[Answer], *, state_kept: bool = False) -> Execution:
    """How a run ended whose output was lost with its process or its session."""
    return Execution(
        exit_code=1,
        ended=ran.ended,
        state_kept=state_kept,
        started=ran.started,
        duration=_duration(ran, None),
    )


def _whole(text: str) -> str:
    """A stream with the end of its last line, within its bound."""
    if len(text) > _CHARACTERS:
        half = _CHARACTERS // 2
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n[... {left_out} characters left out ...]\n{text[-half:]}"
    return text if not text or text.endswith("\n") else text + "\n"


def _duration(ran: Ran[Answer], seconds: float | None) -> float:
    waited = max(ran.received - ran.started, 0.0)
    return waited if seconds is None or not 0 <= seconds <= waited else seconds
