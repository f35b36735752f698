"""`AgentCoreBackend`: starts sessions of Amazon Bedrock AgentCore Code Interpreter."""

import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Literal

import boto3
from botocore.exceptions import BotoCoreError

from ci_toolkit.backends.agentcore.calls import Calls
from ci_toolkit.backends.agentcore.sandbox import LANGUAGES, STATEFUL, AgentCoreSandbox
from ci_toolkit.backends.agentcore.service import Service, Started
from ci_toolkit.backends.agentcore.settings import SYSTEM_INTERPRETER, Settings, Trace
from ci_toolkit.backends.base import Abilities, Sandbox
from ci_toolkit.backends.errands.pending import Pending
from ci_toolkit.backends.orphans import Leftover
from ci_toolkit.ends import end_with_the_process
from ci_toolkit.errors import ConfigurationError, SandboxLostError
from ci_toolkit.telemetry import scoped_logger

__all__ = ["AgentCoreBackend"]

_SESSION_ID = re.compile(r"[0-9a-zA-Z]{1,40}")
_LONGEST_NAME = 100
_START_SECONDS = 5.0
_log = scoped_logger(__name__)


class AgentCoreBackend:
    """Runs code in sessions of AgentCore Code Interpreter; a `Backend` of the seam.

    Code is sent at most once per call: nothing is repeated that may have begun. Each session costs
    memory until it ends, so all that were started here are stopped by `close`, or when this object
    or the interpreter ends.

    Args:
        region: AWS region; by default that of the boto3 session.
        identifier: The system's interpreter, or the id of one of your own.
        session_timeout: Seconds from its start at which the service ends a session, whatever is
            going on in it; 1 to 28,800.
        boto_session: Whose credentials are used; by default a new one, with what boto3 finds.
        endpoint_url: Another address of the service, such as that of the emulator.
        filesystem_configurations: EFS and S3 file systems to mount, as in the API.
        certificates: Certificates to install, as in the API.
        network: What code can reach, for the model to be told: `none` (the system's interpreter),
            or `internet` for one of your own in public mode. It is not set by this.
        concurrency: How many calls go on at one time, for which connections are kept.
        trace: Called before each request for its `traceId` and `traceParent`.

    Raises:
        ConfigurationError: A setting cannot be, or no region is known.
    """

    name = "agentcore"
    languages: tuple[str, ...] = LANGUAGES

    def __init__(  # noqa: PLR0913 - each is a setting of its own, by keyword only
        self,
        region: str | None = None,
        *,
        identifier: str = SYSTEM_INTERPRETER,
        session_timeout: int = 3600,
        boto_session: boto3.Session | None = None,
        endpoint_url: str | None = None,
        filesystem_configurations: Sequence[Mapping[str, object]] = (),
        certificates: Sequence[Mapping[str, object]] = (),
        network: Literal["none", "internet"] = "none",
        concurrency: int = 64,
        trace: Trace | None = None,
    ) -> None:
        session = boto_session or _default_session()
        self._settings = Settings(
            region=region or session.region_name or "",
            identifier=identifier,
            session_timeout=session_timeout,
            endpoint_url=endpoint_url,
            filesystem_configurations=tuple(filesystem_configurations),
            certificates=tuple(certificates),
            network=network,
            concurrency=concurrency,
            trace=trace,
        )
        self._service = Service(self._settings, session)
        self._started = _StartedCalls()
        self._finalizer = end_with_the_process(self, self._started.end)

    def __repr__(self) -> str:
        return f"AgentCoreBackend({self._settings.region!r}, {self._settings.identifier!r})"

    @property
    def abilities(self) -> Abilities:
        """What the service can do.

        Only Python is taken to keep variables. Figures come back through files that code saves:
        no picture has been seen in an answer.
        """
        return Abilities(
            network=self._settings.network,
            stateful=STATEFUL,
            live_output=False,
            attach=True,
            figures=False,
        )

    def start(self, *, name: str) -> Sandbox:
        """Starts a session; see `Backend.start`. A name is cut to 100 characters.

        Whoever does not wait for it, by Ctrl-C or SIGTERM, leaves no session behind.
        """

        def start(give_up: threading.Event) -> tuple[Calls, Started]:
            try:
                started = self._service.start(name[:_LONGEST_NAME] or self.name)
                calls = Calls(self._service, started.id, self._started.remove)
                self._started.add(calls)
            finally:
                self._started.come()
            _log.debug("Session %s is %r.", started.id, name)
            if give_up.is_set():
                calls.end("nobody waited for its start")
            return calls, started

        self._started.expect()
        try:
            pending = Pending(start)
        except RuntimeError:  # There can be no more threads.
            self._started.come()
            raise
        try:
            pending.woken.wait()
        except BaseException:
            pending.abandon()
            raise
        return self._sandbox(*pending.result())

    def attach(self, sandbox_id: str) -> Sandbox:
        """Finds a session that is ready; see `Backend.attach`. `close` does not end it."""
        lost = f"There is no session {sandbox_id[:50]!r} of {self._service.doing} that is ready."
        if not _SESSION_ID.fullmatch(sandbox_id):
            raise SandboxLostError(lost, may_have_run=False)
        found = self._service.find(sandbox_id)
        if found is None:
            raise SandboxLostError(lost, may_have_run=False)
        return self._sandbox(Calls(self._service, sandbox_id), found)

    def list_leftovers(self, prefix: str) -> tuple[Leftover, ...]:
        """Sessions that are ready and were started elsewhere; see `Orphans.list_leftovers`.

        The service does not know who uses a session, so that none is surely abandoned.
        """
        own = self._started.ids()
        return tuple(
            Leftover(id=found.id, name=found.name, started=found.started, abandoned=False)
            for found in self._service.ready()
            if found.name.startswith(prefix) and found.id not in own
        )

    def end_leftover(self, leftover_id: str) -> None:
        """Stops a session; see `Orphans.end_leftover`."""
        self._service.stop(leftover_id)

    def close(self) -> None:
        """Stops every session that this object started; see `Backend.close`."""
        self._started.end()
        self._service.disconnect()

    def _sandbox(self, calls: Calls, started: Started) -> Sandbox:
        return AgentCoreSandbox(calls, expires_at=started.expires_at, owner=self)


