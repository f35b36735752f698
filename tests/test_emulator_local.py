"""The emulator over real sandboxes: commands, tasks, programs and interrupts as on a machine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import monotonic, sleep
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.emulator import AgentCoreEmulator

pytestmark = pytest.mark.local

SYSTEM = "aws.codeinterpreter.v1"


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    backend.close()


class Peer:
    def __init__(self, url: str) -> None:
        self.boto: Any = boto3.client(
            "bedrock-agentcore",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="emulator",
            aws_secret_access_key="emulator",
            config=Config(retries={"total_max_attempts": 1}),
        )
        self.start()

    def start(self, seconds: int = 900) -> None:
        answer = self.boto.start_code_interpreter_session(
            codeInterpreterIdentifier=SYSTEM, sessionTimeoutSeconds=seconds
        )
        self.session = answer["sessionId"]

    def invoke(self, tool: str, **arguments: object) -> dict[str, Any]:
        answer = self.boto.invoke_code_interpreter(
            codeInterpreterIdentifier=SYSTEM,
            sessionId=self.session,
            name=tool,
            arguments=arguments,
        )
        (event,) = answer["stream"]
        result: dict[str, Any] = event["result"]
        return result

    def command(self, command: str) -> tuple[str, str, int]:
        found = self.invoke("executeCommand", command=command)["structuredContent"]
        return found["stdout"], found["stderr"], found["exitCode"]

    def code(self, code: str, language: str = "python", **more: object) -> str:
        result = self.invoke("executeCode", code=code, language=language, **more)
        return "|".join(block["text"] for block in result["content"])


@pytest.fixture
def peer(backend: LocalBackend) -> Iterator[Peer]:
    with AgentCoreEmulator(backend) as url, closing((peer := Peer(url)).boto):
        yield peer


def test_a_command_is_a_fresh_sh_with_both_channels_on_one_terminal(peer: Peer) -> None:
    text = "echo one; echo two >&2; echo three; cd /; export A=1"

    assert peer.command(text) == ("one\r\ntwo\r\nthree\r\n", "", 0)
    assert peer.command("echo $0 ${A-unset}; pwd") == ("/bin/sh unset\r\n/home/user\r\n", "", 0)
    missing = "/bin/sh: line 1: nosuch: command not found\r\n"
    assert peer.command("nosuch") == ("", missing, 127)
    assert peer.command("kill -9 $$")[2] == 137


def test_what_a_command_leaves_behind_is_killed_when_it_returns(peer: Peer) -> None:
    began = monotonic()
    peer.command("nohup sleep 61.5 & echo started")

    assert monotonic() - began < 5
    assert peer.command("pgrep -fx 'sleep 61.5'") == ("", "", 1)


def test_long_output_is_whole(peer: Peer) -> None:
    stdout, _, _ = peer.command("seq 100000")

    assert stdout == "".join(f"{n}\r\n" for n in range(1, 100_001))


def test_a_command_that_breaks_what_it_runs_in_is_told_as_killed(peer: Peer) -> None:
    assert peer.command("rm -rf /tmp/.agentcore-*; sleep 0.3")[2] == 137
    assert peer.command("for d in /tmp/.agentcore-*; do echo x >$d/exit; done; sleep 1")[2] == 137
    assert peer.command("kill -9 0")[2] == 137
    assert peer.command("echo well") == ("well\r\n", "", 0)


def test_a_flood_is_an_error_and_no_harm(peer: Peer) -> None:
    with pytest.raises(ClientError, match="InternalServerException"):
        peer.command("head -c 100000000 /dev/zero | tr '\\0' x")

    assert peer.command("echo well") == ("well\r\n", "", 0)


def test_a_command_longer_than_an_argument_can_be_is_refused(peer: Peer) -> None:
    words = "/bin/sh: Argument list too long\r\n"

    assert peer.command("#" * 131_072) == ("", words, 126)
    assert peer.command("#" * 131_071) == ("", "", 0)


def test_commands_run_beside_each_other_and_can_signal_each_other(peer: Peer) -> None:
    with ThreadPoolExecutor(1) as pool:
        text = "trap 'echo caught; exit 5' INT; echo $$ >pid; while :; do sleep 0.05; done"
        running = pool.submit(peer.command, text)
        while peer.command("test -s pid")[2]:
            sleep(0.05)
        peer.command("kill -INT $(cat pid)")

        assert running.result(timeout=10) == ("", "caught\r\n", 5)


def test_a_command_that_interrupts_ends_the_code_that_runs(peer: Peer) -> None:
    peer.code("x = 1")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(peer.code, "import time\nprint('on')\ntime.sleep(60)")
        sleep(1.0)
        assert peer.command("pid=$(pgrep -f ipykernel | head -1); kill -INT $pid") == ("", "", 0)
        told = running.result(timeout=20)

    assert told.startswith("on|")
    assert "KeyboardInterrupt" in told
    assert peer.code("x") == "1"


def test_python_is_one_ipython_kernel(peer: Peer) -> None:
    assert peer.code("x = 41") == ""
    assert peer.code("x + 1") == "42"
    assert "Cell In[3], line 1" in peer.code("1 / 0")
    assert peer.code("'x' in globals()", clearContext=True) == "False"


@pytest.mark.parametrize("runtime", [None, "deno", "nodejs"])
@pytest.mark.parametrize("language", ["javascript", "typescript"])
def test_programs_keep_nothing_from_call_to_call(
    peer: Peer, language: str, runtime: str | None
) -> None:
    more = {} if runtime is None else {"runtime": runtime}
    first = peer.code("globalThis.n = 1; console.log('a'); console.error('b')", language, **more)
    second = peer.code("console.log(typeof globalThis.n); throw new Error('bad')", language, **more)

    assert first == "a|b"
    assert second.startswith("undefined|")
    assert "Error: bad" in second
    folder = "nodejs-js-execution" if language == "javascript" else "nodejs-ts-execution"
    assert peer.command(f"ls {folder}") == ("", "", 0)


def test_javascript_of_node_is_commonjs(peer: Peer) -> None:
    assert peer.code("console.log(typeof require)", "javascript", runtime="nodejs") == "function"
    assert peer.code("console.log(typeof require)", "javascript") == "undefined"


def test_javascript_keeps_its_state_where_that_is_asked_for(backend: LocalBackend) -> None:
    emulator = AgentCoreEmulator(backend, keep_javascript_state=True)
    with emulator as url, closing((peer := Peer(url)).boto):
        peer.code("let n = 41", "javascript")

        assert peer.code("n + 1", "javascript") == "42"


def test_a_task_runs_beside_calls_and_can_be_stopped(peer: Peer) -> None:
    def start(command: str) -> str:
        found = peer.invoke("startCommandExecution", command=command)["structuredContent"]
        return str(found["taskId"])

    def state(task: str) -> dict[str, Any]:
        found: dict[str, Any] = peer.invoke("getTask", taskId=task)["structuredContent"]
        return found

    short, long, bad = start("sleep 0.5; echo done"), start("sleep 61.25"), start("echo no; exit 4")
    working = state(short)
    between = peer.code("6 * 7")
    while (ended := state(short)) == working:
        sleep(0.05)
    peer.invoke("stopTask", taskId=long)
    failed = state(bad)

    assert (working, between) == ({"taskStatus": "working"}, "42")
    assert 0.5 <= ended.pop("executionTime") < 5
    assert ended == {"taskStatus": "completed", "stdout": "done\r\n", "stderr": "", "exitCode": 0}
    assert state(long) == {"taskStatus": "canceled"}
    assert peer.command("pgrep -fx 'sleep 61.25'")[2] == 1
    assert (failed["taskStatus"], failed["stderr"], failed["exitCode"]) == ("failed", "no\r\n", 4)


def test_files_of_code_commands_and_file_tools_are_the_same(peer: Peer) -> None:
    peer.code("open('a.txt', 'w').write('from code')")
    peer.command("mkdir d; echo from command >d/b.txt")
    content = peer.invoke("readFiles", paths=["a.txt", "d/b.txt"])["content"]

    assert [b["resource"]["text"] for b in content] == ["from code", "from command\n"]


def test_a_running_call_conflicts_when_the_real_time_is_up(peer: Peer) -> None:
    peer.start(seconds=2)
    began = monotonic()
    with pytest.raises(ClientError) as caught:
        peer.code("import time; time.sleep(60)")

    assert caught.value.response["Error"]["Code"] == "ConflictException"
    assert 1 < monotonic() - began < 5
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        peer.code("1")
