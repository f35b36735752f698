"""The part of the backend's contract about files."""

import random
from collections.abc import Iterator
from hashlib import sha256
from itertools import repeat

import pytest

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.errors import (
    FileMissingError,
    NotAFileError,
    PathOutsideError,
    UnsupportedError,
    WriteFailedError,
)
from ci_toolkit.results import FileWrite
from ci_toolkit.testing.backend_life import SandboxContract

__all__ = ["FileContract"]

_CHUNK = 1024 * 1024

ODD_NAMES = (
    "with space.txt",
    'it\'s "quoted".txt',
    "Übersicht-日本-🙂.txt",
    "-rf",
    "--help",
    "two\nlines.txt",
    ".hidden",
    "$(id) `id` ;.txt",
    "*.txt",
    "back\\slash.txt",
)

CONTENTS = {
    "empty": b"",
    "line ends": b"a\r\nb\rc\n",
    "no UTF-8": b"\xff\xfe\x00\x80",
    "megabyte": random.Random(0).randbytes(_CHUNK),  # noqa: S311 - only has to be mixed
}


class FileContract(SandboxContract):
    """Writing, reading, listing and removing files."""

    @pytest.mark.parametrize("content", CONTENTS)
    def test_bytes_are_read_back_as_they_were_written(self, sandbox: Sandbox, content: str) -> None:
        data = CONTENTS[content]
        (outcome,) = sandbox.write_files([FileWrite(path="a.bin", chunks=[data])])
        assert (outcome.path, outcome.size, outcome.error) == ("a.bin", len(data), None)
        assert self.read(sandbox, "a.bin") == data

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names_are_names_like_others(self, sandbox: Sandbox, name: str) -> None:
        assert self.write(sandbox, name, b"odd") is None
        assert self.read(sandbox, name) == b"odd"
        assert name in self.names(sandbox)
        seen = self.python(sandbox, f"with open({name!r}, 'rb') as f:\n    print(f.read())")
        assert seen.stdout == "b'odd'\n"
        (removed,) = sandbox.remove_files([name])
        assert removed.error is None
        assert name not in self.names(sandbox)

    def test_code_sees_written_files(self, sandbox: Sandbox) -> None:
        data = bytes(range(256))
        assert self.write(sandbox, "deep/er/in.bin", data) is None
        answer = self.python(
            sandbox, "with open('deep/er/in.bin', 'rb') as f:\n    print(f.read().hex())"
        )
        assert answer.stdout == data.hex() + "\n"

    def test_files_written_by_code_are_read_back(self, sandbox: Sandbox) -> None:
        code = "with open('out.bin', 'wb') as f:\n    _ = f.write(bytes(range(256)))"
        assert self.python(sandbox, code).exit_code == 0
        assert self.read(sandbox, "out.bin") == bytes(range(256))

    def test_missing_parents_are_made(self, sandbox: Sandbox) -> None:
        assert self.write(sandbox, "a/b/c.txt", b"c") is None
        assert self.names(sandbox, "a", recursive=True) == ["a/b", "a/b/c.txt"]

    def test_a_file_is_replaced(self, sandbox: Sandbox) -> None:
        assert self.write(sandbox, "a.txt", b"a longer content") is None
        assert self.write(sandbox, "a.txt", b"new") is None
        assert self.read(sandbox, "a.txt") == b"new"

    def test_a_content_that_raises_leaves_the_file_as_it_was(self, sandbox: Sandbox) -> None:
        assert self.write(sandbox, "a.txt", b"old") is None
        before = self.names(sandbox)
        for path in ("a.txt", "new.txt"):
            with pytest.raises(_BrokenError):
                sandbox.write_files([FileWrite(path=path, chunks=_breaks())])
        assert self.read(sandbox, "a.txt") == b"old"
        assert self.names(sandbox) == before

    def test_contents_may_be_generators_of_any_pieces(self, sandbox: Sandbox) -> None:
        files = (FileWrite(path=f"{n}.txt", chunks=repeat(b"ab", n)) for n in range(3))
        assert [o.size for o in sandbox.write_files(files)] == [0, 2, 4]
        assert self.read(sandbox, "2.txt") == b"abab"

    def test_every_path_of_a_batch_has_its_outcome_in_order(self, sandbox: Sandbox) -> None:
        assert self.write(sandbox, "a/in.txt", b"1") is None
        paths = ["missing.txt", "a/in.txt", "../out.txt", "a"]
        writes = [FileWrite(path=path, chunks=[b"22"]) for path in paths]
        read = [(c.path, type(c.error), b"".join(c.chunks)) for c in sandbox.read_files(paths)]
        listed = [(one.path, type(one.error)) for one in sandbox.list_files(paths)]
        written = [(o.path, type(o.error)) for o in sandbox.write_files(writes)]
        none = type(None)
        assert read == [
            ("missing.txt", FileMissingError, b""),
            ("a/in.txt", none, b"1"),
            ("../out.txt", PathOutsideError, b""),
            ("a", NotAFileError, b""),
        ]
        kinds = [FileMissingError, none, PathOutsideError, none]
        assert listed == list(zip(paths, kinds, strict=True))
        kinds = [none, none, PathOutsideError, NotAFileError]
        assert written == list(zip(paths, kinds, strict=True))
        removed = [(o.path, type(o.error)) for o in sandbox.remove_files(["gone", *paths])]
        kinds = [FileMissingError, none, none, PathOutsideError, none]
        assert removed == list(zip(["gone", *paths], kinds, strict=True))

    @pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "../../etc/passwd"])
    def test_relative_paths_stay_in_the_working_directory(
        self, sandbox: Sandbox, path: str
    ) -> None:
        assert isinstance(self.read(sandbox, path), PathOutsideError)
        assert isinstance(self.write(sandbox, path, b""), PathOutsideError)
        (removed,) = sandbox.remove_files([path])
        assert isinstance(removed.error, PathOutsideError)

    def test_absolute_paths_name_any_place(self, sandbox: Sandbox) -> None:
        inside = f"{sandbox.working_directory}/a.txt"
        assert self.write(sandbox, inside, b"in") is None
        assert self.read(sandbox, "a.txt") == b"in"
        outside = "/tmp/ci-toolkit-contract/a.txt"  # noqa: S108 - in the sandbox
        assert self.write(sandbox, outside, b"out") is None
        assert self.read(sandbox, outside) == b"out"
        assert self.names(sandbox, "/tmp/ci-toolkit-contract") == [outside]  # noqa: S108
        assert "a.txt" in self.names(sandbox)
        (removed,) = sandbox.remove_files(["/tmp/ci-toolkit-contract"])  # noqa: S108
        assert removed.error is None

    @pytest.mark.parametrize("name", ["x" * 300, "nul\0.txt", "file.txt/below"])
    def test_names_that_cannot_be_are_refused(self, sandbox: Sandbox, name: str) -> None:
        assert self.write(sandbox, "file.txt", b"file") is None
        assert isinstance(self.write(sandbox, name, b"no"), WriteFailedError)
        assert self.read(sandbox, "file.txt") == b"file"

    def test_a_listing_is_sorted_and_has_dotfiles_sizes_and_kinds(self, sandbox: Sandbox) -> None:
        for name in ("top/b.txt", "top/.dot", "top/a/deep.txt", "top/a-b"):
            assert self.write(sandbox, name, b"abc") is None
        (listing,) = sandbox.list_files(["top"])
        assert [(e.path, e.kind, e.size, e.sha256) for e in listing.entries] == [
            ("top/.dot", "file", 3, ""),
            ("top/a", "directory", 0, ""),
            ("top/a-b", "file", 3, ""),
            ("top/b.txt", "file", 3, ""),
        ]
        assert (listing.path, listing.complete, listing.error) == ("top", True, None)
        recursive = self.names(sandbox, "top", recursive=True)
        assert recursive == ["top/.dot", "top/a", "top/a-b", "top/a/deep.txt", "top/b.txt"]

    def test_a_dot_or_nothing_is_the_working_directory(self, sandbox: Sandbox) -> None:
        assert self.write(sandbox, "a.txt", b"a") is None
        assert "a.txt" in self.names(sandbox, "")
        assert self.names(sandbox, ".") == self.names(sandbox, "")
        absolute = self.names(sandbox, sandbox.working_directory)
        assert f"{sandbox.working_directory}/a.txt" in absolute

    def test_a_file_lists_itself_with_its_checksum(self, sandbox: Sandbox) -> None:
        assert self.write(sandbox, "a/b.txt", b"abc") is None
        (listing,) = sandbox.list_files(["a/b.txt"], checksums=True)
        (entry,) = listing.entries
        digest = sha256(b"abc").hexdigest()
        assert (entry.path, entry.kind, entry.size, entry.sha256) == ("a/b.txt", "file", 3, digest)

    def test_a_file_of_a_run_changed_after_the_run_began(self, sandbox: Sandbox) -> None:
        assert self.write(sandbox, "before.txt", b"") is None
        answer = self.python(sandbox, "with open('during.txt', 'w') as f:\n    pass")
        (listing,) = sandbox.list_files(["during.txt"])
        assert listing.entries[0].changed >= answer.started - 0.1

    def test_removing_takes_files_and_directories_with_all_they_hold(
        self, sandbox: Sandbox
    ) -> None:
        for name in ("a/b/c.txt", "a/d.txt", "ab.txt"):
            assert self.write(sandbox, name, b"") is None
        assert [o.error for o in sandbox.remove_files(["a", "ab.txt"])] == [None, None]
        assert isinstance(self.read(sandbox, "a/b/c.txt"), FileMissingError)
        assert not {"a", "ab.txt"} & set(self.names(sandbox))

    @pytest.mark.parametrize("absolute", [False, True])
    def test_the_working_directory_is_never_removed(
        self, sandbox: Sandbox, *, absolute: bool
    ) -> None:
        assert self.write(sandbox, "a.txt", b"a") is None
        for path in [sandbox.working_directory] if absolute else ["", ".", "x/.."]:
            (outcome,) = sandbox.remove_files([path])
            assert isinstance(outcome.error, UnsupportedError)
        assert self.read(sandbox, "a.txt") == b"a"

    def test_a_large_file_travels_in_pieces(self, sandbox: Sandbox) -> None:
        piece = random.Random(1).randbytes(_CHUNK)  # noqa: S311 - only has to be mixed
        count = self.large_file // _CHUNK
        (outcome,) = sandbox.write_files([FileWrite(path="l.bin", chunks=repeat(piece, count))])
        assert (outcome.size, outcome.error) == (count * _CHUNK, None)
        digest, longest = sha256(), 0
        content = next(iter(sandbox.read_files(["l.bin"])))
        for chunk in content.chunks:
            digest.update(chunk)
            longest = max(longest, len(chunk))
        assert longest <= _CHUNK
        (listing,) = sandbox.list_files(["l.bin"], checksums=True)
        assert listing.entries[0].sha256 == digest.hexdigest()
        assert content.size == count * _CHUNK
        assert digest.hexdigest() == sha256(piece * count).hexdigest()

    def test_a_link_that_leads_out_is_outside(self, sandbox: Sandbox) -> None:
        self._needs_special_files()
        assert self.python(sandbox, "import os\nos.symlink('/etc', 'link')").exit_code == 0
        assert isinstance(self.read(sandbox, "link/passwd"), PathOutsideError)
        assert isinstance(self.write(sandbox, "link/x", b""), PathOutsideError)
        assert "link/passwd" not in self.names(sandbox, recursive=True)

    def test_removing_a_link_keeps_what_it_points_to(self, sandbox: Sandbox) -> None:
        self._needs_special_files()
        assert self.write(sandbox, "kept/a.txt", b"a") is None
        assert self.python(sandbox, "import os\nos.symlink('kept', 'link')").exit_code == 0
        (outcome,) = sandbox.remove_files(["link"])
        assert outcome.error is None
        assert self.read(sandbox, "kept/a.txt") == b"a"

    def test_a_fifo_is_no_file_and_no_hang(self, sandbox: Sandbox) -> None:
        self._needs_special_files()
        assert self.python(sandbox, "import os\nos.mkfifo('pipe')").exit_code == 0
        assert isinstance(self.read(sandbox, "pipe"), NotAFileError)
        assert isinstance(self.write(sandbox, "pipe", b"x"), NotAFileError)
        (listing,) = sandbox.list_files(["pipe"], checksums=True)
        assert [(e.path, e.kind, e.sha256) for e in listing.entries] == [("pipe", "other", "")]

    def _needs_special_files(self) -> None:
        if not self.special_files:
            pytest.skip("the sandbox has no links and FIFOs")


class _BrokenError(Exception):
    pass


def _breaks() -> Iterator[bytes]:
    yield b"half"
    raise _BrokenError
