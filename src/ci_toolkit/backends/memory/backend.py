"""The fake of the house, public: a backend that does what it was told in advance."""

from collections.abc import Callable, Mapping
from itertools import count
from secrets import token_hex
from threading import Lock
from time import time

from ci_toolkit.backends.base import Abilities
from ci_toolkit.backends.memory.sandbox import InMemorySandbox
from ci_toolkit.backends.memory.script import Call, Fault, Line, Reply, Script, TextMatch
from ci_toolkit.errors import SandboxLostError

__all__ = ["InMemoryBackend"]


class InMemoryBackend:
    """Starts sandboxes without processes, threads or disk, for tests, demonstrations and notebooks.

    Runs are answered by scripted replies; commands always are. Files are real and live in a
    dictionary. Faults happen on demand, and every call is noted in `calls`.

    ```python
    backend = InMemoryBackend()
    backend.reply("print(6 * 7)", "42")                            # a text is its stdout
    backend.reply("1 / 0", Execution(stderr="ZeroDivisionError", exit_code=1))
    backend.reply("while True: pass", "", takes=1000)               # times out, without waiting
    backend.reply_command(lambda command: command.startswith("pip"), "Successfully installed")

    def chart(request):                                             # a function can do the work
        request.files.write("chart.png", png)
        return "saved"

    backend.reply(lambda code: "savefig" in code, chart, times=2)
    backend.fail("execute_code", SandboxLostError("gone", may_have_run=True))
    backend.fail("start", ThrottledError("slow down"), times=3)

    sandbox = backend.start(name="test")
    backend.lose(sandbox)
    assert backend.calls == [Call(sandbox.id, "start", {"name": "test"})]
    assert not backend.sandboxes                                     # none is left open
    ```

    With `run_python=True` Python without a scripted reply runs in this process, with variables
    that stay: output, values of last expressions, tracebacks and exit codes as from a kernel. It
    is for trusted code only, cannot be interrupted, whatever the time limit says, and sees the
    sandbox's files where `ci_toolkit.backends.memory.opening` says.

    Attributes:
        calls: Every call so far, in order.
        started: How many sandboxes were started.

    Args:
        run_python: Whether Python without a reply is run.
        replies: Exact code and what answers it, always.
        commands: Exact commands and what answers them, always.
        languages: What sandboxes take.
        abilities: What the backend says it can do, where that matters.
        ttl: Seconds after which a sandbox is lost; None for never.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        *,
        run_python: bool = False,
        replies: Mapping[str, Reply] | None = None,
        commands: Mapping[str, Reply] | None = None,
        languages: tuple[str, ...] = ("python", "javascript", "typescript"),
        abilities: Abilities | None = None,
        ttl: float | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self.calls: list[Call] = []
        self.started = 0
        self._run_python = run_python
        self._languages = languages
        self._abilities = abilities or Abilities(
            network="none",
            stateful=frozenset(languages),
            interrupt=not run_python,
            attach=True,
            figures=False,
        )
        self._ttl = ttl
        self._clock = clock
        self._script = Script()
        self._sandboxes: dict[str, InMemorySandbox] = {}
        self._numbers = count(1)
        self._lock = Lock()
        for code, reply in (replies or {}).items():
            self.reply(code, reply)
        for command, reply in (commands or {}).items():
            self.reply_command(command, reply)

    def __repr__(self) -> str:
        return f"InMemoryBackend({len(self.sandboxes)} open of {self.started} sandboxes)"

    @property
    def name(self) -> str:
        """`memory`."""
        return "memory"

    @property
    def languages(self) -> tuple[str, ...]:
        """As given."""
        return self._languages

    @property
    def abilities(self) -> Abilities:
        """As given; else attaching, live output, and interrupts of scripted functions."""
        return self._abilities

    @property
    def sandboxes(self) -> tuple[InMemorySandbox, ...]:
        """The sandboxes that are open."""
        return tuple(s for s in list(self._sandboxes.values()) if s.is_open)

    def reply(
        self, code: TextMatch, reply: Reply, *, times: int | None = None, takes: float = 0.0
    ) -> None:
        """Scripts what answers a code. The first reply that fits and is not used up answers.

        Args:
            code: The exact code, or what says of a code whether it is meant.
            reply: The run's stdout, all of it, an error to raise, or a function of the request.
            times: How many runs it answers; None for all.
            takes: Seconds that the run is said to take; over its time limit it has timed out.
        """
        self._script.add("execute_code", Line(code, reply, times, takes))

    def reply_command(
        self, command: TextMatch, reply: Reply, *, times: int | None = None, takes: float = 0.0
    ) -> None:
        """Scripts what answers a command; the arguments are those of `reply`."""
        self._script.add("execute_command", Line(command, reply, times, takes))

    def fail(self, verb: str, error: Exception, *, times: int | None = 1) -> None:
        """Makes the next calls of a verb raise an error before anything is done.

        A `SandboxLostError` ends the sandbox with it.

        Args:
            verb: One of `Sandbox`'s, or `start` or `attach`.
            error: What is raised.
            times: How many calls; None for all.
        """
        self._script.add_fault(Fault(verb, error, times))

    def lose(self, sandbox: InMemorySandbox | str) -> None:
        """Ends a sandbox, given itself or its id, as if its service had."""
        self._sandboxes[sandbox if isinstance(sandbox, str) else sandbox.id].lose()

    def start(self, *, name: str) -> InMemorySandbox:
        """Starts a new, empty sandbox."""
        if (error := self._script.fault("start")) is not None:
            self.calls.append(Call("", "start", {"name": name}))
            raise error
        with self._lock:
            self.started += 1
            sandbox = self._new(f"memory-{next(self._numbers)}-{token_hex(16)}")
            self._sandboxes[sandbox.id] = sandbox
        self.calls.append(Call(sandbox.id, "start", {"name": name}))
        return sandbox

    def attach(self, sandbox_id: str) -> InMemorySandbox:
        """Finds an open sandbox of this object again."""
        self.calls.append(Call(sandbox_id, "attach"))
        if (error := self._script.fault("attach")) is not None:
            raise error
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or not sandbox.is_open:
            raise SandboxLostError(f"There is no sandbox {sandbox_id!r}.", may_have_run=False)
        return sandbox

    def close(self) -> None:
        """Ends every sandbox."""
        for sandbox in self.sandboxes:
            sandbox.close()

    def _new(self, sandbox_id: str) -> InMemorySandbox:
        return InMemorySandbox(
            sandbox_id,
            script=self._script,
            calls=self.calls,
            languages=self._languages,
            run_python=self._run_python,
            clock=self._clock,
            expires_at=None if self._ttl is None else self._clock() + self._ttl,
        )
