"""What code inside the local sandbox, or bad luck around it, cannot do to the host."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.local.sandbox import LocalSandbox
from ci_toolkit.errors import BackendUnavailableError, SandboxLostError

pytestmark = pytest.mark.local


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[LocalSandbox]:
    backend = LocalBackend(root=tmp_path / "root")
    sandbox = backend.start(name="test")
    assert isinstance(sandbox, LocalSandbox)
    yield sandbox
    backend.close()


def guest() -> psutil.Process:
    everything = psutil.Process().children(recursive=True)
    (guest,) = [p for p in everything if p.cmdline()[2:3] == ["/opt/ci-guest"]]
    return guest


def test_no_file_of_the_kernel_opens_for_writing(sandbox: LocalSandbox) -> None:
    # They are opened only, and nothing is written: where this fails it must do no harm.
    code = """
import os
writable = []
for folder, folders, files in os.walk("/proc"):
    if folder == "/proc":
        folders[:] = [f for f in folders if not f.isdecimal() and f not in ("self", "thread-self")]
    for name in files:
        try:
            os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            continue
        writable.append(os.path.join(folder, name))
print(os.path.exists("/proc/sys/kernel"), writable)
"""
    assert sandbox.execute_code(code, timeout=60).stdout == "True []\n"


def test_the_pipes_and_the_memory_of_the_guest_are_closed_to_code(sandbox: LocalSandbox) -> None:
    code = """
import os
names = ["mem", "environ", "cwd", "root", *(f"fd/{number}" for number in range(20))]
opened = []
for name in names:
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_PATH | os.O_DIRECTORY):
        try:
            os.open(f"/proc/1/{name}/" if flags & os.O_PATH else f"/proc/1/{name}", flags)
            opened.append(name)
        except OSError:
            pass
print(open("/proc/1/cmdline", "rb").read().split(b"\\0")[2], opened)
"""
    expected = "b'/opt/ci-guest' []\n"
    assert sandbox.execute_code(code, timeout=60).stdout == expected


def test_code_can_neither_stop_nor_kill_the_guest(sandbox: LocalSandbox) -> None:
    command = "kill -STOP 1; kill -KILL 1; kill -TERM 1; kill -HUP 1; kill -SEGV 1; echo sent"
    assert sandbox.execute_command(command, timeout=20).stdout == "sent\n"
    assert sandbox.execute_command("echo alive", timeout=20).stdout == "alive\n"


def test_orphans_leave_no_zombies_and_exit_codes_stay_right(sandbox: LocalSandbox) -> None:
    command = "for n in $(seq 50); do (setsid sh -c 'sleep 0.1; exit 3' &); done; exit 7"
    assert sandbox.execute_command(command, timeout=60).exit_code == 7
    count = "sleep 1; ps -eo stat= | grep -c '^Z'"
    assert sandbox.execute_command(count, timeout=60).stdout == "0\n"


def test_a_sandbox_full_of_processes_is_closed_quickly(sandbox: LocalSandbox) -> None:
    sandbox.execute_command("for n in $(seq 100); do setsid sleep 1000 & done", timeout=60)
    began = time.monotonic()
    sandbox.close()
    assert time.monotonic() - began < 3


def test_a_frozen_guest_is_ended_after_an_interrupt(sandbox: LocalSandbox) -> None:
    started = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        run = threads.submit(
            sandbox.execute_code,
            "print(1, flush=True)\nimport time\ntime.sleep(600)",
            timeout=500,
            on_output=lambda *_: started.set(),
        )
        assert started.wait(60)
        guest().suspend()
        began = time.monotonic()
        sandbox.interrupt()
        with pytest.raises(SandboxLostError, match="did not end an interrupted run"):
            run.result(60)
    assert time.monotonic() - began < 25


def test_more_than_1024_descriptors_are_no_trouble(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, limits[1]))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        backend = LocalBackend(root=tmp_path / "root")
        sandbox = backend.start(name="test")
        assert sandbox.execute_code("1", timeout=60).stdout == "1\n"
        sandbox.close()
        assert psutil.Process().children() == []
        backend.close()
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert list((tmp_path / "root").iterdir()) == []


def test_closing_without_a_free_descriptor_raises_nothing_and_ends_all(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    backend = LocalBackend(root=tmp_path / "root")
    sandbox = backend.start(name="test")
    children = psutil.Process().children(recursive=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        sandbox.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert psutil.wait_procs(children, timeout=10)[1] == []
    backend.close()
    assert list((tmp_path / "root").iterdir()) == []


def test_starting_without_a_free_descriptor_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    backend = LocalBackend(root=tmp_path / "root")
    backend.start(name="first").close()
    used = psutil.Process().num_fds()
    for free in range(0, 14, 2):
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + free, limits[1]))
        try:
            backend.start(name="test").close()
        except BackendUnavailableError:
            pass
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert psutil.Process().num_fds() == used
    assert psutil.Process().children() == []
    backend.close()


def test_a_fork_that_ends_leaves_the_sandboxes_alone(tmp_path: Path) -> None:
    script = f"""
