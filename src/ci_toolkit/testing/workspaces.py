"""The contract of `Workspace`."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import repeat
from typing import ClassVar

import pytest

from ci_toolkit.errors import (
    WorkspaceConflictError,
    WorkspaceError,
    WorkspaceFileMissingError,
)
from ci_toolkit.testing.contract import Contract
from ci_toolkit.workspaces.base import CHUNK, StoredFile, Workspace

__all__ = ["WorkspaceContract"]

ODD_KEYS = (
    "with space.txt",
    'it\'s "quoted".txt',
    "Übersicht-日本-🙂.txt",
    "-rf",
    "two\nlines",
    ".hidden/.file",
    "a%20b+c&d=e?f#g",
    "back\\slash",
    "..a/b..",
    "trailing ./x",
)

NO_KEYS = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/..",
    "../a",
    "./a",
    "a/./b",
    "nul\0",
    "\ud800",
    "/".join(["a" * 100] * 10) + "b" * 92,
    "ü" * 501,
)


class WorkspaceContract(Contract):
    """Checks a workspace: subclass it and override the fixture `workspace`.

    Attributes:
        large_file: Bytes of the file that has to be streamed.
        many: Files of the listing that has to be complete.
    """

    large_file: ClassVar[int] = 32 * CHUNK
    many: ClassVar[int] = 1100

    @pytest.fixture
    def workspace(self) -> Iterator[Workspace]:
        """The empty workspace to check; a subclass gives it."""
        raise NotImplementedError(
            f"{type(self).__name__} must override the fixture `workspace` with one that gives "
            "an empty Workspace."
        )

    def content(self, workspace: Workspace, key: str) -> bytes:
        """A whole file."""
        return b"".join(workspace.open(key))

    def keys(self, workspace: Workspace, prefix: str = "") -> list[str]:
        """All keys below a prefix."""
        return [stored.key for stored in workspace.list(prefix)]

    def test_a_workspace_has_all_verbs(self, workspace: Workspace) -> None:
        assert isinstance(workspace, Workspace)
        assert self.keys(workspace) == []

    @pytest.mark.parametrize("data", [b"", b"a\r\n\xff\x00", bytes(CHUNK + 1)])
    def test_what_was_put_is_read_back(self, workspace: Workspace, data: bytes) -> None:
        stored = workspace.put("a/b.bin", [data[:1], data[1:]], media_type="image/png")
        assert (stored.key, stored.size) == ("a/b.bin", len(data))
        assert self.content(workspace, "a/b.bin") == data
        assert list(workspace.list("")) == [stored]

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_odd_keys_are_keys_like_others(self, workspace: Workspace, key: str) -> None:
        workspace.put(key, [b"odd"])
        assert self.content(workspace, key) == b"odd"
        assert self.keys(workspace) == [key]
        workspace.delete(key)
        assert self.keys(workspace) == []

    def test_a_key_of_a_thousand_bytes_is_a_key(self, workspace: Workspace) -> None:
        key = "/".join(["ü" * 50] * 9 + ["a" * 91])
        assert len(key.encode()) == 1000
        workspace.put(key, [b"long"])
        assert self.content(workspace, key) == b"long"

    @pytest.mark.parametrize("key", NO_KEYS)
    def test_what_is_no_key_is_refused_by_every_verb(self, workspace: Workspace, key: str) -> None:
        for use in (lambda: workspace.put(key, [b""]), lambda: workspace.open(key)):
            with pytest.raises(WorkspaceError) as caught:
                use()
            assert type(caught.value) is WorkspaceError
        with pytest.raises(WorkspaceError):
            workspace.delete(key)

    @pytest.mark.parametrize("prefix", ["a", "/", "a//", "../", "a/../", "nul\0/"])
    def test_what_is_no_prefix_is_refused(self, workspace: Workspace, prefix: str) -> None:
        with pytest.raises(WorkspaceError):
            list(workspace.list(prefix))

    def test_a_missing_file_raises_at_the_call(self, workspace: Workspace) -> None:
        workspace.put("a/b", [b""])
        for key in ("missing", "a", "a/b/c"):
            with pytest.raises(WorkspaceFileMissingError):
                workspace.open(key)

    def test_a_content_that_raises_stores_nothing(self, workspace: Workspace) -> None:
        before = workspace.put("old", [b"old"])
        for key in ("old", "new/file"):
            with pytest.raises(_BrokenError):
                workspace.put(key, _breaks())
        assert list(workspace.list("")) == [before]
        assert self.content(workspace, "old") == b"old"

    def test_an_operating_system_error_of_a_content_passes_through(
        self, workspace: Workspace
    ) -> None:
        def content() -> Iterator[bytes]:
            yield b"half"
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            workspace.put("a", content())
        assert self.keys(workspace) == []

    def test_every_put_of_other_bytes_has_another_etag(self, workspace: Workspace) -> None:
        etags = [workspace.put("a", [b"%03d" % n]).etag for n in range(100)]
        assert len(set(etags)) == 100
        assert [stored.etag for stored in workspace.list("")] == etags[-1:]

    def test_if_absent_stores_only_where_nothing_is(self, workspace: Workspace) -> None:
        first = workspace.put("a", [b"1"], if_absent=True)
        with pytest.raises(WorkspaceConflictError):
            workspace.put("a", [b"2"], if_absent=True)
        assert list(workspace.list("")) == [first]
        assert self.content(workspace, "a") == b"1"
        workspace.delete("a")
        workspace.put("a", [b"3"], if_absent=True)
        assert self.content(workspace, "a") == b"3"

    def test_if_match_stores_only_over_the_version_that_was_seen(
        self, workspace: Workspace
    ) -> None:
        first = workspace.put("a", [b"1"])
        second = workspace.put("a", [b"2"], if_match=first.etag)
        with pytest.raises(WorkspaceConflictError):
            workspace.put("a", [b"3"], if_match=first.etag)
        with pytest.raises(WorkspaceConflictError):
            workspace.put("missing", [b"3"], if_match=second.etag)
        assert list(workspace.list("")) == [second]
        assert self.content(workspace, "a") == b"2"

    def test_of_many_writers_with_if_absent_one_wins(self, workspace: Workspace) -> None:
        start = threading.Barrier(8)

        def put(number: int) -> StoredFile | None:
            start.wait()
            try:
                return workspace.put("a", [b"%d" % number], if_absent=True)
            except WorkspaceConflictError:
                return None

        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(put, range(8)))
        (winner,) = [n for n, stored in enumerate(results) if stored is not None]
        assert self.content(workspace, "a") == b"%d" % winner
        assert list(workspace.list("")) == [results[winner]]

    def test_no_update_with_if_match_is_lost(self, workspace: Workspace) -> None:
        workspace.put("count", [b"0"])

        def count_up(_: int) -> None:
            while True:
                (stored,) = workspace.list("")
                number = int(self.content(workspace, "count"))
                try:
                    workspace.put("count", [b"%d" % (number + 1)], if_match=stored.etag)
                except WorkspaceConflictError:
                    continue
                return

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(count_up, range(20)))
        assert self.content(workspace, "count") == b"20"

    def test_a_listing_is_complete_and_sorted_by_key(self, workspace: Workspace) -> None:
        keys = [f"{('a', 'a-b', 'a.b')[n % 3]}/{n}" for n in range(self.many)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda key: workspace.put(key, [b""]), keys))
        workspace.put("a!", [b""])
        workspace.put("a0", [b""])
        assert self.keys(workspace) == sorted([*keys, "a!", "a0"])

    def test_a_prefix_ends_at_a_slash(self, workspace: Workspace) -> None:
        for key in ("a/1", "a/b/2", "ab/3", "c"):
            workspace.put(key, [b""])
        assert self.keys(workspace, "a/") == ["a/1", "a/b/2"]
        assert self.keys(workspace, "a/b/") == ["a/b/2"]
        assert self.keys(workspace, "c/") == []
        assert self.keys(workspace, "missing/") == []

    def test_deleting_removes_one_file_and_missing_ones_are_no_error(
        self, workspace: Workspace
    ) -> None:
        for key in ("a/1", "a/2"):
            workspace.put(key, [b""])
        for key in ("a/1", "a/1", "a", "a/2/x", "missing"):
            workspace.delete(key)
        assert self.keys(workspace) == ["a/2"]

    def test_a_large_file_travels_in_pieces(self, workspace: Workspace) -> None:
        count = self.large_file // CHUNK
        piece = bytes(range(256)) * (CHUNK // 256)
        assert workspace.put("large", repeat(piece, count)).size == count * CHUNK
        digest, longest = sha256(), 0
        for chunk in workspace.open("large"):
            digest.update(chunk)
            longest = max(longest, len(chunk))
        assert longest <= CHUNK
        assert digest.hexdigest() == sha256(piece * count).hexdigest()

    def test_pieces_may_be_longer_than_a_chunk(self, workspace: Workspace) -> None:
        workspace.put("a", [bytes(2 * CHUNK + 1)])
        assert max(len(chunk) for chunk in workspace.open("a")) <= CHUNK

    @pytest.mark.parametrize("change", ["replaced", "deleted"])
    def test_an_open_file_is_read_as_it_was(self, workspace: Workspace, change: str) -> None:
        old = b"old" * CHUNK
        workspace.put("a", [old])
        pieces = workspace.open("a")
        begun = next(pieces)
        if change == "replaced":
            workspace.put("a", [b"new" * CHUNK])
        else:
            workspace.delete("a")
        assert begun + b"".join(pieces) == old

    def test_a_file_that_is_opened_and_not_read_leaves_nothing_open(
        self, workspace: Workspace
    ) -> None:
        workspace.put("a", [b"a"])
        for _ in range(2000):
            workspace.open("a")


class _BrokenError(Exception):
    pass


def _breaks() -> Iterator[bytes]:
    yield b"half"
    raise _BrokenError
