"""Turns answers of the service into `Execution`s; used by `AgentCoreSandbox`."""

from ci_toolkit.backends.agentcore.programs import Reply
from ci_toolkit.backends.agentcore.refusals import number
from ci_toolkit.backends.agentcore.runs import Ran
from ci_toolkit.errors import BackendUnavailableError
from ci_toolkit.results import Execution

__all__ = ["of_code", "of_command", "without_answer"]

_CHARACTERS = 16 * 1024 * 1024
_LONGEST_NAME = 100


def of_code(ran: Ran, *, stateful: bool) -> Execution:
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


def of_command(ran: Ran, reply: Reply) -> Execution:
    """How a command ended.

    Raises:
        BackendUnavailableError: The program that ran it answered with nonsense.
    """
    header = reply.header
    ended, code, file = header.get("ended"), header.get("exit_code"), header.get("output_file")
    if ended not in ("completed", "timed_out", "interrupted") or not isinstance(code, int):
        raise BackendUnavailableError("The command in the sandbox ended without saying how.")
    stdout, stderr, total = _streams(header, reply.payload)
    is_file = isinstance(file, str) and file.startswith(".ci/") and len(file) < _LONGEST_NAME
    seconds = header.get("duration")
    return Execution(
        stdout=stdout,
        stderr=stderr,
        exit_code=code,
        ended=ended,
        started=ran.started,
        duration=_duration(ran, seconds if isinstance(seconds, int | float) else None),
        output_file=str(file) if is_file else "",
        output_bytes=total if is_file else 0,
    )


def without_answer(ran: Ran, *, state_kept: bool = False) -> Execution:
    """How a run ended whose output was lost with its process or its session."""
    return Execution(
        exit_code=1,
        ended=ran.ended,
        state_kept=state_kept,
        started=ran.started,
        duration=_duration(ran, None),
    )


def _streams(header: dict[str, object], payload: bytes) -> tuple[str, str, int]:
    sizes, totals = header.get("sizes"), header.get("totals")
    if not isinstance(sizes, list) or not isinstance(totals, list):
        raise BackendUnavailableError("The command in the sandbox ended without its output.")
    flat = [size for pair in sizes if isinstance(pair, list) for size in pair]
    named = dict(zip(("a", "b", "c", "d", "out", "err"), [*flat, *totals], strict=False))
    cuts = [number(named, key, most=len(payload)) for key in "abcd"]
    out, err = number(named, "out"), number(named, "err")
    parts, start = [], 0
    for cut in cuts:
        parts.append(payload[start : start + cut])
        start += cut
    return _joined(parts[0], parts[1], out), _joined(parts[2], parts[3], err), out + err


def _joined(head: bytes, tail: bytes, total: int) -> str:
    left_out = total - len(head) - len(tail)
    if left_out <= 0:
        return (head + tail).decode(errors="replace")
    # At the cut a character may be broken, and is left out with the rest.
    ends = head.decode(errors="ignore"), tail.decode(errors="ignore")
    return f"{ends[0]}\n[... {left_out} bytes left out ...]\n{ends[1]}"


def _whole(text: str) -> str:
    """A stream with the end of its last line, within its bound."""
    if len(text) > _CHARACTERS:
        half = _CHARACTERS // 2
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n[... {left_out} characters left out ...]\n{text[-half:]}"
    return text if not text or text.endswith("\n") else text + "\n"


def _duration(ran: Ran, seconds: float | None) -> float:
    waited = max(ran.received - ran.started, 0.0)
    return waited if seconds is None or not 0 <= seconds <= waited else seconds
