"""Commands and files of the AgentCore backend, in confined sandboxes behind the emulator."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import boto3
import pytest

from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.base import Sandbox
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.transfers import Transfers
from ci_toolkit.emulator import AgentCoreEmulator, Fault
from ci_toolkit.errors import (
    BackendUnavailableError,
    FileMissingError,
    OutcomeUnknownError,
    PathOutsideError,
    ThrottledError,
    UnsupportedError,
    WriteFailedError,
)
from ci_toolkit.results import FileWrite

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def emulator() -> Iterator[AgentCoreEmulator]:
    backend = LocalBackend()
    emulator = AgentCoreEmulator(backend)
    with emulator:
        yield emulator
    backend.close()


@pytest.fixture(scope="module")
def backend(emulator: AgentCoreEmulator) -> Iterator[AgentCoreBackend]:
    keys = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none")
    backend = AgentCoreBackend("us-east-1", endpoint_url=emulator.url, boto_session=keys)
    yield backend
    backend.close()


@pytest.fixture
def sandbox(backend: AgentCoreBackend, emulator: AgentCoreEmulator) -> Iterator[Sandbox]:
    emulator.clear_faults()
    sandbox = backend.start(name="test")
    emulator.requests.clear()
    yield sandbox
    sandbox.close()


def tools(emulator: AgentCoreEmulator) -> list[str]:
    return [request.tool for request in emulator.requests]


class TestCommands:
    def test_bytes_come_as_they_were_written(self, sandbox: Sandbox) -> None:
        answer = sandbox.execute_command(
            r"printf 'a\r\nb\tc\001\033[31m\n\n'; printf ' e ' >&2", timeout=20
        )
        assert (answer.stdout, answer.stderr) == ("a\r\nb\tc\x01\x1b[31m\n\n", " e ")

    def test_a_command_is_one_call(self, sandbox: Sandbox, emulator: AgentCoreEmulator) -> None:
        sandbox.execute_command("echo a", timeout=20)
        assert tools(emulator) == ["executeCommand"]

    @pytest.mark.parametrize("size", [90_000, 300_000])
    def test_a_long_command_is_run_as_well(self, sandbox: Sandbox, size: int) -> None:
        answer = sandbox.execute_command(
            f"echo {'x' * size} | wc -c; ls -A | grep '^.ci-'", timeout=20
        )
        assert answer.stdout == f"{size + 1}\n"

    def test_a_long_output_is_kept_in_a_file(self, sandbox: Sandbox) -> None:
        answer = sandbox.execute_command("seq 1000000; echo error >&2", timeout=30)
        assert answer.stdout.startswith("1\n2\n3\n")
        assert answer.stdout.endswith("\n1000000\n")
        assert " bytes left out ...]\n" in answer.stdout
        assert (answer.stderr, answer.output_bytes) == ("error\n", 6_888_902)
        (content,) = sandbox.read_files([answer.output_file])
        whole = b"".join(content.chunks).replace(b"error\n", b"")
        assert whole == b"".join(b"%d\n" % n for n in range(1, 1_000_001))

    def test_a_flood_is_bounded(self, sandbox: Sandbox) -> None:
        answer = sandbox.execute_command("yes | head -c 300000000", timeout=60)
        assert (answer.exit_code, answer.output_bytes) == (0, 300_000_000)
        assert len(answer.stdout) < 200_000
        (listing,) = sandbox.list_files([answer.output_file])
        assert listing.entries[0].size == 64 * 1024 * 1024

    def test_time_is_up_for_all_that_a_command_started(self, sandbox: Sandbox) -> None:
        began = time.monotonic()
        command = "(setsid sleep 51 &) ; sleep 52 & echo first; sleep 53"
        answer = sandbox.execute_command(command, timeout=1)
        assert time.monotonic() - began < 10
        assert (answer.ended, answer.stdout, answer.state_kept) == ("timed_out", "first\n", True)
        left = sandbox.execute_command("grep -lz '^5[123]$' /proc/[0-9]*/cmdline", timeout=20)
        assert left.stdout == ""

    def test_what_stays_in_the_background_can_go_on_writing(self, sandbox: Sandbox) -> None:
        command = "(for i in 1 2 3 4; do sleep 0.3; echo $i; done; touch done.txt) &"
        assert sandbox.execute_command(command, timeout=20).exit_code == 0
        wait = "for i in $(seq 50); do [ -e done.txt ] && exit; sleep 0.1; done; exit 1"
        assert sandbox.execute_command(wait, timeout=20).exit_code == 0

    def test_a_command_of_more_than_a_calls_time_runs_as_a_task(
        self, sandbox: Sandbox, emulator: AgentCoreEmulator
    ) -> None:
        answer = sandbox.execute_command("sleep 1; echo out; echo err >&2; exit 3", timeout=3600)
        assert (answer.stdout, answer.stderr, answer.exit_code) == ("out\n", "err\n", 3)
        assert tools(emulator)[0] == "startCommandExecution"
        assert set(tools(emulator)[1:]) == {"getTask"}

    def test_a_task_is_interrupted_and_keeps_its_output(self, sandbox: Sandbox) -> None:
        with ThreadPoolExecutor(1) as threads:
            run = threads.submit(sandbox.execute_command, "echo first; sleep 50", timeout=3600)
            time.sleep(1)
            sandbox.interrupt()
            answer = run.result(timeout=15)
        assert (answer.ended, answer.stdout, answer.state_kept) == ("interrupted", "first\n", True)
        assert sandbox.execute_command("echo on", timeout=20).stdout == "on\n"

    @pytest.mark.parametrize("kind", ["cut_inside", "corrupted_frame", "exception_in_stream"])
    def test_whatever_breaks_a_command_runs_once(
        self, sandbox: Sandbox, emulator: AgentCoreEmulator, kind: str
    ) -> None:
        emulator.fault(Fault(kind=kind, tool="executeCommand"))  # type: ignore[arg-type]
        with pytest.raises(OutcomeUnknownError):
            sandbox.execute_command("echo ran >> runs.txt", timeout=20)
        assert sandbox.execute_command("cat runs.txt", timeout=20).stdout == "ran\n"

    def test_code_in_another_language_that_does_not_end_is_ended(self, sandbox: Sandbox) -> None:
        began = time.monotonic()
        answer = sandbox.execute_code(
            "console.log('first'); while (true) {}", language="javascript", timeout=3
        )
        assert time.monotonic() - began < 18
        assert (answer.ended, answer.failed) == ("timed_out", True)


class TestFiles:
    def test_many_small_files_travel_in_few_calls(
        self, sandbox: Sandbox, emulator: AgentCoreEmulator
    ) -> None:
        data = random.Random(0).randbytes(100_000)
        contents = {f"many/{n}.bin": data[n:] + data[:n] for n in range(300)}
        files = [FileWrite(path=path, chunks=[data]) for path, data in contents.items()]
        assert {o.error for o in sandbox.write_files(files)} == {None}
        assert tools(emulator) == ["writeFiles", "writeFiles", "executeCommand"]
        emulator.requests.clear()
        read = {c.path: b"".join(c.chunks) for c in sandbox.read_files(list(contents))}
        assert read == contents
        assert len(emulator.requests) <= 10

    def test_a_small_batch_is_one_call_each_way(
        self, sandbox: Sandbox, emulator: AgentCoreEmulator
    ) -> None:
        paths = [f"{n}.txt" for n in range(10)]
        sandbox.write_files([FileWrite(path=p, chunks=[p.encode() * 100]) for p in paths])
        assert [b"".join(c.chunks) for c in sandbox.read_files(paths)] == [
            p.encode() * 100 for p in paths
        ]
        sandbox.list_files([""], checksums=True)
        sandbox.remove_files(paths)
        assert tools(emulator) == ["executeCommand"] * 4

    def test_nothing_of_the_runtime_or_of_a_transfer_is_listed(self, sandbox: Sandbox) -> None:
        sandbox.write_files([FileWrite(path="big.bin", chunks=[bytes(3_000_000)])])
        assert b"".join(next(sandbox.read_files(["big.bin"])).chunks) == bytes(3_000_000)
        (listing,) = sandbox.list_files([""], recursive=True)
        assert [entry.path for entry in listing.entries] == ["big.bin"]
        left = sandbox.execute_command("ls -A | grep -c '^.ci-'", timeout=20)
        assert left.stdout == "0\n"

    def test_the_kernel_knows_nothing_of_file_work(self, sandbox: Sandbox) -> None:
        names = "print(sorted(n for n in dir() if not n.startswith('_')))"
        before = sandbox.execute_code(names, timeout=30).stdout
        sandbox.write_files([FileWrite(path="a", chunks=[b"a"])])
        list(sandbox.read_files(["a"]))
        sandbox.list_files([""])
        assert sandbox.execute_code(names, timeout=30).stdout == before

    def test_thousands_of_paths_are_no_matter(self, sandbox: Sandbox) -> None:
        paths = [f"folder-with-a-long-name/{'x' * 50}-{n}.txt" for n in range(3000)]
        sandbox.write_files([FileWrite(path=p, chunks=[b"a"]) for p in paths])
        assert [c.path for c in sandbox.read_files(paths)] == paths
        assert {o.error for o in sandbox.remove_files(paths)} == {None}

    def test_a_refused_path_takes_nothing_from_the_others(self, sandbox: Sandbox) -> None:
        data = random.Random(0).randbytes(200_000)
        files = [FileWrite(path=path, chunks=[data]) for path in ("a", "../b", "a/c", "d")]
        kinds = [type(outcome.error) for outcome in sandbox.write_files(files)]
        assert kinds == [type(None), PathOutsideError, WriteFailedError, type(None)]
        assert [b"".join(c.chunks) for c in sandbox.read_files(["a", "d"])] == [data, data]

    def test_what_the_sandbox_does_not_take_is_not_written(
        self, sandbox: Sandbox, emulator: AgentCoreEmulator
    ) -> None:
        emulator.fault(Fault(kind="throttle", tool="writeFiles", times=99))
        with pytest.raises(ThrottledError):
            sandbox.write_files([FileWrite(path="a", chunks=[bytes(200_000)])])
        emulator.clear_faults()
        (listing,) = sandbox.list_files([""])
        assert listing.entries == ()

    @pytest.mark.parametrize("tool", ["executeCommand", "readFiles"])
    @pytest.mark.parametrize("kind", ["server_error", "cut_before", "truncated_frame"])
    def test_a_read_that_breaks_is_an_error_and_no_short_file(
        self, sandbox: Sandbox, emulator: AgentCoreEmulator, tool: str, kind: str
    ) -> None:
        data = random.Random(0).randbytes(9_000_000)
        sandbox.write_files([FileWrite(path="a", chunks=[data])])
        emulator.fault(Fault(kind=kind, tool=tool, after=1))  # type: ignore[arg-type]
        with pytest.raises((OutcomeUnknownError, BackendUnavailableError)):
            b"".join(next(sandbox.read_files(["a"])).chunks)
        assert b"".join(next(sandbox.read_files(["a"])).chunks) == data

    def test_files_of_a_run_are_told_from_those_before(self, sandbox: Sandbox) -> None:
        sandbox.execute_command("touch before.txt; sleep 0.3", timeout=20)
        run = sandbox.execute_code("open('during.txt', 'w').close()", timeout=30)
        (listing,) = sandbox.list_files([""])
        changed = [entry.path for entry in listing.entries if entry.changed >= run.started - 0.02]
        assert changed == ["during.txt"]


class _Store(BaseHTTPRequestHandler):
    """Keeps what is put, and gives it back; `/short` breaks off and `/no` is refused."""

    kept: ClassVar[dict[str, tuple[bytes, str | None]]] = {}

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.kept[self.path] = data, self.headers["Content-Type"]
        self._answer(403 if self.path == "/no" else 200, b"")

    def do_GET(self) -> None:
        data, _ = self.kept.get(self.path, (b"", None))
        self._answer(200 if data else 404, data)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) + (self.path == "/short")))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    _Store.kept = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Store)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def open_sandbox() -> Iterator[Sandbox]:
    local = LocalBackend(isolation="none")
    keys = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none")
    with AgentCoreEmulator(local) as url:
        backend = AgentCoreBackend("us-east-1", endpoint_url=url, boto_session=keys)
        yield backend.start(name="test")
        backend.close()
    local.close()


class TestTransfers:
    def test_a_file_goes_to_a_url_and_back(self, open_sandbox: Sandbox, store: str) -> None:
        assert isinstance(open_sandbox, Transfers)
        data = random.Random(0).randbytes(5_000_000)
        open_sandbox.write_files([FileWrite(path="a.bin", chunks=[data])])
        sent = open_sandbox.upload_to("a.bin", f"{store}/a", {"content-type": "image/png"})
        assert (sent.size, sent.sha256) == (len(data), sha256(data).hexdigest())
        assert _Store.kept["/a"] == (data, "image/png")
        got = open_sandbox.download_from(f"{store}/a", "b/c.bin", sha256=sent.sha256)
        assert (got.error, got.size, got.sha256) == (None, len(data), sent.sha256)
        assert b"".join(next(open_sandbox.read_files(["b/c.bin"])).chunks) == data

    def test_what_goes_wrong_is_an_outcome_and_shows_no_url(
        self, open_sandbox: Sandbox, store: str
    ) -> None:
        assert isinstance(open_sandbox, Transfers)
        open_sandbox.write_files([FileWrite(path="d.bin", chunks=[b"content"])])
        open_sandbox.upload_to("d.bin", f"{store}/d", {})
        open_sandbox.upload_to("d.bin", f"{store}/short", {})
        closed = "http://127.0.0.1:9/x?secret=1"
        outcomes = [
            open_sandbox.upload_to("missing", f"{store}/x", {}),
            open_sandbox.upload_to("../out", f"{store}/x", {}),
            open_sandbox.upload_to("d.bin", f"{store}/no", {}),
            open_sandbox.upload_to("d.bin", f"{store}/x", {}, sha256="0" * 64),
            open_sandbox.upload_to("d.bin", closed, {}),
            open_sandbox.download_from(f"{store}/none", "e.bin"),
            open_sandbox.download_from(f"{store}/short", "e.bin"),
            open_sandbox.download_from(f"{store}/d", "e.bin", sha256="0" * 64),
            open_sandbox.download_from(closed, "e.bin"),
        ]
        assert [type(outcome.error) for outcome in outcomes] == [
            FileMissingError,
            PathOutsideError,
            UnsupportedError,
            WriteFailedError,
            UnsupportedError,
            *[WriteFailedError] * 4,
        ]
        assert "secret" not in "".join(str(outcome.error) for outcome in outcomes)
        (content,) = open_sandbox.read_files(["e.bin"])
        assert isinstance(content.error, FileMissingError)
