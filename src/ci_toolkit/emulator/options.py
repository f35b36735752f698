"""How the emulator is to differ from the service's usual behaviour: one frozen record."""

from collections.abc import Callable
from dataclasses import dataclass
from time import time

__all__ = ["EmulatorOptions"]


@dataclass(frozen=True, kw_only=True)
class EmulatorOptions:
    """Settings of an `AgentCoreEmulator`.

    Attributes:
        latency: Seconds added to each call of a tool.
        start_latency: Seconds added to the start of a session.
        ttl: Seconds that every session lives, whatever its request says; None to obey the request.
        max_sessions: How many sessions may be open at once; None for any number.
        concurrent_invokes: How many calls of one session may be under way at once, more being
            refused; None for any number. The service is said to refuse the eleventh.
        payload_bytes: The largest request and the largest result.
        call_seconds: How long one call may run; the service's own limit is 15 minutes.
        keep_javascript_state: Whether JavaScript and TypeScript keep variables from call to call.
        images: Whether figures come back as image blocks; never seen of the service.
        litter: Whether a new session's directory holds the files of the service's own runtime.
        shell: Whether the backend's commands run in a real shell; None for all backends but
            `memory`. Without one, commands go to the backend word for word.
        region: The region in the names of resources.
        account: The account in the names of resources.
        clock: Seconds since the epoch; lifetimes are measured by it.
    """

    latency: float = 0.0
    start_latency: float = 0.0
    ttl: float | None = None
    max_sessions: int | None = None
    concurrent_invokes: int | None = None
    payload_bytes: int = 100_000_000
    call_seconds: float = 900.0
    keep_javascript_state: bool = False
    images: bool = False
    litter: bool = True
    shell: bool | None = None
    region: str = "us-east-1"
    account: str = "123456789012"
    clock: Callable[[], float] = time