class _StartedCalls:
    """The sessions to stop; knows the backend not, which may be gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._come = threading.Condition(self._lock)
        self._expected = 0
        self._calls: dict[str, Calls] = {}
        self._process = os.getpid()

    def expect(self) -> None:
        """Says that a session is being started."""
        with self._lock:
            self._expected += 1

    def come(self) -> None:
        """Says that it was, or could not be."""
        with self._lock:
            self._expected -= 1
            self._come.notify_all()

    def add(self, calls: Calls) -> None:
        with self._lock:
            self._calls[calls.session_id] = calls

    def remove(self, session_id: str) -> None:
        with self._lock:
            self._calls.pop(session_id, None)

    def ids(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._calls)

    def end(self) -> None:
        """Stops all of them, beside each other where there can still be threads.

        Those that are being started are waited for, but not for long.
        """
        # A fork has the same finalizers, and runs them when it ends.
        if os.getpid() != self._process:
            return
        with self._lock:
            self._come.wait_for(lambda: not self._expected, _START_SECONDS)
            calls, self._calls = list(self._calls.values()), {}
        threads = [threading.Thread(target=one.end, args=("closed",)) for one in calls]
        for thread, one in zip(threads, calls, strict=True):
            try:
                thread.start()
            except RuntimeError:  # The interpreter is ending.
                one.end("closed")
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def _default_session() -> boto3.Session:
    try:
        return boto3.Session()
    except BotoCoreError as error:
        raise ConfigurationError(f"boto3 cannot be set up: {error}") from error
