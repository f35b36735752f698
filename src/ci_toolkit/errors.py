"""What can go wrong, sorted by who can act on it; used by every room of the house.

    CodeInterpreterError
    ├── ConfigurationError        the developer: raised while building, never during a call
    ├── ToolError                 the model: its text is shown to it
    │   ├── InvalidArgumentsError
    │   ├── FileMissingError
    │   ├── PathOutsideError
    │   ├── NotAFileError
    │   ├── TimedOutError
    │   ├── TooLargeError
    │   ├── UnsupportedError
    │   ├── WriteFailedError
    │   ├── CancelledCallError
    │   └── OutcomeUnknownError
    ├── BackendError              the operator: logged in full, one fixed sentence for the model
    │   ├── BackendUnavailableError
    │   ├── SandboxLostError
    │   ├── ThrottledError
    │   ├── QuotaExceededError
    │   └── AccessDeniedError
    └── WorkspaceError            the operator, likewise
        ├── WorkspaceFileMissingError
        └── WorkspaceConflictError

A program that fails in the sandbox is none of these: it is an `Execution` with an exit code.
"""

__all__ = [
    "AccessDeniedError",
    "BackendError",
    "BackendUnavailableError",
    "CancelledCallError",
    "CodeInterpreterError",
    "ConfigurationError",
    "FileMissingError",
    "InvalidArgumentsError",
    "NotAFileError",
    "OutcomeUnknownError",
    "PathOutsideError",
    "QuotaExceededError",
    "SandboxLostError",
    "ThrottledError",
    "TimedOutError",
    "TooLargeError",
    "ToolError",
    "UnsupportedError",
    "WorkspaceConflictError",
    "WorkspaceError",
    "WorkspaceFileMissingError",
    "WriteFailedError",
]


class CodeInterpreterError(Exception):
    """Root of everything that this package raises on purpose."""


class ConfigurationError(CodeInterpreterError):
    """The toolkit cannot be built as asked; the text says what to install or to change."""


class ToolError(CodeInterpreterError):
    """A call that cannot be answered as asked; the text is written for the model."""


class InvalidArgumentsError(ToolError):
    """The arguments do not fit the tool; nothing was run."""


class FileMissingError(ToolError):
    """No file of this path exists."""


class PathOutsideError(ToolError):
    """The path leaves the place that it has to stay in."""


class NotAFileError(ToolError):
    """The path names something else than a regular file (a directory, FIFO, device or socket)."""


class TimedOutError(ToolError):
    """The work did not end in time, and was stopped."""


class TooLargeError(ToolError):
    """A size is over its limit."""


class UnsupportedError(ToolError):
    """The backend cannot do what was asked."""


class WriteFailedError(ToolError):
    """A file could not be written, changed or removed; what was there before is untouched."""


class CancelledCallError(ToolError):
    """The call was cancelled by the host before it had an answer."""


class OutcomeUnknownError(ToolError):
    """The code or command may or may not have run; it was not sent a second time."""


class BackendError(CodeInterpreterError):
    """The place that runs code failed; the text is for the operator and never for the model."""


class BackendUnavailableError(BackendError):
    """No sandbox can be started or reached at present."""


class SandboxLostError(BackendError):
    """The sandbox is gone for good: its variables and its unsaved files with it.

    Attributes:
        may_have_run: Whether the code or command of the failing call may have begun. When False,
            the call can be sent to a new sandbox without running anything twice.
    """

    def __init__(self, message: str, *, may_have_run: bool) -> None:
        super().__init__(message)
        self.may_have_run = may_have_run


class ThrottledError(BackendError):
    """The service refused the call for now; it has not begun."""


class QuotaExceededError(BackendError):
    """An account's or a machine's quota is used up."""


class AccessDeniedError(BackendError):
    """The credentials at hand do not allow the call."""


class WorkspaceError(CodeInterpreterError):
    """The place that keeps files failed; the text is for the operator and never for the model."""


class WorkspaceFileMissingError(WorkspaceError):
    """The workspace holds nothing under this key."""


class WorkspaceConflictError(WorkspaceError):
    """A conditional put found another version than it expected; nothing was written."""
