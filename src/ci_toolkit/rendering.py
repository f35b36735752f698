"""Room 6, what the model reads: an `Answer` in words and pictures, within the host's limits.

The order is always the same: notes, what went wrong with the call as a whole, standard output,
standard error, how the run ended, hints, files, pictures.
"""

import io
import re
import shlex
import warnings
from signal import Signals

from PIL import Image as Pillow

from ci_toolkit.errors import (
    AccessDeniedError,
    BackendError,
    CodeInterpreterError,
    ConfigurationError,
    QuotaExceededError,
    SandboxLostError,
    ThrottledError,
    ToolError,
    WorkspaceError,
)
from ci_toolkit.limits import Limits
from ci_toolkit.results import Answer, Execution, FileInfo, FileReport, Image, Outcome

__all__ = ["clip", "printable", "render", "sentence"]

_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}
_LEAST_SHARE = 400
_LONGEST_PATH = 200

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MOST_PICTURE_BYTES = 3_500_000

_SILENT = "It ran, and printed nothing. Print what you want to see."
_NEW = "Files are kept, and the next call starts a new process."
_KEPT = "Variables and files of before are kept."
_NOT_KEPT = (
    "It did not react to an interrupt, so its process was killed, and its variables with it. "
    f"{_NEW}"
)

_LOST_BEFORE = (
    "The sandbox ended before this call, and so did a new one; nothing was run. The next call "
    "starts another one with the saved files."
)
_SENTENCES: dict[type[CodeInterpreterError], str] = {
    SandboxLostError: "The sandbox ended during this call. The code may have run in part or in "
    "whole, and was not run again. The next call starts a new sandbox with the saved files.",
    ThrottledError: "The code interpreter is busy; nothing was run. Try again in a moment.",
    QuotaExceededError: "The code interpreter has no capacity left; nothing was run. Go on "
    "without it for now.",
    AccessDeniedError: "The code interpreter is not permitted to do this; nothing was run. Only "
    "its operator can change that.",
    BackendError: "The code interpreter is not available at present; nothing was run. Go on "
    "without it, or try again later.",
    WorkspaceError: "The workspace cannot be used at present. Files in the sandbox are still "
    "there; try again later.",
    ConfigurationError: "The code interpreter is not set up correctly; nothing was run. Only its "
    "operator can change that.",
    CodeInterpreterError: "The code interpreter failed; it is not known whether anything was run.",
}
"""The fixed sentence for each class, subclasses before their parents."""


def sentence(error: CodeInterpreterError) -> str:
    """What a model is told of an error: a tool error's own text, else one fixed sentence."""
    if isinstance(error, ToolError):
        return str(error)
    if not getattr(error, "may_have_run", True):
        return _LOST_BEFORE
    return next(said for kind, said in _SENTENCES.items() if isinstance(error, kind))


def render(name: str, answer: Answer, limits: Limits, *, prefix: str = "") -> Outcome:
    """Puts an answer into words and pictures.

    Args:
        name: The tool.
        answer: What it found out.
        limits: Bounds of text and pictures.
        prefix: What the names of tools have before them where this model sees them.
    """
    images, unseen = _images(answer, limits)
    around = [f"Note: {note}" for note in answer.notes]
    if answer.error is not None:
        around.append(f"Error: {answer.error}")
    ending = [*(_ending(answer.execution) if answer.execution else []), *answer.hints]
    pictures = [_image_line(image) for image in images] + unseen
    files = _files(answer, limits.text_chars, prefix)
    fixed = sum(len(line) + 1 for line in (*around, *ending, *pictures)) + min(
        len(files), limits.text_chars // 2
    )
    room = limits.text_chars - fixed
    output = _output(answer.execution, room, prefix) if answer.execution else []
    silent = not (output or ending or files or pictures)
    sections = [*around, *output, *ending, files, *pictures]
    text = "\n".join(section for section in sections if section)
    if silent and answer.execution:
        text = "\n".join([*around, _SILENT])
    return Outcome(
        text=clip(text or "Done.", limits.text_chars),
        is_error=answer.failed,
        images=images,
        artifact=_artifact(name, answer, images, limits),
    )


