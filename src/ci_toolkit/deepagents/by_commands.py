"""The file operations that deepagents does by commands of its own."""

from deepagents.backends.protocol import (
    ExecuteResponse,
    FileDownloadResponse,
    FileUploadResponse,
)
from deepagents.backends.sandbox import BaseSandbox

from ci_toolkit.bridge import Bridge
from ci_toolkit.deepagents.commands import Commands
from ci_toolkit.deepagents.files import download, upload

__all__ = ["ByCommands"]


class ByCommands(BaseSandbox):
    """Reads, edits and searches files by commands, whose output no word may be added to.

    Args:
        commands: Runs them.
        bridge: Carries them where they are asynchronous.
    """

    def __init__(self, commands: Commands, bridge: Bridge) -> None:
        self._commands = commands
        self._bridge = bridge

    @property
    def id(self) -> str:
        """Nobody asks: the backend has its own."""
        return ""

    def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Runs a command for a program."""
        return self._commands.run_quietly(command, timeout)

    async def aexecute(
        self,
        command: str,
        *,
        timeout: int | None = None,
    ) -> ExecuteResponse:
        """As `execute`."""
        return await self._bridge.run(
            lambda switch: self._commands.run_quietly(command, timeout, switch)
        )

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Long texts of an edit are uploaded first."""
        return upload(files, self._commands.access)

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """As `upload_files`."""
        return await self._bridge.run(lambda switch: upload(files, self._commands.access, switch))

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """As the base class wants it."""
        return download(paths, self._commands.access)
