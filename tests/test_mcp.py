"""The MCP door: tools, results, live output, cancellation, sessions, resources, the prompt.

In memory, with the official client, in both protocol eras: `auto` is the one without sessions,
`legacy` the one with the handshake.
"""

import asyncio
import json
import logging
from base64 import b64decode
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any, Literal

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, Implementation, TextResourceContents

from ci_toolkit import CodeInterpreter, ConfigurationError, Scope, WorkspaceError
from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.mcp import SESSION_KEY, create_server
from ci_toolkit.mcp.resources import list_resources
from ci_toolkit.schemas import json_schema
from ci_toolkit.skill import SKILL_DIR, skill_prompt
from ci_toolkit.tools import TOOLS
from ci_toolkit.workspaces import InMemoryWorkspace

Mode = Literal["auto", "legacy"]

SCOPE = Scope(user_id="ada", session_id="thread-1")
SECRET = "AKIA-THE-OPERATORS-KEY"
COUNT = {"code": "n = globals().get('n', 0) + 1; print(n)"}
PICTURE = {
    "code": "from PIL import Image; Image.new('RGB', (4, 3)).save('a.png')",
    "output_filename": "a.png",
}

both_eras = pytest.mark.parametrize("mode", ["auto", "legacy"])


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend(run_python=True)


@pytest.fixture
def interpreter(backend: InMemoryBackend) -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend) as interpreter:
        yield interpreter


def text(result: CallToolResult) -> str:
    block = result.content[0]
    assert block.type == "text"
    return block.text


def waiting(begun: Event, ended: Event) -> Callable[[Request], str]:
    """A run that lasts until it is interrupted."""

    def wait(request: Request) -> str:
        request.print("so far\n")
        begun.set()
        if request.interrupted.wait(30):
            ended.set()
        return ""

    return wait


@both_eras
async def test_the_tools_are_listed_with_their_schemas(
    interpreter: CodeInterpreter, mode: Mode
) -> None:
    async with Client(create_server(interpreter), mode=mode) as client:
        tools = (await client.list_tools()).tools

    assert [(tool.name, tool.description) for tool in tools] == [
        (tool.name, tool.description) for tool in TOOLS
    ]
    assert [tool.input_schema for tool in tools] == [json_schema(t.arguments) for t in TOOLS]
    shown = json.dumps([tool.model_dump(exclude_none=True) for tool in tools])
    assert not [word for word in ("$ref", "$defs", "anyOf", "oneOf", "const") if word in shown]


async def test_hosts_are_told_what_a_tool_may_do(interpreter: CodeInterpreter) -> None:
    async with Client(create_server(interpreter, workspace_tools=True)) as client:
        tools = (await client.list_tools()).tools

    hints = {t.name: t.annotations for t in tools if t.annotations is not None}
    assert {name: hint.read_only_hint for name, hint in hints.items()} == {
        "execute_code": False,
        "execute_command": False,
        "file_operations": False,
        "ci_push_to_workspace": False,
        "workspace_read": True,
        "workspace_list": True,
    }
    assert {name for name, hint in hints.items() if hint.destructive_hint} == {
        "execute_code",
        "execute_command",
        "file_operations",
    }


async def test_a_prefix_is_in_every_name_that_a_model_sees(interpreter: CodeInterpreter) -> None:
    async with Client(create_server(interpreter, prefix="lab_")) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        misnamed = await client.call_tool("lab_execute_code", {**PICTURE, "output_filename": "b"})
        bare = await client.call_tool("execute_code", COUNT)
        guidance = client.instructions or ""

    assert names == [f"lab_{tool.name}" for tool in TOOLS]
    assert "lab_ci_push_to_workspace(" in text(misnamed)
    assert text(bare).startswith("Error: There is no tool 'execute_code'. Did you mean 'lab_exe")
    assert "lab_execute_code" in guidance


