"""The MCP door over streamable HTTP: sessions, users, what is refused, what is ended."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from threading import Event
from typing import Any, Literal

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from starlette.applications import Starlette
from starlette.routing import Mount

from ci_toolkit import CodeInterpreter, ConfigurationError, Scope
from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.mcp import (
    SESSION_KEY,
    FixedTokens,
    create_server,
    http_app,
    one_session,
    serve_http,
)

Mode = Literal["auto", "legacy"]

COUNT = {"code": "n = globals().get('n', 0) + 1; print(n)"}
ADA, BOB = "ada-has-a-long-token", "bob-has-a-long-token"
VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}

both_eras = pytest.mark.parametrize("mode", ["auto", "legacy"])


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend(run_python=True)


@pytest.fixture
def interpreter(backend: InMemoryBackend) -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend) as interpreter:
        yield interpreter


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The application on a port of this machine, as uvicorn serves it."""
    config = uvicorn.Config(
        app, port=0, ws="none", log_config=None, lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        thread.join(0.01)
    (listener,) = server.servers[0].sockets
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def url(interpreter: CodeInterpreter) -> Iterator[str]:
    with serving(http_app(create_server(interpreter))) as url:
        yield url


@pytest.fixture
def guarded(interpreter: CodeInterpreter) -> Iterator[str]:
    """The URL of a server that knows two users."""
    verifier = FixedTokens({"ada": ADA, "bob": BOB})
    with serving(http_app(create_server(interpreter), token_verifier=verifier)) as url:
        yield url


@asynccontextmanager
async def client_of(url: str, token: str, mode: Mode = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def text(result: CallToolResult) -> str:
    block = result.content[0]
    assert block.type == "text"
    return block.text


HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": VERSION,
    "Mcp-Method": "tools/call",
    "Mcp-Name": "execute_code",
}


def body(arguments: dict[str, str], session: str = "") -> dict[str, Any]:
    meta = {**META, SESSION_KEY: session} if session else META
    params = {"name": "execute_code", "arguments": arguments, "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def post(url: str, *, session: str = "", code: str = COUNT["code"], **headers: str) -> Any:
    """One call of today's protocol by a client that keeps nothing, and its answer."""
    response = httpx2.post(
        url, json=body({"code": code}, session), headers={**HEADERS, **headers}, timeout=30
    )
    if response.status_code != 200:
        return response
    if response.headers["content-type"].startswith("text/event-stream"):
        events = [line for line in response.text.splitlines() if line.startswith("data: ")]
        return json.loads(events[-1].removeprefix("data: "))["result"]
    return response.json()["result"]


def said(result: Any) -> str:
    words: str = result["content"][0]["text"]
    return words


def waiting(begun: Event, ended: Event) -> Callable[[Request], str]:
    """A run that lasts until it is interrupted."""

    def wait(request: Request) -> str:
        begun.set()
        if request.interrupted.wait(30):
            ended.set()
        return ""

    return wait


@both_eras
async def test_variables_stay_from_call_to_call_and_with_their_client(url: str, mode: Mode) -> None:
    async with Client(url, mode=mode) as one, Client(url, mode=mode) as other:
        counts = [text(await c.call_tool("execute_code", COUNT)) for c in [one, one, other, one]]

    assert counts == ["1", "2", "1", "3"]


async def test_parallel_first_calls_of_one_client_share_its_session(
    url: str, backend: InMemoryBackend
) -> None:
    async with Client(url) as client:
        calls = [client.call_tool("execute_code", COUNT) for _ in range(4)]
        counts = {text(result) for result in await asyncio.gather(*calls)}

    assert counts == {"1", "2", "3", "4"}
    assert backend.started == 1


def test_a_client_that_keeps_no_cookie_can_send_the_handle_back(url: str) -> None:
    first = post(url)
    handle = first["_meta"][SESSION_KEY]
    again = post(url, session=handle)
    stranger = post(url)

    assert [said(result) for result in (first, again, stranger)] == ["1", "2", "1"]
    assert again["_meta"][SESSION_KEY] == handle
    assert stranger["_meta"][SESSION_KEY] != handle


@pytest.mark.parametrize("named", ["thread-1", "guess.0123456789abcdef0123456789abcdef", "."])
def test_an_anonymous_client_cannot_choose_its_session_s_name(
    url: str, backend: InMemoryBackend, named: str
) -> None:
    refused = post(url, session=named)

    assert refused["isError"]
    assert "is none of this server's" in said(refused)
    assert backend.started == 0


async def test_a_name_within_a_transport_s_session_is_that_session_s_own(url: str) -> None:
    meta: Any = {SESSION_KEY: "thread-1"}
    async with Client(url, mode="legacy") as one, Client(url, mode="legacy") as other:
        counts = [
            text(await client.call_tool("execute_code", COUNT, meta=meta))
            for client in [one, one, other]
        ]
        bare = await one.call_tool("execute_code", COUNT)

    assert counts == ["1", "2", "1"]
    assert text(bare) == "1"


def test_a_session_header_counts_for_nothing_in_a_protocol_without_sessions(url: str) -> None:
    stolen = {"Mcp-Session-Id": "f00d"}

    assert [said(post(url, **stolen)) for _ in range(2)] == ["1", "1"]


def test_a_cookie_that_the_server_did_not_make_is_replaced(url: str) -> None:
    forged = post(url, Cookie="ci-toolkit-session=thread-1")
    again = post(url, Cookie="ci-toolkit-session=thread-1")

    assert [said(forged), said(again)] == ["1", "1"]


@both_eras
async def test_without_a_token_nobody_comes_in(
    guarded: str, backend: InMemoryBackend, mode: Mode
) -> None:
    statuses = [
        httpx2.post(guarded, json={}, headers=headers).status_code
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {ADA}"})
    ]

    assert statuses == [401, 401, 401]
    with pytest.raises(BaseExceptionGroup):
        async with client_of(guarded, "another-long-token", mode) as client:
            await client.call_tool("execute_code", COUNT)
    assert backend.started == 0


@both_eras
async def test_users_who_name_the_same_session_have_each_their_own(
    guarded: str, mode: Mode
) -> None:
    meta: Any = {SESSION_KEY: "thread-1"}
    counts = []
    for token in [ADA, ADA, BOB]:
        async with client_of(guarded, token, mode) as client:
            counts.append(text(await client.call_tool("execute_code", COUNT, meta=meta)))

    assert counts == ["1", "2", "1"]


@both_eras
@pytest.mark.parametrize("by_hand", [False, True])
async def test_each_user_can_have_one_session_for_all_their_clients(
    interpreter: CodeInterpreter, mode: Mode, by_hand: bool
) -> None:
    def whose(context: Any) -> Scope:
        return Scope(user_id=context.request.user.access_token.client_id, session_id="main")

    server = create_server(interpreter, scope=whose if by_hand else one_session("main"))
    counts = []
    with serving(http_app(server, token_verifier=FixedTokens({"ada": ADA, "bob": BOB}))) as url:
        for token in [ADA, ADA, BOB]:
            async with client_of(url, token, mode) as client:
                counts.append(text(await client.call_tool("execute_code", COUNT)))

    assert counts == ["1", "2", "1"]
    ada = Scope(user_id="ada", session_id="main")
    assert interpreter.call("execute_code", COUNT, scope=ada).text == "3"


def test_a_handle_is_worth_nothing_to_another_user(guarded: str) -> None:
    ada, bob = {"Authorization": f"Bearer {ADA}"}, {"Authorization": f"Bearer {BOB}"}
    handle = post(guarded, **ada)["_meta"][SESSION_KEY]
    by_meta = post(guarded, session=handle, **bob)
    by_cookie = post(guarded, Cookie=f"ci-toolkit-session={handle}", **bob)
    back = post(guarded, Cookie=f"ci-toolkit-session={handle}", **ada)

    assert [said(by_meta), said(by_cookie), said(back)] == ["1", "1", "2"]


async def test_a_transport_s_session_is_worth_nothing_to_another_user(guarded: str) -> None:
    seen: list[str] = []

    async def note(response: httpx2.Response) -> None:
        seen.append(response.headers.get("mcp-session-id", ""))

    headers = {"Authorization": f"Bearer {ADA}"}
    hooks: Any = {"response": [note]}
    async with (
        httpx2.AsyncClient(headers=headers, event_hooks=hooks, timeout=30) as http,
        Client(streamable_http_client(guarded, http_client=http), mode="legacy") as client,
    ):
        await client.call_tool("execute_code", COUNT)
        body = {"jsonrpc": "2.0", "id": 9, "method": "tools/list"}
        stolen = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-11-25",
            "Mcp-Session-Id": next(filter(None, seen)),
        }
        refused = await asyncio.to_thread(
            httpx2.post, guarded, json=body, headers={**stolen, "Authorization": f"Bearer {BOB}"}
        )
        let_in = await asyncio.to_thread(
            httpx2.post, guarded, json=body, headers={**stolen, "Authorization": f"Bearer {ADA}"}
        )

    assert (refused.status_code, let_in.status_code) == (404, 200)


async def test_a_client_that_ends_its_session_ends_its_sandboxes(
    url: str, backend: InMemoryBackend
) -> None:
    async with Client(url, mode="legacy") as client:
        await client.call_tool("execute_code", COUNT)
        named: Any = {SESSION_KEY: "named"}
        await client.call_tool("execute_code", COUNT, meta=named)
        assert len(backend.sandboxes) == 2

    assert not list(backend.sandboxes)


def test_of_sessions_that_nobody_comes_back_to_few_are_kept(
    url: str, backend: InMemoryBackend
) -> None:
    kept = post(url)["_meta"][SESSION_KEY]
    assert said(post(url, session=kept)) == "2"
    for _ in range(40):
        post(url)

    assert len(backend.sandboxes) == 33
    assert said(post(url, session=kept)) == "3"


def test_a_session_whose_client_came_back_is_not_ended_under_its_second_call(
    url: str, backend: InMemoryBackend
) -> None:
    begun, go_on = Event(), Event()

    def wait(_: Request) -> str:
        begun.set()
        assert go_on.wait(60)
        return "through"

    backend.reply("wait", wait)
    kept = post(url)["_meta"][SESSION_KEY]
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(post, url, session=kept, code="wait")
        assert begun.wait(20)
        for _ in range(34):
            post(url)
        go_on.set()

        assert said(second.result(60)) == "through"
    assert said(post(url, session=kept)) == "2"


async def test_nor_of_those_whose_client_did_not_wait_for_the_first_answer(
    url: str, backend: InMemoryBackend
) -> None:
    begun, ended = Event(), Event()
    backend.reply("wait", waiting(begun, ended))
    for _ in range(34):
        begun.clear()
        ended.clear()
        async with httpx2.AsyncClient(headers=HEADERS, timeout=30) as http:
            call = asyncio.create_task(http.post(url, json=body({"code": "wait"})))
            assert await asyncio.to_thread(begun.wait, 20)
            call.cancel()
            await asyncio.wait({call})
        assert await asyncio.to_thread(ended.wait, 20)

    # The next answer comes after all of theirs.
    await asyncio.to_thread(post, url)
    assert len(backend.sandboxes) <= 33


@both_eras
async def test_a_call_that_is_cancelled_interrupts_its_run_and_leaves_the_session(
    url: str, backend: InMemoryBackend, mode: Mode
) -> None:
    begun, ended = Event(), Event()
    backend.reply("wait", waiting(begun, ended))
    async with Client(url, mode=mode) as client:
        await client.call_tool("execute_code", COUNT)
        call = asyncio.create_task(client.call_tool("execute_code", {"code": "wait"}))
        assert await asyncio.to_thread(begun.wait, 20)
        call.cancel()
        await asyncio.wait({call})
        assert await asyncio.to_thread(ended.wait, 20)
        after = await client.call_tool("execute_code", COUNT)

    assert text(after) == "2"


@both_eras
async def test_output_comes_while_the_code_runs(
    url: str, backend: InMemoryBackend, mode: Mode
) -> None:
    first = Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        if message == "one\n":
            first.set()

    def run(request: Request) -> str:
        request.print("one\n")
        return "in time" if first.wait(20) else "too late"

    backend.reply("go", run)
    async with Client(url, mode=mode) as client:
        result = await client.call_tool("execute_code", {"code": "go"}, progress_callback=note)

    assert text(result).endswith("in time")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.com"}, 421),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
    ],
)
def test_web_pages_and_other_names_are_refused(
    url: str, headers: dict[str, str], status: int
) -> None:
    result = post(url, **headers)

    assert getattr(result, "status_code", 200) == status


