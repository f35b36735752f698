"""What the front doors share: calls from event loops, cancellation, options, missing extras."""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from threading import Event, current_thread

import pytest

from ci_toolkit import CodeInterpreter, ConfigurationError, Scope
from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.bridge import Bridge
from ci_toolkit.cancellation import Cancellation
from ci_toolkit.doors import offers, scope_finder
from ci_toolkit.errors import ToolError

SCOPE = Scope(user_id="ada", session_id="thread-1")


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend(run_python=True)


@pytest.fixture
def interpreter(backend: InMemoryBackend) -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend) as interpreter:
        yield interpreter


def waiting(begun: Event) -> Callable[[Request], str]:
    """A run that lasts until it is interrupted."""

    def wait(request: Request) -> str:
        begun.set()
        request.interrupted.wait(30)
        return "so far"

    return wait


async def until(event: Event) -> None:
    await asyncio.to_thread(event.wait, 10)


def test_a_bridge_answers_the_same_synchronously_and_asynchronously(
    interpreter: CodeInterpreter,
) -> None:
    bridge = Bridge(interpreter)
    arguments = {"code": "print('hello')"}

    outcome = bridge.call("execute_code", arguments, scope=SCOPE)

    assert outcome.text == "hello"
    assert asyncio.run(bridge.acall("execute_code", arguments, scope=SCOPE)).text == "hello"
    assert asyncio.run(bridge.acall("execute_code", arguments, scope=SCOPE)).text == "hello"


async def test_calls_run_in_threads_of_the_bridge_within_the_callers_context(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")
    ran: list[tuple[str, str]] = []
    heard: list[tuple[str, str, str]] = []

    def run(request: Request) -> str:
        ran.append((current_thread().name.split("_")[0], user.get()))
        request.print("live")
        return ""

    backend.reply("look()", run)
    user.set("ada")

    await Bridge(interpreter).acall(
        "execute_code",
        {"code": "look()"},
        scope=SCOPE,
        on_output=lambda stream, text: heard.append((stream, text, user.get())),
    )

    assert ran == [("ci-toolkit", "ada")]
    assert heard == [("stdout", "live", "ada")]


async def test_a_cancelled_task_interrupts_its_run_and_leaves_the_session_usable(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    begun = Event()
    backend.reply("wait()", waiting(begun))
    bridge = Bridge(interpreter)
    await bridge.acall("execute_code", {"code": "kept = 7"}, scope=SCOPE)
    task = asyncio.create_task(bridge.acall("execute_code", {"code": "wait()"}, scope=SCOPE))
    await until(begun)
    started = time.monotonic()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - started < 3
    after = await bridge.acall("execute_code", {"code": "print(kept)"}, scope=SCOPE)
    assert (after.text, backend.started) == ("7", 1)


async def test_a_task_that_is_cancelled_twice_is_cancelled(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    begun = Event()
    backend.reply("wait()", waiting(begun))
    call = Bridge(interpreter).acall("execute_code", {"code": "wait()"}, scope=SCOPE)
    task = asyncio.create_task(call)
    await until(begun)

    asyncio.get_running_loop().call_soon(task.cancel)
    asyncio.get_running_loop().call_later(0.001, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task

    assert backend.calls[-1].verb == "interrupt"


async def test_a_call_that_waits_for_a_thread_is_cancelled_before_it_begins(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    begun, stop = Event(), Event()
    backend.reply("wait()", waiting(begun))
    bridge = Bridge(interpreter, threads=1)
    first = asyncio.create_task(
        bridge.acall("execute_code", {"code": "wait()"}, scope=SCOPE, stop=stop)
    )
    await until(begun)
    second = asyncio.create_task(
        bridge.acall("execute_code", {"code": "print(2)"}, scope=SCOPE, stop=stop)
    )

    await asyncio.sleep(0)
    stop.set()
    texts = [outcome.text for outcome in await asyncio.gather(first, second)]

    assert texts[0].startswith("so far\nInterrupted after ")
    assert texts[1] == "Error: The call was cancelled before it began; nothing was run."
    assert [call.verb for call in backend.calls].count("execute_code") == 1


async def test_a_closed_bridge_starts_anew(interpreter: CodeInterpreter) -> None:
    bridge = Bridge(interpreter)
    await bridge.acall("execute_code", {"code": "1"}, scope=SCOPE)

    bridge.close()
    bridge.close()

    assert (await bridge.acall("execute_code", {"code": "1 + 1"}, scope=SCOPE)).text == "2"


def test_idle_threads_keep_no_process_alive() -> None:
    script = (
        "import asyncio\n"
        "from ci_toolkit import CodeInterpreter, Scope\n"
        "from ci_toolkit.backends.memory import InMemoryBackend\n"
        "from ci_toolkit.bridge import Bridge\n"
        "bridge = Bridge(CodeInterpreter(InMemoryBackend(run_python=True)))\n"
        "scope = Scope(user_id='a', session_id='b')\n"
        "call = bridge.acall('execute_code', {'code': '6 * 7'}, scope=scope)\n"
        "print(asyncio.run(call).text)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=False, timeout=30
    )

    assert (done.stdout, done.stderr, done.returncode) == (b"42\n", b"", 0)


@pytest.mark.parametrize(
    ("module", "door", "missing"),
    [
        ("langchain", "langchain", "langchain"),
        ("langchain", "langchain", "langchain_core"),
        ("strands", "strands", "strands"),
        ("testing.scripted_langchain", "langchain", "langchain_core"),
        ("testing.scripted_strands", "strands", "strands"),
        ("backends.strands_sandbox", "strands", "strands"),
        ("backends.deepagents_sandbox", "deepagents", "deepagents"),
        ("mcp", "mcp", "mcp"),
        ("mcp", "mcp", "mcp_types"),
    ],
)
def test_a_missing_extra_is_answered_with_the_line_that_installs_it(
    module: str, door: str, missing: str
) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"try:\n    import ci_toolkit.{module}\n"
        "except ImportError as error:\n    print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )

    assert done.stdout.endswith(f"pip install 'ci-toolkit[{door}]'\n"), done.stderr


def test_a_prefix_renames_the_tools_and_what_their_descriptions_mention() -> None:
    offered = offers(prefix="lab_")

    assert [offer.name for offer in offered] == [
        "lab_execute_code",
        "lab_execute_command",
        "lab_file_operations",
        "lab_ci_push_to_workspace",
    ]
    assert "Shell work belongs in lab_execute_command." in offered[0].description


@pytest.mark.parametrize("prefix", ["my tools ", "ü", "x" * 60])
def test_a_prefix_that_providers_refuse_is_refused_while_building(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        offers(prefix=prefix)


def test_a_scope_option_is_checked_while_building_and_its_answer_in_the_call() -> None:
    with pytest.raises(ConfigurationError, match="callable"):
        scope_finder("thread-1", lambda _: SCOPE)  # type: ignore[arg-type]
    find = scope_finder(str, lambda _: SCOPE)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no Scope"):
        find(None)
    assert scope_finder(None, lambda _: SCOPE)(None) is SCOPE
    assert scope_finder(SCOPE, lambda _: SCOPE)(None) is SCOPE


async def test_what_blocking_work_raises_is_raised_once_and_reported_nowhere_else(
    interpreter: CodeInterpreter,
) -> None:
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["message"])
    )

    def fail(_: Cancellation) -> None:
        raise ToolError("no")

    with pytest.raises(ToolError, match="no"):
        await Bridge(interpreter).run(fail)

    gc.collect()
    await asyncio.sleep(0)
    assert reported == []
