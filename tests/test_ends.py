"""The end of a process ends its sandboxes, however it comes; the emulator says whether it did."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import boto3
import pytest

from ci_toolkit import CodeInterpreter, Limits, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.memory import InMemoryBackend, InMemorySandbox
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.testing.emulator import endpoint_variables

PROGRAM = """
import os, signal, sys, time
from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
{before}
interpreter = CodeInterpreter(AgentCoreBackend())
for number in range(3):
    scope = Scope(user_id="ada", session_id=str(number))
    assert not interpreter.call("execute_code", {{"code": "1"}}, scope=scope).is_error
print("ready", flush=True)
{after}
"""


@pytest.fixture(scope="module")
def backend() -> InMemoryBackend:
    return InMemoryBackend(run_python=True)


@pytest.fixture(scope="module")
def url(backend: InMemoryBackend) -> Iterator[str]:
    with AgentCoreEmulator(backend) as url:
        yield url


def program(url: str, before: str = "", after: str = "time.sleep(60)") -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(before=before, after=after)],
        env={**os.environ, **endpoint_variables(url)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def test_sigterm_ends_all_sandboxes_and_then_the_process_by_the_signal(
    url: str, backend: InMemoryBackend
) -> None:
    with program(url) as process:
        assert len(backend.sandboxes) == 3
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM

    assert not backend.sandboxes


class Slow(InMemoryBackend):
    """Starts a sandbox when it is told to."""

    def __init__(self) -> None:
        super().__init__(run_python=True)
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def start(self, *, name: str) -> InMemorySandbox:
        self.begun.release()
        assert self.go.wait(30)
        return super().start(name=name)


STARTING = """
import threading
from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
interpreter = CodeInterpreter(AgentCoreBackend())
def start(user):
    interpreter.call("execute_code", {"code": "1"}, scope=Scope(user_id=user, session_id="s"))
threading.Thread(target=start, args=("a",)).start()
start("b")
"""


def test_sigterm_during_a_start_leaves_no_sandbox_behind() -> None:
    backend = Slow()
    with AgentCoreEmulator(backend) as url:
        environment = {**os.environ, **endpoint_variables(url)}
        with subprocess.Popen([sys.executable, "-c", STARTING], env=environment) as process:
            for _ in range(2):
                assert backend.begun.acquire(timeout=30)
            process.terminate()
            time.sleep(0.3)
            backend.go.set()
            assert process.wait(30) == -signal.SIGTERM

        assert backend.started == 2
        assert not backend.sandboxes


def test_ctrl_c_during_a_start_leaves_no_sandbox_behind() -> None:
    backend = Slow()
    session = boto3.Session(
        aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )
    with AgentCoreEmulator(backend) as url:
        service = AgentCoreBackend(boto_session=session, endpoint_url=url)

        def press() -> None:
            assert backend.begun.acquire(timeout=30)
            os.kill(os.getpid(), signal.SIGINT)

        presses = threading.Thread(target=press)
        presses.start()
        with pytest.raises(KeyboardInterrupt):
            service.start(name="given up")
        presses.join()
        backend.go.set()
        deadline = time.monotonic() + 30
        while (not backend.started or backend.sandboxes) and time.monotonic() < deadline:
            time.sleep(0.01)

        assert backend.started == 1
        assert not backend.sandboxes
        service.close()


def test_sigterm_is_left_to_a_program_that_hears_it_itself(
    url: str, backend: InMemoryBackend
) -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"
    with program(url, before=own) as process:
        process.terminate()
        assert process.wait(30) == 7

    assert not backend.sandboxes


def test_the_regular_end_ends_all_sandboxes(url: str, backend: InMemoryBackend) -> None:
    with program(url, after="") as process:
        assert process.wait(30) == 0

    assert not backend.sandboxes


def test_the_end_of_a_fork_ends_nothing(url: str, backend: InMemoryBackend) -> None:
    forked = "pid = os.fork()\nif pid == 0: sys.exit()\nos.waitpid(pid, 0)\n"
    with program(url, after=f"{forked}print('forked', flush=True); time.sleep(60)") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "forked\n"
        assert len(backend.sandboxes) == 3
        process.terminate()
        process.wait(30)

    assert not backend.sandboxes


def test_an_interpreter_that_nobody_has_any_more_ends_its_sandboxes() -> None:
    backend = InMemoryBackend(run_python=True)
    interpreter = CodeInterpreter(backend)
    interpreter.call("execute_code", {"code": "1"}, scope=Scope(user_id="a", session_id="s"))
    assert len(backend.sandboxes) == 1

    del interpreter

    assert not backend.sandboxes


def test_an_idle_session_is_ended_without_any_further_call() -> None:
    backend = InMemoryBackend(run_python=True)
    interpreter = CodeInterpreter(backend, limits=Limits(idle_seconds=0.05))
    scope = Scope(user_id="a", session_id="s")
    interpreter.call("execute_code", {"code": "1"}, scope=scope)

    deadline = time.monotonic() + 30
    while backend.sandboxes and time.monotonic() < deadline:
        time.sleep(0.01)

    assert not backend.sandboxes
    assert "lost" in interpreter.call("execute_code", {"code": "1"}, scope=scope).text
