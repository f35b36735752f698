"""Room 2, what each call does: the tools, each with its name, its words, its arguments, its run.

A tool works on a sandbox and on the conversation's files and returns an `Answer`; it knows no
framework, no backend, and nothing of how its answer is put into words.
"""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Final, Protocol

from ci_toolkit.context import Context
from ci_toolkit.errors import (
    FileMissingError,
    TooLargeError,
    ToolError,
    WorkspaceFileMissingError,
)
from ci_toolkit.limits import Limits
from ci_toolkit.outputs import answer_run
from ci_toolkit.paths import inside
from ci_toolkit.reading import report_content
from ci_toolkit.results import Answer, Execution, FileInfo, FileReport, FileWrite
from ci_toolkit.schemas import (
    Arguments,
    ExecuteCodeArguments,
    ExecuteCommandArguments,
    FileOperationsArguments,
    PushArguments,
    WorkspaceListArguments,
    WorkspaceReadArguments,
)

__all__ = ["TOOLS", "WORKSPACE_TOOLS", "Tool"]

_PATH_SHOWN = 300


class Tool(Protocol):
    """One tool: what a model is told of it, and what it does."""

    @property
    def name(self) -> str:
        """The name that the model calls."""
        ...

    @property
    def description(self) -> str:
        """What the model is told of the tool."""
        ...

    @property
    def arguments(self) -> type[Arguments]:
        """The schema of what the model may send."""
        ...

    def run(self, arguments: Any, context: Context) -> Answer:
        """Does what was asked.

        Raises:
            ToolError: It cannot be done as asked; nothing was changed.
            BackendError, WorkspaceError: As the sandbox and the workspace raise them.
        """
        ...


class ExecuteCode:
    """Runs code, and saves one file that it wrote where asked."""

    name = "execute_code"
    description = (
        "Run code in a sandbox. Variables, imports and files stay for later calls, so build up in "
        "steps. No display: use matplotlib's Agg backend and plt.savefig(), and pass the file as "
        "output_filename. Shell work belongs in execute_command."
    )
    arguments = ExecuteCodeArguments

    def run(self, arguments: ExecuteCodeArguments, context: Context) -> Answer:
        """Runs, then looks for the file where the code was and in the working directory."""
        _check_length("code", arguments.code, context.limits)
        sandbox = context.sandbox
        wanted = arguments.output_filename
        if wanted:
            inside(wanted, sandbox.working_directory)
        execution = sandbox.execute_code(
            arguments.code,
            language=arguments.language,
            timeout=context.limits.timeout,
            on_output=context.on_output,
        )
        return replace(
            answer_run(execution, context, wanted=wanted),
            notes=_restarted(execution, arguments.language),
        )


class ExecuteCommand:
    """Runs a shell command."""

    name = "execute_command"
    description = (
        "Run a shell command in the same sandbox: install packages, inspect files, run programs. "
        "Each call is a fresh shell in the working directory."
    )
    arguments = ExecuteCommandArguments

    def run(self, arguments: ExecuteCommandArguments, context: Context) -> Answer:
        """Runs the command within the host's time limit."""
        _check_length("command", arguments.command, context.limits)
        execution = context.sandbox.execute_command(
            arguments.command, timeout=context.limits.timeout, on_output=context.on_output
        )
        return answer_run(execution, context)