import os, sys
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.errors import BackendUnavailableError
backend = LocalBackend(root={str(tmp_path)!r})
sandbox = backend.start(name="test")
sandbox.execute_code("x = 5", timeout=60)
child = os.fork()
if not child:
    for use in (lambda: sandbox.execute_code("x", timeout=60), lambda: backend.start(name="b")):
        try:
            use()
        except BackendUnavailableError as error:
            print("fork" in str(error), flush=True)
    sandbox.interrupt()
    sandbox.close()
    backend.close()
    sys.exit(0)
os.waitpid(child, 0)
print(sandbox.execute_code("x", timeout=60).stdout)
backend.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert (done.stdout, done.stderr) == ("True\nTrue\n5\n\n", "")


def test_a_root_that_was_swept_away_is_made_anew(tmp_path: Path) -> None:
    backend = LocalBackend(root=tmp_path)
    first = backend.start(name="first")
    (root,) = tmp_path.iterdir()
    shutil.rmtree(root)
    # Whoever comes first could have made this one.
    root.symlink_to("/")
    second = backend.start(name="second")
    assert second.execute_code("1", timeout=60).stdout == "1\n"
    assert len(list(tmp_path.iterdir())) == 2
    shutil.rmtree(next(path for path in tmp_path.iterdir() if not path.is_symlink()) / "etc")
    third = backend.start(name="third")
    assert third.execute_command("id -un", timeout=60).stdout == "user\n"
    first.close()
    backend.close()
    assert [(path.name, path.is_symlink()) for path in tmp_path.iterdir()] == [(root.name, True)]


def test_a_bubblewrap_that_ends_at_once_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It names a first process that is gone before anybody can look at it.
    program = tmp_path / "bwrap"
    program.write_text(
        "#!/bin/bash\n"
        'if [ "$1" = --version ]; then echo bubblewrap 0.9.0; exit; fi\n'
        "true & gone=$!; wait\n"
        'eval "printf \'{\\"child-pid\\": %s}\' $gone >&$2"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    used = psutil.Process().num_fds()
    backend = LocalBackend(root=tmp_path / "root")
    with pytest.raises(BackendUnavailableError, match="could not be started"):
        backend.start(name="test")
    backend.close()
    assert psutil.Process().num_fds() == used
    assert list((tmp_path / "root").iterdir()) == []


def test_the_users_interrupt_in_the_middle_of_a_message_ends_the_sandbox_at_once(
    sandbox: LocalSandbox,
) -> None:
    sandbox.execute_code("1", timeout=60)
    guest().suspend()
    threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sandbox.execute_code("#" * 1_000_000, timeout=60)
    with pytest.raises(SandboxLostError, match="cut off"):
        sandbox.execute_code("1", timeout=60)
    assert time.monotonic() - began < 5
    assert psutil.Process().children() == []


def test_the_users_interrupt_during_a_run_keeps_the_sandbox(sandbox: LocalSandbox) -> None:
    sandbox.execute_code("x = 1", timeout=60)
    threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.execute_code("print('early')\nwhile True: pass", timeout=60)
    assert sandbox.execute_code("x", timeout=60).stdout == "1\n"
