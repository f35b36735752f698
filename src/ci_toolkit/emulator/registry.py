"""All sessions of an emulator: started, found, listed, stopped, and ended when their time is up."""

import asyncio
import secrets
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from ci_toolkit.backends.base import Backend, Sandbox
from ci_toolkit.emulator.files import litter
from ci_toolkit.emulator.options import EmulatorOptions
from ci_toolkit.emulator.refusals import Refusal, invalid, not_found, refusal_of
from ci_toolkit.emulator.sessions import Session
from ci_toolkit.emulator.toolbox import Toolbox
from ci_toolkit.errors import BackendUnavailableError, CodeInterpreterError

__all__ = ["Registry"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DEFAULT_TIMEOUT = 900
_SWEEP_SECONDS = 0.05
_NOT_SETTINGS = ("clientToken", "traceId", "traceParent")
_REMEMBERED = 10_000
_Started = asyncio.Future[Session]


class Registry:
    """The sessions over one backend; used on the event loop's thread only.

    Args:
        backend: Where their sandboxes are started.
        options: The emulator's.
        executor: Runs what blocks.
    """

    def __init__(self, backend: Backend, options: EmulatorOptions, executor: Executor) -> None:
        self._backend = backend
        self._options = options
        self._executor = executor
        self._shell = backend.name != "memory" if options.shell is None else options.shell
        self._sessions: dict[str, Session] = {}
        self._starting = 0
        self._closed = False
        self._tokens: dict[tuple[str, str], tuple[Mapping[str, Any], _Started]] = {}

    async def start(self, identifier: str, members: Mapping[str, Any]) -> Session:
        """Starts a session; a request with a token that was used before gets that session.

        Raises:
            Refusal: The quota is used up, the token was used for something else, or the backend
                failed.
        """
        settings = {k: v for k, v in members.items() if k not in _NOT_SETTINGS}
        token = members.get("clientToken")
        if token is None:
            return await self._start(identifier, settings)
        key = identifier, token
        if key in self._tokens:
            known, started = self._tokens[key]
            if known != settings:
                message = "The client token was used with other parameters."
                raise invalid(message, reason="IdempotentParameterMismatchException")
            return await asyncio.shield(started)
        task = asyncio.ensure_future(self._start(identifier, settings))
        self._tokens[key] = settings, task
        task.add_done_callback(lambda done: self._forget_failed(key, done))
        return await asyncio.shield(task)

    def find(self, identifier: str, session_id: str) -> Session:
        """A session, whether it can be used or not.

        Raises:
            Refusal: This interpreter never had it.
        """
        session = self._sessions.get(session_id)
        if session is None or session.identifier != identifier:
            raise not_found(f"There is no session {session_id} of {identifier}.")
        return session

    def find_ready(self, identifier: str, session_id: str) -> Session:
        """A session that can be used.

        Raises:
            Refusal: There is none of this id.
        """
        session = self.find(identifier, session_id)
        if not session.ready or session.expires <= self._options.clock():
            raise not_found(f"The session {session_id} has ended.")
        return session

    def of(self, identifier: str, status: str | None = None) -> list[Session]:
        """The sessions of an interpreter, newest first."""
        found = (s for s in reversed(self._sessions.values()) if s.identifier == identifier)
        return [s for s in found if status in (None, _status(s, self._options.clock()))]

    async def sweep(self) -> None:
        """Ends sessions whose time is up, forever."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self._options.clock()
            due = [s for s in self._sessions.values() if s.ready and s.expires <= now]
            await asyncio.gather(*(session.end() for session in due))

    async def end_all(self, identifier: str) -> None:
        """Ends all sessions of an interpreter."""
        await asyncio.gather(*(session.end() for session in self.of(identifier)))

    async def close(self) -> None:
        """Ends all sessions; no other can be started any more."""
        self._closed = True
        await asyncio.gather(*(session.end() for session in self._sessions.values()))

    async def end(self, session_id: str) -> None:
        """Ends a session as if its time were up; an unknown one is none."""
        if session_id in self._sessions:
            await self._sessions[session_id].end()

    def status(self, session: Session) -> str:
        """`READY` or `TERMINATED`."""
        return _status(session, self._options.clock())

    async def _start(self, identifier: str, settings: Mapping[str, Any]) -> Session:
        ready = sum(s.ready for s in self._sessions.values())
        most = self._options.max_sessions
        if most is not None and ready + self._starting >= most:
            raise Refusal(
                "ServiceQuotaExceededException", "maxCodeInterpreterSessions limit exceeded"
            )
        self._starting += 1
        try:
            await asyncio.sleep(self._options.start_latency)
            loop = asyncio.get_running_loop()
            name = settings.get("name") or "emulated-session"
            sandbox = await loop.run_in_executor(self._executor, self._sandbox, name)
        except CodeInterpreterError as error:
            raise refusal_of(error) from error
        finally:
            self._starting -= 1
        session = self._session(identifier, settings, sandbox)
        self._sessions[session.id] = session
        self._forget_old()
        return session

    def _forget_old(self) -> None:
        old = [s.id for s in self._sessions.values() if not s.ready]
        for session_id in old[:-_REMEMBERED]:
            del self._sessions[session_id]
        for key in list(self._tokens)[:-_REMEMBERED]:
            del self._tokens[key]

    def _forget_failed(self, key: tuple[str, str], done: _Started) -> None:
        if done.cancelled() or done.exception() is not None:
            self._tokens.pop(key, None)

    def _sandbox(self, name: str) -> Sandbox:
        sandbox = self._backend.start(name=name)
        if self._closed:
            sandbox.close()
            raise BackendUnavailableError("The emulator is being closed.")
        if self._options.litter:
            with suppress(CodeInterpreterError):
                litter(sandbox)
        return sandbox

    def _session(self, identifier: str, settings: Mapping[str, Any], sandbox: Sandbox) -> Session:
        now = self._options.clock()
        timeout = settings.get("sessionTimeoutSeconds", _DEFAULT_TIMEOUT)
        lives = timeout if self._options.ttl is None else self._options.ttl
        toolbox = Toolbox(
            sandbox, shell=self._shell, options=self._options, submit=self._executor.submit
        )
        return Session(
            id=ulid(now),
            identifier=identifier,
            name=settings.get("name", ""),
            created=now,
            updated=now,
            timeout=timeout,
            expires=now + lives,
            settings=settings,
            sandbox=sandbox,
            toolbox=toolbox,
            executor=self._executor,
            clock=self._options.clock,
        )


def ulid(now: float) -> str:
    """A session id as the service makes them: 26 characters, the first 10 of which are the time."""
    number = (int(now * 1000) << 80 | secrets.randbits(80)) & ((1 << 128) - 1)
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(26)))


def _status(session: Session, now: float) -> str:
    return "READY" if session.ready and session.expires > now else "TERMINATED"
