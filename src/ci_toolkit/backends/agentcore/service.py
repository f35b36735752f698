"""`Service`: the five calls of the API through boto3, each sent as often as it may be; the floor.

What begins a run is sent once. It is sent again only after the service has refused it as too much
for now, which it says before anything begins. Sessions are started under a client token, so that
a start can be repeated.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ci_toolkit.backends.agentcore.answers import Answer, read_answer
from ci_toolkit.backends.agentcore.settings import Settings
from ci_toolkit.backends.agentcore.verdicts import Verdict, error_of, judge

__all__ = ["Listed", "Service", "ServiceError", "Started"]

_Value = TypeVar("_Value")
_ATTEMPTS = 5
_FIRST_DELAY = 0.2
_LONGEST_DELAY = 4.0
# The service answers a call when it is done, and lets it take 15 minutes: nothing is heard before.
_CALL_SECONDS = 960
_SESSION_SECONDS = 60
_CONNECT_SECONDS = 10
_PAGE, _PAGES = 100, 100
# How often what may be repeated is asked again. A start whose answer was lost may have started a
# session, whose id only another answer gives.
_AGAIN = {"throttled": _ATTEMPTS - 1, "broken": 3, "unreachable": 1}


class ServiceError(Exception):
    """A call of the API failed.

    Attributes:
        verdict: What that means.
        error: What boto3 or its stream raised.
    """

    def __init__(self, verdict: Verdict, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.verdict = verdict
        self.error = error


@dataclass(frozen=True, kw_only=True)
class Started:
    """A session: its id, and when it ends by this machine's clock or the service's, if sooner."""

    id: str
    expires_at: float


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A session as it stands in a list: its id, its name, and when it was started."""

    id: str
    name: str
    started: float


