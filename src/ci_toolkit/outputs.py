"""What a run left behind: output too long to be shown, and the file that was asked for.

Used by the tools that run things, after the run.
"""

import re
from dataclasses import replace
from difflib import get_close_matches
from hashlib import sha256
from posixpath import isabs, join, normpath
from typing import Final

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.context import Context
from ci_toolkit.errors import (
    BackendError,
    FileMissingError,
    OutcomeUnknownError,
    SandboxLostError,
    WorkspaceError,
    WriteFailedError,
)
from ci_toolkit.paths import base_name, inside
from ci_toolkit.reading import report_content
from ci_toolkit.results import Answer, Execution, FileInfo, FileReport, FileWrite
from ci_toolkit.telemetry import scoped_logger

__all__ = ["OUTPUT_FOLDER", "answer_run", "keep_long_output", "network_hint"]

logger = scoped_logger(__name__)

OUTPUT_FOLDER: Final = ".ci"
"""Where, below the working directory, outputs lie that are too long to be shown."""

_CLOCK_GRAIN = 0.02
_CREATED_SHOWN = 20

_UNREACHED = re.compile(
    "Network is unreachable|Name or service not known|Temporary failure in name resolution"
    "|Could not resolve host|NameResolutionError|No matching distribution found|ENOTFOUND"
    "|ENETUNREACH|EAI_AGAIN|dns error"
)


def answer_run(execution: Execution, context: Context, *, wanted: str = "") -> Answer:
    """What a run answers, with the file of the name `wanted` saved where it wrote one.

    A sandbox that ends after the run takes nothing of its output with it.
    """
    hints = network_hint(execution, context.network)
    try:
        files = (_save_output(wanted, execution, context),) if wanted else ()
        kept = keep_long_output(execution, context.sandbox, most=context.limits.text_chars)
    except SandboxLostError as error:
        logger.warning("The sandbox ended after a run: %s", error)
        said = "The run ended, and then its sandbox did, before its files could be saved."
        return Answer(execution=execution, error=OutcomeUnknownError(said), hints=hints)
    except (BackendError, WorkspaceError) as error:
        # Whatever fails now, the run was made: it must never be told as if it had not.
        logger.exception("The files of a run could not be looked after: %s", type(error).__name__)
        said = (
            "The run ended, but its files could not be looked at or saved just now. They are still "
            f"in the sandbox: save them later with {context.prefix}ci_push_to_workspace, and do "
            "not run it again for that."
        )
        return Answer(execution=execution, error=WriteFailedError(said), hints=hints)
    return Answer(execution=kept, files=files, hints=hints)


def keep_long_output(execution: Execution, sandbox: Sandbox, *, most: int) -> Execution:
    """Puts output that cannot be shown whole into a file of the sandbox, where it is not yet.

    Args:
        execution: The run.
        sandbox: Where it ran.
        most: Characters that can be shown.

    Raises:
        SandboxLostError: The sandbox ended after the run.
    """
    text = execution.stdout
    if execution.stderr:
        text += f"\n--- stderr ---\n{execution.stderr}"
    if execution.output_file or len(text) <= most:
        return execution
    data = text.encode(errors="replace")
    path = f"{OUTPUT_FOLDER}/output-{sha256(data).hexdigest()[:12]}.txt"
    (written,) = sandbox.write_files([FileWrite(path=path, chunks=[data])])
    if written.error is not None:
        return execution
    return replace(execution, output_file=path, output_bytes=len(data))


def network_hint(execution: Execution, network: str) -> tuple[str, ...]:
    """Says that there is no internet where a run failed for want of it."""
    said = f"{execution.stdout}\n{execution.stderr}"
    if network != "none" or not execution.failed or not _UNREACHED.search(said):
        return ()
    hint = (
        "This sandbox has no internet, and only its operator can change that. Work with what is "
        "installed and with uploaded files."
    )
    return (hint,)


def _save_output(name: str, execution: Execution, context: Context) -> FileReport:
    """Saves the file of this name that the code wrote, or says which files it wrote."""
    sandbox = context.sandbox
    relative = inside(name, sandbox.working_directory)
    places = [relative]
    if execution.directory and not isabs(name):
        there = normpath(join(execution.directory, relative))
        root = sandbox.working_directory.rstrip("/") + "/"
        places.insert(0, there.removeprefix(root))
    places = list(dict.fromkeys(places))
    for place, listing in zip(places, sandbox.list_files(places), strict=True):
        info = next((entry for entry in listing.entries if entry.path == place), None)
        if info is not None and info.kind == "file":
            return _save_found(info, execution, context)
    return FileReport(path=name, error=_not_created(name, execution, context))


def _save_found(info: FileInfo, execution: Execution, context: Context) -> FileReport:
    (report,) = context.save([info.path])
    if report.error is None and not _changed(info, execution):
        return replace(report, remark="not written by this run, this is the file from before")
    if report.error is not None or execution.failed:
        return report
    (content,) = context.sandbox.read_files([info.path])
    if content.error is not None:
        return report
    shown = report_content(info.path, content.size, content.chunks, context.limits)
    return replace(report, image=shown.image)


def _changed(info: FileInfo, execution: Execution) -> bool:
    return info.changed >= execution.started - _CLOCK_GRAIN


def _not_created(name: str, execution: Execution, context: Context) -> FileMissingError:
    (listing,) = context.sandbox.list_files(["."], recursive=True)
    created = [
        entry.path
        for entry in listing.entries
        if entry.kind == "file"
        and _changed(entry, execution)
        and not any(part.startswith(".") for part in entry.path.split("/"))
    ]
    said = f"The run did not create {name!r}."
    if not created and not listing.complete:
        return FileMissingError(f"{said} There are too many files to say which it created.")
    if not created:
        return FileMissingError(
            f"{said} It created no files: write it with exactly this name, for example "
            f"plt.savefig({base_name(name)!r}), and pass the same output_filename."
        )
    by_base = {base_name(path).casefold(): path for path in reversed(created)}
    near = get_close_matches(base_name(name).casefold(), by_base, n=1, cutoff=0.3)
    shown = ", ".join(repr(path) for path in created[:_CREATED_SHOWN])
    best = by_base[near[0]] if near else created[0]
    return FileMissingError(
        f"{said} It created: {shown}. Save the right one with "
        f"{context.prefix}ci_push_to_workspace(paths=[{best!r}]); nothing has to be run again."
    )