async def test_a_tool_that_is_not_offered_cannot_be_called(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    async with Client(create_server(interpreter)) as client:
        refused = await client.call_tool("workspace_list", {})

    assert refused.is_error
    assert "There is no tool 'workspace_list'" in text(refused)
    assert backend.started == 0


async def test_a_result_holds_text_pictures_and_the_record(interpreter: CodeInterpreter) -> None:
    async with Client(create_server(interpreter)) as client:
        result = await client.call_tool("execute_code", PICTURE)

    words, picture = result.content
    assert words.type == "text"
    assert picture.type == "image"
    assert picture.mime_type == "image/png"
    assert b64decode(picture.data).startswith(b"\x89PNG")
    record = result.structured_content
    assert record["text"] == text(result)
    assert record["tool"] == "execute_code"
    assert record["execution"]["exit_code"] == 0
    assert record["files"][0]["stored"] == "code-interpreter/a.png"


async def test_pictures_and_the_record_can_be_left_out(interpreter: CodeInterpreter) -> None:
    async with Client(create_server(interpreter, images=False, structured=False)) as client:
        result = await client.call_tool("execute_code", PICTURE)

    assert [block.type for block in result.content] == ["text"]
    assert result.structured_content is None


@pytest.mark.parametrize("name", ["claude-code", "Visual Studio Code - Insiders"])
@both_eras
async def test_a_client_that_would_hide_the_picture_is_sent_no_record(
    interpreter: CodeInterpreter, mode: Mode, name: str
) -> None:
    info = Implementation(name=name, version="1")
    async with Client(create_server(interpreter), mode=mode, client_info=info) as client:
        result = await client.call_tool("execute_code", PICTURE)

    assert [block.type for block in result.content] == ["text", "image"]
    assert result.structured_content is None


@both_eras
async def test_output_goes_out_as_progress_while_the_code_runs(
    interpreter: CodeInterpreter, backend: InMemoryBackend, mode: Mode
) -> None:
    seen: list[tuple[float, str | None]] = []
    first = Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message))
        first.set()

    def run(request: Request) -> str:
        request.print("one\n")
        assert first.wait(20), "the first line was not sent while the code ran"
        request.print("two\n", "stderr")
        return "three\n"

    backend.reply("go", run)
    async with Client(create_server(interpreter), mode=mode) as client:
        result = await client.call_tool("execute_code", {"code": "go"}, progress_callback=note)

    assert "one" in text(result)
    numbers, messages = zip(*seen, strict=True)
    assert messages[0] == "one\n"
    assert "".join(messages).startswith("one\ntwo\n")
    assert list(numbers) == list(range(1, len(seen) + 1))


