"""What the service says instead of an answer: a status, an exception's name and a message."""

from collections.abc import Sequence

from ci_toolkit.errors import (
    AccessDeniedError,
    BackendError,
    CodeInterpreterError,
    QuotaExceededError,
    ThrottledError,
)

__all__ = ["STATUSES", "Refusal", "invalid", "not_found", "refusal_of"]

STATUSES = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 402,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ConflictException": 409,
    "ThrottlingException": 429,
    "InternalServerException": 500,
}
"""HTTP statuses by the name of the exception, as in the service's API model."""

_NAMES: dict[type[BackendError], str] = {
    ThrottledError: "ThrottlingException",
    QuotaExceededError: "ServiceQuotaExceededException",
    AccessDeniedError: "AccessDeniedException",
}


class Refusal(Exception):  # noqa: N818 - an answer of the service, and no fault of this program
    """A request that is answered with an exception of the API.

    Attributes:
        code: The exception's name; one of `STATUSES`.
        message: Its text.
        reason: Of a `ValidationException`, one of the model's reasons.
        fields: Of a `ValidationException`, names and messages of the members that are wrong.
    """

    def __init__(
        self, code: str, message: str, *, reason: str = "", fields: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.fields = tuple(fields)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUSES[self.code]

    @property
    def body(self) -> dict[str, object]:
        """The members of the exception."""
        body: dict[str, object] = {"message": self.message}
        if self.reason:
            body["reason"] = self.reason
        if self.fields:
            body["fieldList"] = [{"name": n, "message": m} for n, m in self.fields]
        return body


def invalid(
    message: str,
    *,
    reason: str = "FieldValidationFailed",
    fields: Sequence[tuple[str, str]] = (),
) -> Refusal:
    """A `ValidationException`."""
    return Refusal("ValidationException", message, reason=reason, fields=fields)


def not_found(message: str) -> Refusal:
    """A `ResourceNotFoundException`."""
    return Refusal("ResourceNotFoundException", message)


def refusal_of(error: CodeInterpreterError) -> Refusal:
    """How a failure of the backend looks to a client: what is not known is an internal error."""
    names = (name for kind, name in _NAMES.items() if isinstance(error, kind))
    return Refusal(next(names, "InternalServerException"), str(error) or type(error).__name__)
