"""The in-memory backend keeps the contract of every backend."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.testing import COMMANDS, BackendContract


class TestInMemoryBackend(BackendContract):
    large_file = 3 * 1024 * 1024
    special_files = False  # its files are a dictionary

    @pytest.fixture
    def backend(self) -> Iterator[InMemoryBackend]:
        backend = InMemoryBackend(run_python=True, languages=("python",))
        backend.reply_command("printf made > made.txt", _makes_a_file)
        for command, answer in COMMANDS.items():
            takes = 60.0 if answer.ended == "timed_out" else 0.0
            backend.reply_command(command, replace(answer, ended="completed"), takes=takes)
        yield backend
        backend.close()
        assert backend.sandboxes == ()


def _makes_a_file(request: Request) -> str:
    request.files.write("made.txt", b"made")
    return ""