def clip(text: str, most: int, where: str = "") -> str:
    """Text of at most `most` characters: all of it, or its head and tail around a remark.

    Args:
        text: Any text.
        most: Characters, the remark included.
        where: A sentence on where the rest can be read.
    """
    if len(text) <= most:
        return text
    remark = f"\n[... {len(text):,} characters in all; the middle is left out. {where}]\n"
    room = max(most - len(remark), 0)
    head, tail = text[: room - room // 2], text[len(text) - room // 2 :]
    return f"{head}{remark}{tail}"[:most] if room else remark[:most]


def _output(execution: Execution, room: int, prefix: str) -> list[str]:
    """Both streams, each with its fair share of the room."""
    out = printable(execution.stdout).strip("\n").rstrip()
    err = printable(execution.stderr).strip()
    label = "stderr:\n"
    room = max(room - len(label), _LEAST_SHARE)
    half = room // 2
    share = max(half, room - len(err)) if err else room
    where = _where(execution, prefix)
    sections = [clip(out, share, where)] if out else []
    if err:
        sections.append(label + clip(err, room - min(len(out), share), where))
    return sections


def _where(execution: Execution, prefix: str) -> str:
    if not execution.output_file:
        return ""
    return (
        f"The output ({execution.output_bytes:,} bytes) is in {execution.output_file}, as far as "
        f"there is room for it; {_reading(execution.output_file, prefix)}"
    )


def _reading(path: str, prefix: str) -> str:
    """How to see the second ten thousand bytes of a file, as an example for the others."""
    command = f"tail -c +10001 {shlex.quote(path)} | head -c 10000"
    return f"read a part with {prefix}execute_command({command!r})"


def _ending(execution: Execution) -> list[str]:
    """How a run ended, where it did not simply end well."""
    seconds = f"{execution.duration:.1f} s"
    if execution.ended == "timed_out":
        kept = _KEPT if execution.state_kept else _NOT_KEPT
        return [f"Timed out: stopped after {seconds}. {kept}"]
    if execution.ended == "interrupted":
        kept = _KEPT if execution.state_kept else _NOT_KEPT
        return [f"Interrupted after {seconds}. {kept}"]
    if execution.ended == "died":
        cause = _cause(execution.exit_code)
        return [f"The process that ran the code died ({cause}), and its variables with it. {_NEW}"]
    if execution.exit_code:
        return [f"Failed with exit code {execution.exit_code}."]
    return []


def _cause(exit_code: int) -> str:
    try:
        return f"killed by {Signals(-exit_code).name}"
    except ValueError:
        return f"exit code {exit_code}"


def _files(answer: Answer, most: int, prefix: str) -> str:
    """What was done with each file."""
    alone = len(answer.files) == 1
    share = max(most // max(len(answer.files), 1), _LEAST_SHARE)
    lines = [_file(report, answer.verb, share, prefix, alone=alone) for report in answer.files]
    if not lines and answer.execution is None and answer.error is None:
        return "There were no files to save." if answer.verb == "saved" else ""
    return "\n".join(lines)


def _file(report: FileReport, verb: str, most: int, prefix: str, *, alone: bool) -> str:
    if report.error is not None:
        return f"Error with {_brief(report.path)}: {report.error}"
    if report.entries is not None:
        return _listing(report, alone=alone)
    if verb == "read":
        return _content(report, most, prefix, alone=alone)
    return _done(report, verb)


def _done(report: FileReport, verb: str) -> str:
    size = f"{report.size:,} bytes"
    if verb == "removed":
        return f"Removed {report.path}."
    if verb == "wrote":
        return f"Wrote {report.path} ({size})."
    if not report.stored:
        return f"Skipped {report.path} ({size}): {report.remark}."
    remark = f"; {report.remark}" if report.remark else ""
    return f"Saved {report.path} to the workspace as {report.stored} ({size}{remark})."


def _listing(report: FileReport, *, alone: bool) -> str:
    lines = [_entry(entry) for entry in report.entries or ()]
    if not report.complete:
        lines.append("... and more; list a directory below it, or use a shell command.")
    body = "\n".join(lines) or "(empty)"
    return body if alone else f"==> {report.path} <==\n{body}"


def _entry(entry: FileInfo) -> str:
    if entry.kind == "directory":
        return f"{_name(entry.path)}/"
    size = f"{entry.size:,} bytes" if entry.kind == "file" else "(not a regular file)"
    return f"{_name(entry.path)}  {size}"


def printable(text: str) -> str:
    """Text without terminal control sequences, which providers and databases choke on."""
    return _CONTROL.sub("\ufffd", _SEQUENCE.sub("", text))


def _name(path: str) -> str:
    """A path on one line."""
    return path if path.isprintable() else repr(path)


def _brief(path: str) -> str:
    return repr(path) if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]!r}..."


