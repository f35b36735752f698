"""Runs of commands: what the program is told, and the `Execution` that its answer makes."""

from collections.abc import Sequence

from ci_toolkit.backends.errands.programs import Reply
from ci_toolkit.backends.errands.refusals import number
from ci_toolkit.errors import BackendUnavailableError
from ci_toolkit.results import Execution

__all__ = ["command_header", "read_execution"]

_OUTPUT_BYTES = 128 * 1024
_OUTPUT_FILE_BYTES = 64 * 1024 * 1024
_LIVE_BYTES = 1024 * 1024
_LONGEST_NAME = 100


def command_header(
    timeout: float,
    *,
    script: Sequence[str] = (),
    suffix: str = "",
    live: bool = False,
    sandbox: str = "",
) -> dict[str, object]:
    """The arguments of the program `command`.

    Args:
        timeout: Seconds after which it ends what it runs.
        script: What runs a script, before the name of its file; none for a shell command.
        suffix: Of that name, such as `.py`.
        live: Whether output is passed on while it appears, as far as that is bounded.
        sandbox: Marks what is started, for the program `sweep`.
    """
    return {
        "timeout": timeout,
        "keep": _OUTPUT_BYTES,
        "keep_all": _OUTPUT_FILE_BYTES,
        "script": list(script),
        "suffix": suffix,
        "live": _LIVE_BYTES if live else 0,
        "sandbox": sandbox,
    }


def read_execution(reply: Reply, *, started: float, received: float) -> Execution:
    """How a command ended.

    Args:
        reply: Of the program `command`.
        started: When it was sent, by this machine's clock.
        received: When the answer was there.

    Raises:
        BackendUnavailableError: The program answered with nonsense.
    """
    header = reply.header
    ended, code, file = header.get("ended"), header.get("exit_code"), header.get("output_file")
    if ended not in ("completed", "timed_out", "interrupted") or not isinstance(code, int):
        raise BackendUnavailableError("The command in the sandbox ended without saying how.")
    stdout, stderr, total = _streams(header, reply.payload)
    is_file = isinstance(file, str) and file.startswith(".ci/") and len(file) < _LONGEST_NAME
    seconds, waited = header.get("duration"), max(received - started, 0.0)
    is_time = isinstance(seconds, int | float) and 0 <= seconds <= waited
    return Execution(
        stdout=stdout,
        stderr=stderr,
        exit_code=code,
        ended=ended,
        started=started,
        duration=seconds if is_time and isinstance(seconds, int | float) else waited,
        output_file=str(file) if is_file else "",
        output_bytes=total if is_file else 0,
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