def test_a_further_name_is_let_in_by_the_host(interpreter: CodeInterpreter) -> None:
    app = http_app(create_server(interpreter), hosts=["tools.example.com"])
    with serving(app) as url:
        assert said(post(url, Host="tools.example.com")) == "1"
        assert post(url).status_code == 421


@both_eras
async def test_it_works_inside_another_application(
    interpreter: CodeInterpreter, mode: Mode
) -> None:
    app = http_app(create_server(interpreter))
    lifespan: Any = lambda _: app.router.lifespan_context(app)  # noqa: E731 - typed by its place
    outer = Starlette(routes=[Mount("/tools", app)], lifespan=lifespan)
    with serving(outer) as url:
        async with Client(url.replace("/mcp", "/tools/mcp"), mode=mode) as client:
            counts = [text(await client.call_tool("execute_code", COUNT)) for _ in range(2)]

    assert counts == ["1", "2"]


def test_a_body_that_is_too_large_is_refused(url: str) -> None:
    response = httpx2.post(url, content=b"x" * (33 * 1024 * 1024))

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"host": "0.0.0.0"}, "could run code"),
        ({"host": "192.0.2.1"}, "could run code"),
        ({"host": "tools.example.com"}, "could run code"),
        ({"host": "0.0.0.0", "token_verifier": FixedTokens({"ada": ADA})}, "by which names"),
        ({"host": "127.0.0.1", "port": 99_999}, "Cannot listen"),
    ],
)
def test_a_server_that_strangers_could_reach_does_not_start(
    interpreter: CodeInterpreter, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        serve_http(create_server(interpreter), **options)


@pytest.mark.parametrize(
    "tokens", [{}, {"ada": "short"}, {"": ADA}, {"ada": ADA, "bob": ADA}], ids=str
)
def test_tokens_that_keep_nobody_out_are_refused(tokens: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        FixedTokens(tokens)


def test_tokens_do_not_show() -> None:
    assert repr(FixedTokens({"ada": ADA})) == "FixedTokens(ada)"
