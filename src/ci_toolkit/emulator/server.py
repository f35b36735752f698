"""`AgentCoreEmulator`: the application on a port of this machine, for as long as a `with` lasts."""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ci_toolkit.backends.base import Backend
from ci_toolkit.emulator.app import App
from ci_toolkit.emulator.faults import Fault, Faults
from ci_toolkit.emulator.options import EmulatorOptions
from ci_toolkit.emulator.records import RequestRecord
from ci_toolkit.emulator.responses import CUT
from ci_toolkit.emulator.service import Service
from ci_toolkit.errors import ConfigurationError

__all__ = ["AgentCoreEmulator"]

_THREADS = 512
_START_SECONDS = 30.0


class AgentCoreEmulator:
    """An endpoint that speaks the API of Bedrock AgentCore's code interpreter, over any backend.

    ```python
    backend = InMemoryBackend(run_python=True)
    with AgentCoreEmulator(backend) as url:                   # http://127.0.0.1:<port>
        client = boto3.client("bedrock-agentcore", endpoint_url=url, region_name="us-east-1")
    ```

    Signatures are not looked at. Every session is one sandbox of the backend; leaving the `with`
    ends all sessions and stops the server, and leaves the backend itself open.

    Args:
        backend: Runs the code.
        host: Where to listen. Whoever reaches it can run code.
        port: 0 for any that is free.
        options: How it differs from the service.
        settings: Fields of `EmulatorOptions` in place of those of `options`.

    Attributes:
        requests: The requests so far, in order; of very many the last 10,000.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        options: EmulatorOptions | None = None,
        **settings: Any,
    ) -> None:
        self.requests: list[RequestRecord] = []
        self._options = replace(options or EmulatorOptions(), **settings)
        self._backend = backend
        self._address = host, port
        self._faults = Faults()
        self._url = ""
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._service: Service | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:8787`; empty when it does not run."""
        return self._url

    def fault(self, fault: Fault) -> None:
        """Makes something go wrong with the next request that fits."""
        self._faults.add(fault)

    def clear_faults(self) -> None:
        """Forgets the faults that have not happened yet."""
        self._faults.clear()

    def expire(self, session_id: str) -> None:
        """Ends a session as if its time were up; returns when it has ended."""
        if self._loop is None or self._service is None:
            raise ConfigurationError("The emulator does not run.")
        ending = self._service.sessions.end(session_id)
        asyncio.run_coroutine_threadsafe(ending, self._loop).result()

    def start(self) -> str:
        """Listens, and gives the URL.

        Raises:
            ConfigurationError: The address cannot be listened at.
        """
        if self._thread is not None:
            raise ConfigurationError("The emulator runs already.")
        host, port = self._address
        listener = _listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        self._url = f"http://{shown}:{listener.getsockname()[1]}"
        self._ready.clear()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(listener)), name="agentcore-emulator", daemon=True
        )
        self._thread.start()
        self._ready.wait(_START_SECONDS)
        if self._service is None:
            self.close()
            raise ConfigurationError(f"The emulator did not start at {host}:{port}.")
        return self._url

    def close(self) -> None:
        """Ends all sessions and stops. Idempotent."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None
        self._url = ""

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _run(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        with ThreadPoolExecutor(_THREADS, "agentcore-emulator") as executor:
            self._service = Service(self._backend, self._options, executor)
            app = App(self._service, self._options, self._faults, self.requests, executor)
            server = uvicorn.Server(_config(app.build()))
            serving = asyncio.ensure_future(server.serve(sockets=[listener]))
            sweeping = asyncio.ensure_future(self._service.sessions.sweep())
            try:
                while not server.started:
                    await asyncio.sleep(0.005)
                self._ready.set()
                await self._stop.wait()
                await self._service.sessions.close()
                server.should_exit = True
                await serving
                # A session may have been registered meanwhile.
                await self._service.sessions.close()
            finally:
                sweeping.cancel()
                listener.close()
                self._loop = self._service = self._stop = None
                self._ready.set()


class _Protocol(H11Protocol):
    """HTTP/1.1 that lets the application close its connection in the middle."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.app = self._with_cut(self.app)

    def _with_cut(self, app: ASGIApp) -> Any:
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[CUT] = self.transport.close
            await app(scope, receive, send)

        return call


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"Cannot listen at {host}:{port}: {error}") from error
    # For the connections, which inherit it: asyncio sets it only on sockets of its own making.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # A connection that is closed while its client sends would look like a lost call.
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=1,
    )
