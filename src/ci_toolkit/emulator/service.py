"""What each operation of the API does: members in, members out, or a refusal."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from ci_toolkit.backends.base import Backend
from ci_toolkit.emulator.answers import Result
from ci_toolkit.emulator.interpreters import Interpreters
from ci_toolkit.emulator.options import EmulatorOptions
from ci_toolkit.emulator.paging import page, timestamp
from ci_toolkit.emulator.refusals import invalid
from ci_toolkit.emulator.registry import Registry
from ci_toolkit.emulator.sessions import Session

__all__ = ["Service"]

Members = Mapping[str, Any]


class Service:
    """The emulated service; used on the event loop's thread only.

    Args:
        backend: Runs the code.
        options: The emulator's.
        executor: Runs what blocks.

    Attributes:
        sessions: All sessions.
        operations: By name, what answers; all but `InvokeCodeInterpreter`.
    """

    def __init__(self, backend: Backend, options: EmulatorOptions, executor: Executor) -> None:
        self._options = options
        self._interpreters = Interpreters(options)
        self.sessions = Registry(backend, options, executor)
        self.operations: Mapping[str, Callable[[Members], Awaitable[dict[str, Any]]]] = {
            "CreateCodeInterpreter": self._create,
            "DeleteCodeInterpreter": self._delete,
            "GetCodeInterpreter": self._get,
            "GetCodeInterpreterSession": self._get_session,
            "ListCodeInterpreterSessions": self._list_sessions,
            "ListCodeInterpreters": self._list,
            "StartCodeInterpreterSession": self._start_session,
            "StopCodeInterpreterSession": self._stop_session,
        }

    async def invoke(self, members: Members) -> Result:
        """`InvokeCodeInterpreter`."""
        identifier = members["codeInterpreterIdentifier"]
        self._interpreters.require(identifier)
        if "sessionId" not in members:
            field = "x-amzn-code-interpreter-session-id", "Member must not be null"
            raise invalid("A session id is required.", fields=[field])
        session = self.sessions.find_ready(identifier, members["sessionId"])
        await asyncio.sleep(self._options.latency)
        most = self._options.concurrent_invokes
        return await session.call(members["name"], members.get("arguments") or {}, most=most)

    async def _start_session(self, members: Members) -> dict[str, Any]:
        identifier = members["codeInterpreterIdentifier"]
        self._interpreters.require(identifier)
        session = await self.sessions.start(identifier, members)
        return {**_named(session), "createdAt": timestamp(session.created)}

    async def _stop_session(self, members: Members) -> dict[str, Any]:
        session = self._find(members)
        await session.end()
        return {**_named(session), "lastUpdatedAt": timestamp(session.updated)}

    async def _get_session(self, members: Members) -> dict[str, Any]:
        session = self._find(members)
        told = ("name", "certificates", "filesystemConfigurations")
        return {
            **_named(session),
            "createdAt": timestamp(session.created),
            "sessionTimeoutSeconds": session.timeout,
            "status": self.sessions.status(session),
            **{k: session.settings[k] for k in told if k in session.settings},
        }

    async def _list_sessions(self, members: Members) -> dict[str, Any]:
        identifier = members["codeInterpreterIdentifier"]
        self._interpreters.require(identifier)
        found = self.sessions.of(identifier, members.get("status"))
        items = [self._summary(session) for session in found]
        shown, more = page(items, members, key="sessionId")
        return {"items": shown, **more}

    async def _create(self, members: Members) -> dict[str, Any]:
        return self._interpreters.create(members)

    async def _get(self, members: Members) -> dict[str, Any]:
        return self._interpreters.get(members)

    async def _list(self, members: Members) -> dict[str, Any]:
        return self._interpreters.list(members)

    async def _delete(self, members: Members) -> dict[str, Any]:
        deleted = self._interpreters.delete(members)
        await self.sessions.end_all(members["codeInterpreterId"])
        return deleted

    def _find(self, members: Members) -> Session:
        identifier = members["codeInterpreterIdentifier"]
        self._interpreters.require(identifier)
        return self.sessions.find(identifier, members["sessionId"])

    def _summary(self, session: Session) -> dict[str, Any]:
        return {
            **_named(session),
            **({"name": session.name} if session.name else {}),
            "status": self.sessions.status(session),
            "createdAt": timestamp(session.created),
            "lastUpdatedAt": timestamp(session.updated),
        }


def _named(session: Session) -> dict[str, Any]:
    return {"codeInterpreterIdentifier": session.identifier, "sessionId": session.id}