class FileOperations:
    """Reads, writes, lists and removes files of the working directory."""

    name = "file_operations"
    description = (
        "Read, write, list or remove files in the sandbox. Paths are relative to the working "
        "directory, where uploaded files are, too. Writes text only."
    )
    arguments = FileOperationsArguments

    def run(self, arguments: FileOperationsArguments, context: Context) -> Answer:
        """Does the operation for each path; one that fails does not keep the others from it."""
        operations = {
            "read": self._read,
            "write": self._write,
            "list": self._list,
            "remove": self._remove,
        }
        return operations[arguments.operation](arguments, context)

    def _read(self, arguments: FileOperationsArguments, context: Context) -> Answer:
        paths, refused = _inside(arguments.paths, context)
        limits = context.limits
        each = replace(limits, text_chars=max(1000, 2 * limits.text_chars // max(len(paths), 1)))
        reports: list[FileReport] = []
        pictures = 0
        for content in context.sandbox.read_files(paths):
            if content.error is not None:
                reports.append(FileReport(path=content.path, error=content.error))
                continue
            report = report_content(content.path, content.size, content.chunks, each)
            pictures += report.image is not None
            # More than can be shown is not worth the memory.
            reports.append(report if pictures <= limits.images else replace(report, image=None))
        return Answer(verb="read", files=(*reports, *refused))

    def _write(self, arguments: FileOperationsArguments, context: Context) -> Answer:
        length = sum(len(file.text) for file in arguments.content)
        if length > context.limits.write_chars:
            raise TooLargeError(
                f"The content has {length:,} characters; one call may write "
                f"{context.limits.write_chars:,}. Nothing was written; write it in parts with code."
            )
        texts = {file.path: file.text for file in arguments.content}
        paths, refused = _inside(list(texts), context)
        root = context.sandbox.working_directory
        bad = {report.path for report in refused}
        # Of two spellings of one path the later text counts, as if they were written in turn.
        placed = {inside(path, root): text for path, text in texts.items() if path not in bad}
        contents = [FileWrite(path=path, chunks=[placed[path].encode()]) for path in paths]
        outcomes = context.sandbox.write_files(contents)
        reports = [FileReport(path=o.path, size=o.size, error=o.error) for o in outcomes]
        return Answer(verb="wrote", files=(*reports, *refused))

    def _list(self, arguments: FileOperationsArguments, context: Context) -> Answer:
        paths, refused = _inside(arguments.paths, context)
        room = context.limits.list_entries
        reports = []
        for listing in context.sandbox.list_files(paths):
            shown = listing.entries[:room]
            room -= len(shown)
            complete = listing.complete and len(shown) == len(listing.entries)
            reports.append(
                FileReport(path=listing.path, error=listing.error, entries=shown, complete=complete)
            )
        return Answer(verb="listed", files=(*reports, *refused))

    def _remove(self, arguments: FileOperationsArguments, context: Context) -> Answer:
        paths, refused = _inside(arguments.paths, context)
        outcomes = context.sandbox.remove_files(paths)
        reports = [FileReport(path=o.path, error=o.error) for o in outcomes]
        return Answer(verb="removed", files=(*reports, *refused))


class PushToWorkspace:
    """Saves sandbox files to the workspace."""

    name = "ci_push_to_workspace"
    description = (
        "Save sandbox files to the shared workspace, where they outlive the sandbox. "
        "Without paths: every file of the working directory."
    )
    arguments = PushArguments

    def run(self, arguments: PushArguments, context: Context) -> Answer:
        """Saves the files named, or those of the working directory that are the agent's own."""
        if arguments.paths:
            paths, refused = _inside(arguments.paths, context)
            return Answer(files=(*context.save(paths), *refused))
        return self._push_all(context)

    def _push_all(self, context: Context) -> Answer:
        (listing,) = context.sandbox.list_files(["."], checksums=True)
        if listing.error is not None:
            raise listing.error
        files = [e for e in listing.entries if e.kind == "file" and not e.path.startswith(".")]
        uploads = [e for e in files if context.is_unchanged_upload(e.path, e.sha256)]
        own = [entry.path for entry in files if entry not in uploads]
        skipped = [
            FileReport(path=e.path, size=e.size, remark="an upload that is unchanged, not saved")
            for e in uploads
        ]
        most = context.limits.paths
        error = _too_many(len(own), most) if len(own) > most else None
        return Answer(files=(*context.save(own[:most]), *skipped), error=error)


class WorkspaceRead:
    """Reads a file back from the workspace."""

    name = "workspace_read"
    description = "Read a file that was saved to the workspace or uploaded."
    arguments = WorkspaceReadArguments

    def run(self, arguments: WorkspaceReadArguments, context: Context) -> Answer:
        """Reads one file of this conversation."""
        known = {stored.key: stored.size for stored in context.files.stored()}
        path = arguments.path
        if path not in known:
            shown = path[:_PATH_SHOWN]  # a comparison takes time and memory by its length
            near = get_close_matches(shown, known, n=1, cutoff=0.3)
            hint = f" Did you mean {near[0]!r}?" if near else " It holds no files yet."
            raise FileMissingError(f"There is no file {shown!r} in the workspace.{hint}")
        try:
            chunks = context.files.open(path)
        except WorkspaceFileMissingError:
            raise FileMissingError(f"The file {path!r} was just removed.") from None
        return Answer(
            verb="read", files=(report_content(path, known[path], chunks, context.limits),)
        )


class WorkspaceList:
    """Lists the conversation's files in the workspace."""

    name = "workspace_list"
    description = "List the files that were saved to the workspace or uploaded."
    arguments = WorkspaceListArguments

    def run(self, arguments: WorkspaceListArguments, context: Context) -> Answer:
        """Lists what lies below a prefix such as `code-interpreter/`."""
        entries = [
            FileInfo(path=stored.key, size=stored.size, changed=stored.modified)
            for stored in context.files.stored(arguments.path.removeprefix("./"))
        ]
        most = context.limits.list_entries
        report = FileReport(
            path=arguments.path or "workspace",
            entries=tuple(entries[:most]),
            complete=len(entries) <= most,
        )
        return Answer(verb="listed", files=(report,))


TOOLS: Final[tuple[Tool, ...]] = (
    ExecuteCode(),
    ExecuteCommand(),
    FileOperations(),
    PushToWorkspace(),
)
"""The four tools of the toolkit, in the order in which a model sees them."""

WORKSPACE_TOOLS: Final[tuple[Tool, ...]] = (WorkspaceRead(), WorkspaceList())
"""Two more for hosts that have no workspace skill of their own."""


def _check_length(what: str, text: str, limits: Limits) -> None:
    if len(text) > limits.code_chars:
        raise TooLargeError(
            f"The {what} has {len(text):,} characters; at most {limits.code_chars:,} can be run at "
            "once. Nothing was run. Put data into files and run the code in steps."
        )


def _inside(paths: Sequence[str], context: Context) -> tuple[list[str], list[FileReport]]:
    """The paths that stay in the working directory, and reports for those that do not."""
    if len(paths) > context.limits.paths:
        raise _too_many(len(paths), context.limits.paths)
    kept, refused = [], []
    for path in dict.fromkeys(paths):
        try:
            normal = inside(path, context.sandbox.working_directory)
            if normal not in kept:
                kept.append(normal)
        except ToolError as error:
            refused.append(FileReport(path=path, error=error))
    return kept, refused


def _too_many(count: int, most: int) -> TooLargeError:
    return TooLargeError(
        f"{count:,} files are too many for one call; at most {most:,}. Pack them into an archive, "
        "or name fewer."
    )


def _restarted(execution: Execution, language: str) -> tuple[str, ...]:
    if not execution.restarted:
        return ()
    note = (
        f"The {language} process of the earlier calls had ended, so their {language} variables, "
        "imports and functions were lost. Files are still there."
    )
    return (note,)