async def test_a_flood_of_output_is_sent_in_few_pieces_and_to_its_end(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    seen: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")

    def run(request: Request) -> str:
        for number in range(20_000):
            request.print(f"line {number}\n")
        return ""

    backend.reply("go", run)
    async with Client(create_server(interpreter)) as client:
        await client.call_tool("execute_code", {"code": "go"}, progress_callback=note)

    assert max(map(len, seen)) <= 8_000
    assert len(seen) < 2_000
    assert seen[-1].endswith("line 19999\n")


@both_eras
async def test_a_request_that_is_cancelled_interrupts_its_run_and_leaves_the_session(
    interpreter: CodeInterpreter, backend: InMemoryBackend, mode: Mode
) -> None:
    begun, ended = Event(), Event()
    backend.reply("wait", waiting(begun, ended))
    async with Client(create_server(interpreter), mode=mode) as client:
        await client.call_tool("execute_code", COUNT)
        call = asyncio.create_task(client.call_tool("execute_code", {"code": "wait"}))
        assert await asyncio.to_thread(begun.wait, 20)
        call.cancel()
        await asyncio.wait({call})
        assert await asyncio.to_thread(ended.wait, 20)
        after = await client.call_tool("execute_code", COUNT)

    assert text(after) == "2"


async def test_a_client_that_waits_no_longer_interrupts_the_run_too(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    begun, ended = Event(), Event()
    backend.reply("wait", waiting(begun, ended))
    async with Client(create_server(interpreter), mode="legacy") as client:
        await client.call_tool("execute_code", COUNT)
        with pytest.raises(MCPError, match=r"(?i)timed out"):
            await client.call_tool("execute_code", {"code": "wait"}, read_timeout_seconds=0.5)
        assert await asyncio.to_thread(ended.wait, 20)
        after = await client.call_tool("execute_code", COUNT)

    assert text(after) == "2"


@both_eras
async def test_clients_of_one_server_are_strangers_to_each_other(
    interpreter: CodeInterpreter, mode: Mode
) -> None:
    server = create_server(interpreter)
    async with Client(server, mode=mode) as one, Client(server, mode=mode) as other:
        counts = [
            text(await client.call_tool("execute_code", COUNT)) for client in [one, one, other]
        ]

    assert counts == ["1", "2", "1"]


@both_eras
async def test_a_client_that_leaves_takes_its_sandbox_along(
    interpreter: CodeInterpreter, backend: InMemoryBackend, mode: Mode
) -> None:
    async with Client(create_server(interpreter), mode=mode) as client:
        await client.call_tool("execute_code", COUNT)
        assert len(backend.sandboxes) == 1

    assert not list(backend.sandboxes)


@both_eras
async def test_a_host_can_name_sessions_within_its_connection(
    interpreter: CodeInterpreter, mode: Mode
) -> None:
    async def count(client: Client, session: str | None) -> str:
        meta: Any = {SESSION_KEY: session} if session else None
        return text(await client.call_tool("execute_code", COUNT, meta=meta))

    async with Client(create_server(interpreter), mode=mode) as client:
        counts = [await count(client, name) for name in ["a", "b", "a", None, None, "b"]]

    assert counts == ["1", "1", "2", "1", "2", "2"]


@pytest.mark.parametrize("name", [7, ["a"], "x" * 201, "a\nb", {"a": 1}])
async def test_what_is_no_session_s_name_is_refused(
    interpreter: CodeInterpreter, backend: InMemoryBackend, name: object
) -> None:
    async with Client(create_server(interpreter)) as client:
        meta: Any = {SESSION_KEY: name}
        refused = await client.call_tool("execute_code", COUNT, meta=meta)

    assert refused.is_error
    assert "must be a text" in text(refused)
    assert backend.started == 0


async def test_the_host_decides_whose_a_request_is(interpreter: CodeInterpreter) -> None:
    def who(context: Any) -> Scope:
        return Scope(user_id="ada", session_id=(context.meta or {}).get("team", "none"))

    async with Client(create_server(interpreter, scope=who)) as client:
        red: Any = {"team": "red"}
        await client.call_tool("execute_code", COUNT, meta=red)
        await client.call_tool("execute_code", COUNT)
        again = await client.call_tool("execute_code", COUNT, meta=red)

    assert text(again) == "2"
    outcome = interpreter.call("execute_code", COUNT, scope=Scope(user_id="ada", session_id="red"))
    assert outcome.text == "3"


async def test_one_scope_for_all_goes_on_after_its_client_left(
    interpreter: CodeInterpreter,
) -> None:
    server = create_server(interpreter, scope=SCOPE)
    for expected in ["1", "2"]:
        async with Client(server) as client:
            assert text(await client.call_tool("execute_code", COUNT)) == expected


async def test_what_the_host_s_scope_raises_stays_with_the_operator(
    interpreter: CodeInterpreter, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(context: Any) -> Scope:
        raise LookupError(SECRET)

    with caplog.at_level(logging.CRITICAL):
        async with Client(create_server(interpreter, scope=fail)) as client:
            refused = await client.call_tool("execute_code", COUNT)
            with pytest.raises(MCPError) as unread:
                await client.list_resources()

    assert refused.is_error
    assert "not set up correctly" in text(refused)
    assert SECRET not in str(refused) + str(unread.value)


def test_options_that_cannot_be_are_refused(interpreter: CodeInterpreter) -> None:
    wrong: Any = 7
    with pytest.raises(ConfigurationError, match="scope must be"):
        create_server(interpreter, scope=wrong)
    with pytest.raises(ConfigurationError, match="prefix"):
        create_server(interpreter, prefix="a b")
    with pytest.raises(ConfigurationError, match="no CodeInterpreter"):
        create_server(wrong)
    with pytest.raises(ConfigurationError, match="collection of names"):
        create_server(interpreter, available_skills="visual-design")


@both_eras
async def test_the_skill_is_the_instructions_a_prompt_and_a_resource(
    interpreter: CodeInterpreter, backend: InMemoryBackend, mode: Mode
) -> None:
    server = create_server(interpreter, available_skills=["visual-design"])
    async with Client(server, mode=mode) as client:
        (prompt,) = (await client.list_prompts()).prompts
        (message,) = (await client.get_prompt(prompt.name)).messages
        first = (await client.list_resources()).resources[0]
        (page,) = (await client.read_resource(first.uri)).contents
        with pytest.raises(MCPError, match="There is no prompt 'other'"):
            await client.get_prompt("other")
        instructions = client.instructions

    expected = skill_prompt(["visual-design"], backend=backend)
    assert prompt.name == "code-interpreter"
    assert message.content.type == "text"
    assert (message.content.text, instructions) == (expected, expected)
    assert first.uri == "skill://code-interpreter/SKILL.md"
    assert isinstance(page, TextResourceContents)
    assert page.text == (SKILL_DIR / "SKILL.md").read_text()


@both_eras
async def test_saved_files_and_uploads_are_resources(
    interpreter: CodeInterpreter, mode: Mode
) -> None:
    interpreter.upload("sales ü.csv", b"a;b\r\n", scope=SCOPE)
    async with Client(create_server(interpreter, scope=SCOPE), mode=mode) as client:
        await client.call_tool("execute_code", PICTURE)
        (template,) = (await client.list_resource_templates()).resource_templates
        listed = (await client.list_resources()).resources
        files = [resource for resource in listed if resource.uri.startswith("workspace:")]
        contents = [(await client.read_resource(file.uri)).contents[0] for file in files]

    assert template.uri_template == "workspace:///{+path}"
    assert [(file.name, file.uri, file.mime_type) for file in files] == [
        ("code-interpreter/a.png", "workspace:///code-interpreter/a.png", "image/png"),
        ("uploads/sales ü.csv", "workspace:///uploads/sales%20%C3%BC.csv", "text/csv"),
    ]
    png, csv = contents
    stored = interpreter.download("code-interpreter/a.png", scope=SCOPE)
    assert b64decode(getattr(png, "blob", "")) == stored
    assert getattr(csv, "text", "") == "a;b\r\n"


@pytest.mark.parametrize(
    "uri",
    [
        "workspace:///code-interpreter/none.png",
        "workspace:///code-interpreter/../../../../etc/passwd",
        "workspace:///state/manifest.json",
        "workspace:///",
        "skill://code-interpreter/../SKILL.md",
        "skill://code-interpreter/%2e%2e/__init__.py",
        "file:///etc/passwd",
    ],
)
async def test_what_is_no_resource_is_not_read(interpreter: CodeInterpreter, uri: str) -> None:
    async with Client(create_server(interpreter)) as client:
        with pytest.raises(MCPError, match="There is no resource"):
            await client.read_resource(uri)


async def test_a_conversation_s_files_are_nobody_else_s_resources(
    interpreter: CodeInterpreter,
) -> None:
    server = create_server(interpreter)
    async with Client(server) as one, Client(server) as other:
        await one.call_tool("execute_code", PICTURE)
        mine = (await one.list_resources()).resources
        theirs = (await other.list_resources()).resources
        with pytest.raises(MCPError, match="There is no resource"):
            await other.read_resource(mine[-1].uri)

    assert mine[-1].name == "code-interpreter/a.png"
    assert [resource.uri for resource in theirs] == [r.uri for r in mine[:-1]]


async def test_a_very_large_file_is_not_sent_as_a_resource(interpreter: CodeInterpreter) -> None:
    interpreter.upload("big.bin", b"\xff" * 10_000_001, scope=SCOPE)
    async with Client(create_server(interpreter, scope=SCOPE)) as client:
        with pytest.raises(MCPError, match="more than 10,000,000 bytes"):
            await client.read_resource("workspace:///uploads/big.bin")


async def test_many_files_are_listed_page_by_page(interpreter: CodeInterpreter) -> None:
    for number in range(1_001):
        interpreter.upload(f"{number:04}.txt", b"", scope=SCOPE)
    skill = len(list_resources(interpreter, Scope(user_id="a", session_id="b"), after="").resources)
    names: list[str] = []
    pages = 0
    cursor = None
    async with Client(create_server(interpreter, scope=SCOPE)) as client:
        while True:
            page = await client.list_resources(cursor=cursor)
            names += [resource.name for resource in page.resources]
            pages += 1
            if (cursor := page.next_cursor) is None:
                break

    assert pages == 3
    assert names[skill:] == [f"uploads/{number:04}.txt" for number in range(1_001)]


async def test_a_workspace_that_fails_is_told_in_one_fixed_sentence() -> None:
    class Broken(InMemoryWorkspace):
        def list(self, prefix: str) -> Any:
            raise WorkspaceError(SECRET)

    with CodeInterpreter(InMemoryBackend(run_python=True), Broken()) as interpreter:
        async with Client(create_server(interpreter)) as client:
            with pytest.raises(MCPError) as error:
                await client.list_resources()

    assert "The workspace cannot be used at present" in str(error.value)
    assert SECRET not in str(error.value)
