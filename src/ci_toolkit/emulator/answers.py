"""Results of tools as the service words them: content blocks, and `structuredContent` of runs."""

import base64
from collections.abc import Iterable
from typing import Any

from ci_toolkit.results import Execution, Image

__all__ = ["Result", "exit_status", "ran", "ran_command", "terminal_text", "told"]

Result = dict[str, Any]
"""The payload of a `result` event."""


def told(text: str, *, error: bool = False) -> Result:
    """One text and nothing else."""
    return {"content": [{"type": "text", "text": text}], "isError": error}


def ran(execution: Execution, *, images: bool = False) -> Result:
    """What code did: both channels stripped, one text block for each that is not empty."""
    stdout, stderr = execution.stdout.strip(), execution.stderr.strip()
    pictures = execution.images if images else ()
    return _run(stdout, stderr, exit_status(execution), execution.duration, pictures)


def ran_command(execution: Execution) -> Result:
    """What a command did, as a terminal shows it: one channel, with carriage returns."""
    status = exit_status(execution)
    output = terminal_text(execution)
    stdout, stderr = ("", output) if status else (output, "")
    return _run(stdout, stderr, status, execution.duration)


def terminal_text(execution: Execution) -> str:
    """Both channels as a terminal shows them; control characters become question marks."""
    return (execution.stdout + execution.stderr).translate(_TERMINAL)


def exit_status(execution: Execution) -> int:
    """The status as a shell tells it."""
    code = execution.exit_code or int(execution.ended != "completed")
    return 128 - code if code < 0 else code


_CONTROL = (n for n in range(32) if chr(n) not in "\t\r\n")
_TERMINAL = str.maketrans({"\n": "\r\n", **{chr(n): "?" for n in _CONTROL}})


def _run(
    stdout: str, stderr: str, status: int, seconds: float, images: Iterable[Image] = ()
) -> Result:
    content: list[dict[str, object]] = [
        {"type": "text", "text": text} for text in (stdout, stderr) if text
    ]
    content += [
        {"type": "image", "data": base64.b64encode(i.data).decode(), "mimeType": i.media_type}
        for i in images
    ]
    return {
        "content": content,
        "structuredContent": {
            "stdout": stdout,
            "stderr": stderr,
            "exitCode": status,
            "executionTime": seconds,
        },
        "isError": status != 0,
    }
