"""One finding of the doctor, and how a check is carried out: in bounded time, never raising."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from ci_toolkit.cli.options import in_options
from ci_toolkit.errors import CodeInterpreterError

__all__ = ["Finding", "Status", "carry_out"]

Status = Literal["ok", "off", "warn", "fail"]
"""It works; it is not set up, and need not be; it works less well than it could; it is broken."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What came out of one check.

    Attributes:
        check: What was tried.
        status: How it went.
        found: What is there.
        advice: What to do about it; empty where there is nothing to do.
        seconds: How long it took.
    """

    check: str
    status: Status
    found: str
    advice: str = ""
    seconds: float = 0.0


def carry_out(check: str, seconds: float, examine: Callable[[], Finding]) -> Finding:
    """Does a check, for so many seconds at most; whatever it raises is a finding."""
    findings: list[Finding] = []

    def begin() -> None:
        try:
            findings.append(examine())
        except CodeInterpreterError as error:
            first, _, rest = in_options(str(error)).partition("\n")
            findings.append(Finding(check=check, status="fail", found=first, advice=rest))
        except Exception as error:  # noqa: BLE001 - a defect of one check is a finding, too
            said = f"{type(error).__name__}: {error}"
            findings.append(Finding(check=check, status="fail", found=said))

    before = time.monotonic()
    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    thread.join(seconds)
    took = time.monotonic() - before
    if not findings:
        said = f"no answer within {seconds:g} s"
        return Finding(check=check, status="fail", found=said, seconds=took)
    return replace(findings[0], seconds=took)
