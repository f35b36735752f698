"""A conversation's sandbox as deepagents wants it: its files and its commands, sync and async."""

from dataclasses import replace
from hashlib import sha256

from deepagents.backends.protocol import (
    DeleteResult,
    EditResult,
    ExecuteOffloadResult,
    ExecuteResponse,
    FileDownloadResponse,
    FileUploadResponse,
    GlobResult,
    GrepResult,
    LsResult,
    ReadResult,
    WriteResult,
)
from deepagents.backends.sandbox import BaseSandbox
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from ci_toolkit.bridge import Bridge
from ci_toolkit.deepagents.access import Access
from ci_toolkit.deepagents.by_commands import ByCommands
from ci_toolkit.deepagents.commands import Commands
from ci_toolkit.deepagents.files import delete, download, list_directory, upload, write
from ci_toolkit.deepagents.tools import build_tools
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.langchain.live import stream_output
from ci_toolkit.langchain.scopes import ScopeOption, finder
from ci_toolkit.paths import base_name
from ci_toolkit.scope import Scope

__all__ = ["CodeInterpreterBackend"]


class CodeInterpreterBackend(BaseSandbox):
    """The sandbox of a conversation as the backend of a deep agent.

    The agent's own file tools and `execute` work in it, and so do the tools of `get_tools`, one
    call after the other. It is started at the first call, has the user's uploads and saved files in
    its working directory, and is replaced when it is lost; the next output of a command or of one
    of the tools begins with a note that says so. Nothing is raised for what a model, a sandbox or a
    workspace does. A cancelled task interrupts the command.

    Paths are the sandbox's own, for the file tools as for commands. Files belong below the working
    directory or `/tmp`; most sandboxes cannot be written elsewhere.

    A long output stays in the sandbox: a model gets its head and tail, and the path of the file
    that has all of it.

    Args:
        interpreter: Has the sessions. Not closed with the agent.
        scope: As for `CodeInterpreterToolkit`, but by default a deep agent's subagents share the
            sandbox of their agent, as they share its files.
        workspace_tools: Whether `get_tools` has `workspace_read` and `workspace_list` as well.
        images: Whether the pictures of these tools go to the model.
        prefix: Put before the names of these tools.

    Raises:
        ConfigurationError: An option is not what it has to be.
    """

    def __init__(
        self,
        interpreter: CodeInterpreter,
        *,
        scope: ScopeOption = None,
        workspace_tools: bool = False,
        images: bool = True,
        prefix: str = "",
    ) -> None:
        self._bridge = Bridge(interpreter, prefix=prefix)
        find_scope = finder(scope)

        def find(config: RunnableConfig) -> Scope:
            found = find_scope(config)
            return replace(found, branch="") if scope is None else found

        self._access = Access(interpreter, find)
        self._commands = Commands(self._access)
        self._by_commands = ByCommands(self._commands, self._bridge)
        self._tools = build_tools(
            self._bridge,
            find_scope=find,
            workspace_tools=workspace_tools,
            images=images,
            prefix=prefix,
        )

    @property
    def id(self) -> str:
        """Tells this conversation's sandbox from others; the same after it was replaced."""
        return f"ci-toolkit-{sha256(repr(self._access.scope).encode()).hexdigest()[:16]}"

    def get_tools(self) -> list[BaseTool]:
        """What a deep agent is given beside its own tools: `execute_code`, `ci_push_to_workspace`.

        They work in the same sandbox. `CodeInterpreterToolkit` says what their messages hold.
        """
        return list(self._tools)

    def close(self) -> None:
        """Lets the backend's own threads go, as `CodeInterpreterToolkit.close` does."""
        self._bridge.close()

    def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Runs a command in a fresh shell.

        Args:
            command: Shell source text.
            timeout: Seconds; `Limits.timeout` at most, and if not given.

        Returns:
            What it printed to both streams, as far as its first 4 MiB, and its exit code: 124 when
            it timed out, 128 and the number of the signal that ended it. Without an exit code when
            it is not known whether it ran.
        """
        return self._commands.run(command, timeout)

    async def aexecute(
        self,
        command: str,
        *,
        timeout: int | None = None,
    ) -> ExecuteResponse:
        """As `execute`."""
        return await self._bridge.run(lambda switch: self._commands.run(command, timeout, switch))

    def execute_with_offload(
        self,
        command: str,
        capture_path: str,
        *,
        max_inline_bytes: int,
        max_capture_bytes: int | None = None,  # noqa: ARG002
        timeout: int | None = None,
    ) -> ExecuteOffloadResult:
        """Runs a command for a model, as the `execute` tool of a deep agent does.

        Its output goes live to `stream_mode="custom"`, as that of `CodeInterpreterToolkit` does.
        A long one is kept where the sandbox itself keeps it, and the response says where: the path
        that deepagents proposes may be one that cannot be written.

        Args:
            command: Shell source text.
            capture_path: Only its last part is used, which is the id of the tool call.
            max_inline_bytes: Characters of output; `Limits.text_chars` at most.
            max_capture_bytes: Not used.
            timeout: As for `execute`.
        """
        report = stream_output("execute", base_name(capture_path))
        response = self._commands.run_for_a_model(command, timeout, max_inline_bytes, report)
        return ExecuteOffloadResult(offloaded=False, response=response)

    async def aexecute_with_offload(
        self,
        command: str,
        capture_path: str,
        *,
        max_inline_bytes: int,
        max_capture_bytes: int | None = None,  # noqa: ARG002
        timeout: int | None = None,
    ) -> ExecuteOffloadResult:
        """As `execute_with_offload`."""
        report = stream_output("execute", base_name(capture_path))
        response = await self._bridge.run(
            lambda switch: self._commands.run_for_a_model(
                command, timeout, max_inline_bytes, report, switch
            )
        )
        return ExecuteOffloadResult(offloaded=False, response=response)

    def ls(self, path: str) -> LsResult:
        """Lists a directory."""
        return list_directory(path, self._access)

    async def als(self, path: str) -> LsResult:
        """As `ls`."""
        return await self._bridge.run(lambda switch: list_directory(path, self._access, switch))

    def read(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """Reads lines of a text file, or a small binary file."""
        return self._by_commands.read(file_path, offset, limit)

    async def aread(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """As `read`."""
        return await self._by_commands.aread(file_path, offset, limit)

    def write(self, file_path: str, content: str) -> WriteResult:
        """Writes a file, whole or not at all, in place of one that was there."""
        return write(file_path, content, self._access)

    async def awrite(self, file_path: str, content: str) -> WriteResult:
        """As `write`."""
        return await self._bridge.run(
            lambda switch: write(file_path, content, self._access, switch)
        )

    def edit(
        self,
        file_path: str,
        old_string: str,
        new_string: str,
        replace_all: bool = False,  # noqa: FBT001, FBT002
    ) -> EditResult:
        """Puts one text in the place of another."""
        return self._by_commands.edit(file_path, old_string, new_string, replace_all)

    async def aedit(
        self,
        file_path: str,
        old_string: str,
        new_string: str,
        replace_all: bool = False,  # noqa: FBT001, FBT002
    ) -> EditResult:
        """As `edit`."""
        return await self._by_commands.aedit(file_path, old_string, new_string, replace_all)

    def delete(self, file_path: str) -> DeleteResult:
        """Removes a file, or a directory with all that it holds."""
        return delete(file_path, self._access)

    async def adelete(self, file_path: str) -> DeleteResult:
        """As `delete`."""
        return await self._bridge.run(lambda switch: delete(file_path, self._access, switch))

    def grep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        """Looks for a text in files; without a path in the working directory."""
        path = path or self._commands.directory()
        return self._by_commands.grep(pattern, path, glob, max_count=max_count)

    async def agrep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        """As `grep`."""
        path = path or await self._bridge.run(self._commands.directory)
        return await self._by_commands.agrep(pattern, path, glob, max_count=max_count)

    def glob(self, pattern: str, path: str | None = None) -> GlobResult:
        """Looks for files by their names; without a path in the working directory."""
        return self._by_commands.glob(pattern, path or self._commands.directory())

    async def aglob(self, pattern: str, path: str | None = None) -> GlobResult:
        """As `glob`."""
        path = path or await self._bridge.run(self._commands.directory)
        return await self._by_commands.aglob(pattern, path)

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Writes files at absolute paths, with the folders above them."""
        return upload(files, self._access)

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """As `upload_files`."""
        return await self._bridge.run(lambda switch: upload(files, self._access, switch))

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Reads whole files at absolute paths."""
        return download(paths, self._access)

    async def adownload_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """As `download_files`."""
        return await self._bridge.run(lambda switch: download(paths, self._access, switch))
