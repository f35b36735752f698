"""Many sessions at once, and one session from several processes, on the AgentCore emulator."""

import asyncio
import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import boto3
import psutil
import pytest

from ci_toolkit import CodeInterpreter, Limits, Outcome, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.base import Backend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend, InMemorySandbox
from ci_toolkit.bridge import Bridge
from ci_toolkit.emulator import AgentCoreEmulator, Fault
from ci_toolkit.emulator.faults import FaultKind
from ci_toolkit.testing.emulator import endpoint_variables
from ci_toolkit.workspaces import InMemoryWorkspace

SCOPE = Scope(user_id="ada", session_id="thread-1")
KEYS = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1")
LOST = "Note: The earlier sandbox is gone"

PROCESS = """
import json, sys
from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.workspaces import DirectoryWorkspace
interpreter = CodeInterpreter(AgentCoreBackend(), DirectoryWorkspace(sys.argv[1]))
scope = Scope(user_id="ada", session_id="thread-1")
for line in sys.stdin:
    outcome = interpreter.call("execute_code", {"code": json.loads(line)}, scope=scope)
    print(json.dumps(outcome.text), flush=True)
"""


class Process:
    """Another process that goes on with the same conversation."""

    def __init__(self, url: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(folder)],
            env={**os.environ, **endpoint_variables(url)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline()))

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def end(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


def test_two_processes_share_the_variables_of_one_conversation_killed_or_not(
    tmp_path: Path,
) -> None:
    backend = InMemoryBackend(run_python=True)
    with AgentCoreEmulator(backend) as url:
        first, second = Process(url, tmp_path), Process(url, tmp_path)
        said = [first.run("n = 1; print(n)")]
        said += [process.run("n += 1; print(n)") for process in (second, first, second, first)]
        first.kill()
        said += [second.run("n += 1; print(n)")]
        third = Process(url, tmp_path)
        said += [process.run("n += 1; print(n)") for process in (third, second)]
        second.kill()
        said += [third.run("n += 1; print(n)")]
        third.end()

    assert said == [str(number) for number in range(1, 10)]
    assert backend.started == 1
    assert not backend.sandboxes


def run(interpreter: CodeInterpreter, scope: Scope, code: str, **more: str) -> Outcome:
    return interpreter.call("execute_code", {"code": code, **more}, scope=scope)


FAULTS: list[FaultKind] = [
    "throttle",
    "server_error",
    "exception_in_stream",
    "cut_before",
    "cut_inside",
    "cut_after",
    "truncated_frame",
    "corrupted_frame",
    "split_result",
    "unknown_block",
    "unknown_event",
]


def go_wrong(emulator: AgentCoreEmulator, every: int, requests: int) -> None:
    """Lets one of so many requests go wrong, in all ways in turn."""
    for number in range(requests // every):
        kind = FAULTS[number % len(FAULTS)]
        emulator.fault(Fault(kind=kind, after=number * every))


def conversation(
    interpreter: CodeInterpreter, scope: Scope, calls: int, expire: Callable[[], None]
) -> Counter[str]:
    """Calls that each prove that they run once and in their own conversation; how they ended."""
    ended = Counter[str]()
    for number in range(calls):
        if number == calls // 2:
            expire()
        code = (
            f"mine = globals().setdefault('mine', {scope.user_id!r})\n"
            f"done = globals().setdefault('done', [])\ndone.append({number})\n"
            f"print('call {number} of', mine, done.count({number}))"
        )
        outcome = run(interpreter, scope, code)
        assert set(re.findall(r"user-\d+", outcome.text)) <= {scope.user_id}
        # A call that tells of a loss may fail itself.
        ended["lost"] += LOST in outcome.text
        ended["failed" if outcome.is_error else "went well"] += 1
        if not outcome.is_error:
            assert outcome.text.split("\n")[-1] == f"call {number} of {scope.user_id} 1"
    return ended


@pytest.mark.timeout(300)
def test_64_sessions_at_once_over_faults_of_every_kind_keep_apart_and_leave_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # What is logged here is kept, with its errors, their frames, and their connections.
    caplog.set_level(logging.CRITICAL, "ci_toolkit")
    sessions, calls = 64, 20
    backend = InMemoryBackend(run_python=True)
    process = psutil.Process()
    before = process.num_threads(), process.num_fds()
    emulator = AgentCoreEmulator(backend)
    with emulator as url:
        interpreter = CodeInterpreter(AgentCoreBackend(boto_session=KEYS, endpoint_url=url))
        go_wrong(emulator, every=20, requests=sessions * (calls + 1))

        def talk(number: int) -> Counter[str]:
            scope = Scope(user_id=f"user-{number}", session_id="thread-1")

            def expire() -> None:
                if number % 8 == 0:
                    (state,) = interpreter.describe(scope)
                    if state["sandbox"] is not None:
                        emulator.expire(str(state["sandbox"]))

            return conversation(interpreter, scope, calls, expire)

        with ThreadPoolExecutor(sessions) as pool:
            ended = sum(pool.map(talk, range(sessions)), Counter[str]())
        interpreter.close()
        assert not backend.sandboxes

    assert ended["failed"] + ended["went well"] == sessions * calls
    # All faults happened; throttling and some others cost nothing, the rest one call each.
    happened = Counter(record.fault for record in emulator.requests if record.fault)
    assert set(happened) == set(FAULTS)
    assert 0 < ended["failed"] <= happened.total()
    assert ended["lost"] >= sessions // 8
    gc.collect()  # Connections that broke are in the frames of their errors.
    deadline = time.monotonic() + 20
    while process.num_threads() > before[0] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert process.num_threads() <= before[0]
    assert process.num_fds() <= before[1]


@pytest.mark.local
def test_what_was_told_to_be_saved_is_saved_whatever_goes_wrong() -> None:
    sessions, calls = 4, 8
    workspace = InMemoryWorkspace()
    emulator = AgentCoreEmulator(engine := LocalBackend())
    with emulator as url, closing(engine):
        service = AgentCoreBackend(boto_session=KEYS, endpoint_url=url)
        with CodeInterpreter(service, workspace) as interpreter:
            go_wrong(emulator, every=8, requests=sessions * calls * 4)

            def talk(number: int) -> int:
                scope = Scope(user_id=f"user-{number}", session_id="thread-1")
                saved = 0
                for call in range(calls):
                    name = f"{call}.txt"
                    code = f"open({name!r}, 'w').write('{number}/{call}')"
                    outcome = run(interpreter, scope, code, output_filename=name)
                    told = f"Saved {name} to the workspace as code-interpreter/{name}"
                    if told in outcome.text:
                        saved += 1
                        content = interpreter.download(f"code-interpreter/{name}", scope=scope)
                        assert content == f"{number}/{call}".encode()
                    else:
                        assert outcome.is_error
                return saved

            with ThreadPoolExecutor(sessions) as pool:
                saved = sum(pool.map(talk, range(sessions)))
    assert sessions * calls // 2 < saved


def test_a_call_in_the_steady_state_is_one_request_to_the_service() -> None:
    emulator = AgentCoreEmulator(InMemoryBackend(run_python=True))
    with emulator as url:
        service = AgentCoreBackend(boto_session=KEYS, endpoint_url=url)
        with CodeInterpreter(service) as interpreter:
            run(interpreter, SCOPE, "x = 0")
            before = len(emulator.requests)
            said = [run(interpreter, SCOPE, "x += 1; print(x)").text for _ in range(5)]
            asked = [request.tool for request in emulator.requests[before:]]

    assert said == ["1", "2", "3", "4", "5"]
    assert asked == ["executeCode"] * 5


def test_64_sessions_start_side_by_side_through_one_bridge() -> None:
    everybody = threading.Barrier(64, timeout=60)

    class Meeting(InMemoryBackend):
        def start(self, *, name: str) -> InMemorySandbox:
            everybody.wait()
            return super().start(name=name)

    async def start(interpreter: CodeInterpreter) -> list[Outcome]:
        bridge = Bridge(interpreter)
        scopes = [Scope(user_id=f"user-{n}", session_id="s") for n in range(64)]
        calls = (bridge.acall("execute_code", {"code": "print(1)"}, scope=s) for s in scopes)
        return await asyncio.gather(*calls)

    with CodeInterpreter(Meeting(run_python=True)) as interpreter:
        outcomes = asyncio.run(start(interpreter))

    assert [outcome.text for outcome in outcomes] == ["1"] * 64


@pytest.mark.local
@pytest.mark.parametrize("where", ["local", "agentcore"])
async def test_a_long_run_that_is_cancelled_ends_and_leaves_its_variables(where: str) -> None:
    with ExitStack() as stack:
        engine = LocalBackend()
        backend: Backend = engine
        if where == "agentcore":
            stack.callback(engine.close)
            url = stack.enter_context(AgentCoreEmulator(engine))
            backend = AgentCoreBackend(boto_session=KEYS, endpoint_url=url)
        interpreter = stack.enter_context(CodeInterpreter(backend, limits=Limits(timeout=600)))
        bridge = Bridge(interpreter)

        async def call(code: str) -> str:
            return (await bridge.acall("execute_code", {"code": code}, scope=SCOPE)).text

        assert await call("x = 1; print(x)") == "1"
        task = asyncio.create_task(call("x = 2\nimport time\ntime.sleep(600)"))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await call("print(x)") == "2"


@pytest.mark.local
@pytest.mark.parametrize("where", ["local", "agentcore"])
def test_ctrl_c_ends_the_run_and_leaves_the_session(where: str) -> None:
    with ExitStack() as stack:
        engine = LocalBackend()
        backend: Backend = engine
        if where == "agentcore":
            stack.callback(engine.close)
            url = stack.enter_context(AgentCoreEmulator(engine))
            backend = AgentCoreBackend(boto_session=KEYS, endpoint_url=url)
        interpreter = stack.enter_context(CodeInterpreter(backend, limits=Limits(timeout=600)))
        assert run(interpreter, SCOPE, "x = 1; print(x)").text == "1"
        timer = threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            run(interpreter, SCOPE, "x = 2\nimport time\ntime.sleep(600)")

        assert run(interpreter, SCOPE, "print(x)").text == "2"