class Service:
    """One code interpreter, as boto3 reaches it; safe to use from many threads.

    Args:
        settings: Which one, and how.
        session: Whose credentials and settings.
    """

    def __init__(self, settings: Settings, session: boto3.Session) -> None:
        self._settings = settings
        self._session = session
        self._lock = threading.Lock()
        self._clients: dict[int, Any] = {}

    @property
    def doing(self) -> str:
        """For messages: which interpreter, and where."""
        return f"{self._settings.identifier} in {self._settings.region}"

    def start(self, name: str) -> Started:
        """Starts a session, once, however often that has to be asked.

        Raises:
            CodeInterpreterError: It could not be started.
        """
        request: dict[str, Any] = {
            **self._settings.session_request(name),
            "clientToken": uuid4().hex + uuid4().hex,
            **self._trace(),
        }
        before = time.time()

        def start() -> Started:
            client = self._client(_SESSION_SECONDS)
            answer = _whole(client.start_code_interpreter_session(**request), "sessionId")
            end = _end(answer["createdAt"], self._settings.session_timeout)
            mine = before + self._settings.session_timeout
            return Started(id=answer["sessionId"], expires_at=min(end, mine))

        return self._session_call(start, f"start a session of {self.doing}")

    def find(self, session_id: str) -> Started | None:
        """A session that is ready; None when there is none of this id, or no more.

        Raises:
            CodeInterpreterError: The service could not be asked.
        """

        def find() -> Started | None:
            try:
                answer = self._client(_SESSION_SECONDS).get_code_interpreter_session(
                    codeInterpreterIdentifier=self._settings.identifier, sessionId=session_id
                )
            except (BotoCoreError, ClientError) as error:
                if judge(error).kind in ("gone", "invalid"):
                    return None
                raise
            if _whole(answer).get("status") != "READY":
                return None
            lasts = answer.get("sessionTimeoutSeconds", self._settings.session_timeout)
            return Started(id=session_id, expires_at=_end(answer["createdAt"], lasts))

        return self._session_call(find, f"find a session of {self.doing}")

    def ready(self) -> Iterator[Listed]:
        """All sessions that are ready, whoever has started them; at most 10,000.

        Raises:
            CodeInterpreterError: The service could not be asked.
        """
        request: dict[str, Any] = {
            "codeInterpreterIdentifier": self._settings.identifier,
            "maxResults": _PAGE,
            "status": "READY",
        }

        def page() -> dict[str, Any]:
            client = self._client(_SESSION_SECONDS)
            return _whole(client.list_code_interpreter_sessions(**request), "items")

        for _ in range(_PAGES):
            answer = self._session_call(page, f"list the sessions of {self.doing}")
            for item in answer["items"]:
                yield Listed(
                    id=item["sessionId"],
                    name=item.get("name", ""),
                    started=item["createdAt"].timestamp(),
                )
            if not answer.get("nextToken"):
                return
            request["nextToken"] = answer["nextToken"]

    def stop(self, session_id: str) -> None:
        """Stops a session; one that is not there any more is stopped.

        Raises:
            CodeInterpreterError: It may still be there; it ends by itself at its time.
        """
        request: dict[str, Any] = {
            "codeInterpreterIdentifier": self._settings.identifier,
            "sessionId": session_id,
            **self._trace(),
        }

        def stop() -> None:
            try:
                self._client(_SESSION_SECONDS).stop_code_interpreter_session(**request)
            except (BotoCoreError, ClientError) as error:
                if judge(error).kind != "gone":
                    raise

        self._session_call(stop, f"stop a session of {self.doing}")

    def invoke(
        self,
        session_id: str,
        tool: str,
        arguments: Mapping[str, object],
        *,
        give_up: threading.Event,
    ) -> Answer:
        """Calls a tool of a session, at most once.

        Args:
            session_id: The session.
            tool: Its name.
            arguments: Its arguments.
            give_up: When set, a call that the service has refused is not tried again.

        Raises:
            ServiceError: It failed; the verdict says whether it may have begun.
        """
        request: dict[str, Any] = {
            "codeInterpreterIdentifier": self._settings.identifier,
            "sessionId": session_id,
            "name": tool,
            "arguments": arguments,
            **self._trace(),
        }
        for attempt in range(_ATTEMPTS):
            try:
                return self._invoke(request)
            except ServiceError as refused:
                last = attempt == _ATTEMPTS - 1
                if refused.verdict.kind != "throttled" or last or give_up.wait(_delay(attempt)):
                    raise
        raise AssertionError("unreachable")  # pragma: no cover - the last attempt raises

    def _invoke(self, request: dict[str, Any]) -> Answer:
        # Whatever is raised while code may be running has to be judged: what the table does not
        # know counts as "may have run". boto3 lets errors of urllib3 through here, too.
        try:
            answer = self._client(_CALL_SECONDS).invoke_code_interpreter(**request)
        except Exception as error:
            raise ServiceError(judge(error), error) from error
        try:
            with closing(answer["stream"]) as stream:
                return read_answer(stream)
        except Exception as error:
            raise ServiceError(judge(error, streaming=True), error) from error

    def _session_call(self, call: Callable[[], _Value], doing: str) -> _Value:
        """Does what may be repeated, so often until it is done or cannot be."""
        for attempt in range(_ATTEMPTS):
            try:
                return call()
            except (BotoCoreError, ClientError, ResponseParserError) as error:
                verdict = judge(error)
                if attempt >= _AGAIN.get(verdict.kind, 0):
                    raise error_of(verdict, error, doing) from error
            time.sleep(_delay(attempt))
        raise AssertionError("unreachable")  # pragma: no cover - the last attempt raises

    def disconnect(self) -> None:
        """Lets go of connections that nothing uses; later calls make new ones."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()

    def _client(self, read_timeout: int) -> Any:
        """The client for calls or for sessions, which differ in their patience; made once."""
        with self._lock:
            client = self._clients.get(read_timeout)
            if client is None:
                client = self._clients[read_timeout] = self._session.client(
                    "bedrock-agentcore",
                    region_name=self._settings.region,
                    endpoint_url=self._settings.endpoint_url,
                    config=Config(
                        retries={"total_max_attempts": 1, "mode": "standard"},
                        connect_timeout=_CONNECT_SECONDS,
                        read_timeout=read_timeout,
                        max_pool_connections=self._settings.concurrency,
                        tcp_keepalive=True,
                        user_agent_extra="ci-toolkit",
                    ),
                )
            return client

    def _trace(self) -> dict[str, str]:
        if self._settings.trace is None:
            return {}
        given = self._settings.trace()
        return {key: given[key] for key in ("traceId", "traceParent") if given.get(key)}


def _whole(answer: dict[str, Any], member: str = "createdAt") -> dict[str, Any]:
    """An answer that has a member which each has; boto3 gives one that was cut off without any.

    Raises:
        ResponseParserError: It was cut off.
    """
    if member not in answer:
        raise ResponseParserError(f"The service's answer has no {member}; it may be cut off.")
    return answer


def _end(created: datetime, lasts: int) -> float:
    return created.timestamp() + lasts


def _delay(attempt: int) -> float:
    longest = min(_FIRST_DELAY * (1 << attempt), _LONGEST_DELAY)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, hides nothing