def _content(report: FileReport, most: int, prefix: str, *, alone: bool) -> str:
    size = f"{report.size:,} bytes"
    if report.text is None:
        return f"{report.path} is a binary file ({report.media_type}, {size})."
    where = f"The file has {size}; {_reading(report.path, prefix)}"
    header = [] if alone and not report.remark else [f"==> {report.path} ({size}) <=="]
    remark = [f"[{report.remark}]"] if report.remark else []
    text = printable(report.text)
    if not report.complete:
        text = f"{text[: most - len(where) - 20]}\n[... {where}]"
    empty = [f"{report.path} is empty."] if alone else []
    body = [clip(text, most, where)] if text else empty
    return "\n".join([*header, *remark, *body])


def _images(answer: Answer, limits: Limits) -> tuple[tuple[Image, ...], list[str]]:
    """Pictures for the model, and a line for each that it cannot be shown."""
    run = answer.execution.images if answer.execution else ()
    found = [*run, *(report.image for report in answer.files if report.image is not None)]
    if answer.failed:
        count = len(found)
        return (), [f"{count} picture(s) not shown because the call failed."] if count else []
    shown: list[Image] = []
    unseen: list[str] = []
    for image in found:
        small = _small(image, limits) if len(shown) < limits.images else None
        if small is None:
            unseen.append(f"Picture {image.name} ({len(image.data):,} bytes) is not shown.")
        else:
            shown.append(small)
    return tuple(shown), unseen


def _small(image: Image, limits: Limits) -> Image | None:
    """The picture as models accept it; None if it is none, or far too large to look at."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            picture = Pillow.open(io.BytesIO(image.data), formats=list(_FORMATS))
            width, height = picture.size
            if width * height > limits.image_pixels:
                return None
            fits = max(width, height) <= limits.image_edge
            if fits and len(image.data) <= _MOST_PICTURE_BYTES:
                picture.load()
                media_type = _FORMATS.get(str(picture.format))
                if media_type is not None:
                    return Image(media_type=media_type, data=image.data, name=image.name)
            picture.thumbnail((limits.image_edge, limits.image_edge))
            return _encoded(picture, image.name)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        return None


def _encoded(picture: Pillow.Image, name: str) -> Image:
    """As PNG, or as JPEG where that would be too many bytes for a model's provider."""
    if picture.mode not in _PNG_MODES:
        picture = picture.convert("RGB")
    target = io.BytesIO()
    picture.save(target, format="PNG")
    if target.tell() <= _MOST_PICTURE_BYTES:
        return Image(media_type="image/png", data=target.getvalue(), name=name)
    target = io.BytesIO()
    picture.convert("RGB").save(target, format="JPEG", quality=85)
    return Image(media_type="image/jpeg", data=target.getvalue(), name=name)


def _image_line(image: Image) -> str:
    return f"Picture: {image.name} ({image.media_type}, {len(image.data):,} bytes)."


def _artifact(
    name: str, answer: Answer, images: tuple[Image, ...], limits: Limits
) -> dict[str, object]:
    """The record for the host: JSON types only, bounded like the text."""
    record: dict[str, object] = {"tool": name, "is_error": answer.failed}
    if answer.notes:
        record["notes"] = list(answer.notes)
    if answer.error is not None:
        record["error"] = _error(answer.error)
    if answer.execution is not None:
        execution = answer.execution
        record["execution"] = {
            "stdout": clip(execution.stdout, limits.text_chars),
            "stderr": clip(execution.stderr, limits.text_chars),
            "exit_code": execution.exit_code,
            "ended": execution.ended,
            "state_kept": execution.state_kept,
            "duration": execution.duration,
            "output_file": execution.output_file,
        }
    if answer.files:
        record["files"] = [_file_record(report) for report in answer.files]
    if images:
        record["images"] = [
            {"name": image.name, "media_type": image.media_type, "size": len(image.data)}
            for image in images
        ]
    return record


def _file_record(report: FileReport) -> dict[str, object]:
    record: dict[str, object] = {"path": report.path, "size": report.size}
    if report.media_type:
        record["media_type"] = report.media_type
    if report.stored:
        record["stored"] = report.stored
    if report.entries is not None:
        record["entries"] = [
            {"path": e.path, "kind": e.kind, "size": e.size} for e in report.entries
        ]
    if report.error is not None:
        record["error"] = _error(report.error)
    return record


def _error(error: ToolError) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error)}
