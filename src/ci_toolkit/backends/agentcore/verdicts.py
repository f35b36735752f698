"""The table of all that can go wrong with boto3 and the service; used by `service` and `calls`.

Each verdict says what kind of trouble it is, and whether the code of the call may have run. What
is in neither table counts as if the code may have run: nothing is ever sent twice on a guess.
"""

import re
from dataclasses import dataclass
from typing import Literal

from botocore import exceptions as boto
from botocore.eventstream import InvalidPayloadLength, NoInitialResponseError, ParserError
from botocore.parsers import ResponseParserError

from ci_toolkit.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    CodeInterpreterError,
    ConfigurationError,
    OutcomeUnknownError,
    QuotaExceededError,
    ThrottledError,
)

__all__ = ["CLIENT", "SERVICE", "Verdict", "error_of", "judge"]

Kind = Literal[
    "throttled",
    "quota",
    "denied",
    "settings",
    "invalid",
    "unreachable",
    "gone",
    "conflict",
    "broken",
]
"""What kind of trouble: `gone` is a session that is not there, `conflict` perhaps one, `invalid`
a request that was refused for what it said, `broken` all that can come after the code has begun."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an exception means.

    Attributes:
        kind: What kind of trouble it is.
        may_have_run: Whether the code of an invoke may have run.
        advice: What the operator can do.
    """

    kind: Kind
    may_have_run: bool = False
    advice: str = ""


_WAIT = "The service refuses more calls for now; it was asked again a few times."
_QUOTA = (
    "Stop sessions that are not used, or ask for more in Service Quotas under Amazon Bedrock "
    "AgentCore (maxCodeInterpreterSessions is L-CAF6F552; a new account may begin with 0)."
)
_DENIED = (
    "Allow the actions bedrock-agentcore:StartCodeInterpreterSession, "
    "bedrock-agentcore:InvokeCodeInterpreter, bedrock-agentcore:GetCodeInterpreterSession and "
    "bedrock-agentcore:StopCodeInterpreterSession on the code interpreter; a new policy can take "
    "minutes to have effect."
)
_CREDENTIALS = "Check the AWS credentials that boto3 finds: they are missing, wrong or expired."
_UNKNOWN = "Check that the identifier exists in this region and account."
_ENDPOINT = "Check the region, the network, the proxy and the endpoint_url."
_SETTING = "Check the arguments of AgentCoreBackend and the AWS configuration that boto3 reads."

_denied = Verdict(kind="denied", advice=_DENIED)
_credentials = Verdict(kind="denied", advice=_CREDENTIALS)
_throttled = Verdict(kind="throttled", advice=_WAIT)
_unreachable = Verdict(kind="unreachable", advice=_ENDPOINT)
_settings = Verdict(kind="settings", advice=_SETTING)
_broken = Verdict(kind="broken", may_have_run=True)

SERVICE: dict[str, Verdict] = {
    "AccessDenied": _denied,
    "Conflict": Verdict(kind="conflict", may_have_run=True),
    "InternalServer": _broken,
    "ResourceNotFound": Verdict(kind="gone", advice=_UNKNOWN),
    "ServiceQuotaExceeded": Verdict(kind="quota", advice=_QUOTA),
    "Throttling": _throttled,
    "Validation": Verdict(kind="invalid", advice=_SETTING),
    # Not of this service's model: what stands before every service of AWS says these.
    "ExpiredToken": _credentials,
    "IncompleteSignature": _credentials,
    "InvalidClientTokenId": _credentials,
    "InvalidSignature": _credentials,
    "MissingAuthenticationToken": _credentials,
    "OptInRequired": _denied,
    "RequestExpired": _credentials,
    "SignatureDoesNotMatch": _credentials,
    "SubscriptionRequired": _denied,
    "Throttled": _throttled,
    "TooManyRequests": _throttled,
    "Unauthorized": _denied,
    "UnknownOperation": Verdict(kind="settings", advice=_ENDPOINT),
    "UnrecognizedClient": _credentials,
}
"""By the code of the exception, without `Exception` at its end and with a capital first letter."""

CLIENT: dict[type[Exception], Verdict] = {
    # Before anything was sent.
    boto.EndpointConnectionError: _unreachable,
    boto.ConnectTimeoutError: _unreachable,
    boto.ProxyConnectionError: _unreachable,
    boto.CapacityNotAvailableError: _throttled,
    boto.NoCredentialsError: _credentials,
    boto.NoAuthTokenError: _credentials,
    boto.PartialCredentialsError: _credentials,
    boto.CredentialRetrievalError: _credentials,
    boto.UnknownCredentialError: _credentials,
    boto.TokenRetrievalError: _credentials,
    boto.UnknownTokenProviderError: _credentials,
    boto.SSOError: _credentials,
    boto.LoginError: _credentials,
    boto.MetadataRetrievalError: _credentials,
    boto.InvalidIMDSEndpointError: _credentials,
    boto.InvalidIMDSEndpointModeError: _credentials,
    boto.RefreshWithMFAUnsupportedError: _credentials,
    boto.InfiniteLoopConfigError: _credentials,
    boto.NoRegionError: _settings,
    boto.UnknownRegionError: _settings,
    boto.InvalidRegionError: _settings,
    boto.BaseEndpointResolverError: _settings,
    boto.EndpointProviderError: _settings,
    boto.ServiceNotInRegionError: _settings,
    boto.UnknownServiceError: _settings,
    boto.DataNotFoundError: _settings,
    boto.ApiVersionNotFoundError: _settings,
    boto.UnknownClientMethodError: _settings,
    boto.UnsupportedServiceProtocolsError: _settings,
    boto.UnknownSignatureVersionError: _settings,
    boto.UnsupportedSignatureVersionError: _settings,
    boto.ProfileNotFound: _settings,
    boto.ConfigParseError: _settings,
    boto.ConfigNotFound: _settings,
    boto.InvalidConfigError: _settings,
    boto.InvalidProxiesConfigError: _settings,
    boto.InvalidDefaultsMode: _settings,
    boto.InvalidEndpointConfigurationError: _settings,
    boto.InvalidEndpointDiscoveryConfigurationError: _settings,
    boto.InvalidRetryConfigurationError: _settings,
    boto.InvalidMaxRetryAttemptsError: _settings,
    boto.InvalidRetryModeError: _settings,
    boto.InvalidChecksumConfigError: _settings,
    boto.InvalidHostLabelError: _settings,
    boto.MissingDependencyException: _settings,
    boto.ParamValidationError: Verdict(kind="invalid", advice=_SETTING),
    boto.MissingParametersError: Verdict(kind="invalid", advice=_SETTING),
    boto.ValidationError: Verdict(kind="invalid", advice=_SETTING),
    # After something was, or may have been, sent.
    boto.ReadTimeoutError: _broken,
    boto.ConnectionClosedError: _broken,
    boto.ResponseStreamingError: _broken,
    boto.IncompleteReadError: _broken,
    boto.ChecksumError: _broken,
    boto.FlexibleChecksumError: _broken,
    boto.AwsChunkedWrapperError: _broken,
    boto.UnseekableStreamError: _broken,
    # A certificate that does not fit shows at the start of a session, before any code.
    boto.SSLError: _broken,
    boto.HTTPClientError: _broken,
    boto.ConnectionError: _broken,
    ParserError: _broken,
    NoInitialResponseError: _broken,
    ResponseParserError: _broken,
}
"""By the class of the exception, or the nearest of its ancestors."""

_STATUSES = {
    400: SERVICE["Validation"],
    413: SERVICE["Validation"],
    401: _credentials,
    402: SERVICE["ServiceQuotaExceeded"],
    403: _denied,
    429: _throttled,
}
_END = re.compile(r"(Exception|Error)?$")


def judge(error: Exception, *, streaming: bool = False) -> Verdict:
    """What an exception means.

    Args:
        error: Of boto3, botocore, or what reading from its stream raised.
        streaming: Whether the answer had begun: then the code may have run, whatever is said.
    """
    verdict = _judge(error)
    if not streaming:
        return verdict
    kind = verdict.kind if verdict.kind in ("gone", "conflict") else "broken"
    return Verdict(kind=kind, may_have_run=True, advice=verdict.advice)


def error_of(
    verdict: Verdict, error: Exception, doing: str, *, invoking: bool = False
) -> CodeInterpreterError:
    """The error to raise; loss of a session is for `calls` to say.

    Args:
        verdict: What `judge` said.
        error: What it said it of.
        doing: What was tried, such as `start a session of x in eu-west-1`.
        invoking: Whether code, a command or file work was to be run.
    """
    text = f"Could not {doing}: {_words(error)}. {verdict.advice}".strip()
    match verdict.kind:
        case "throttled":
            return ThrottledError(text)
        case "quota":
            return QuotaExceededError(text)
        case "denied":
            return AccessDeniedError(text)
        case "settings" | "invalid" | "gone" if not invoking:
            return ConfigurationError(text)
        case "broken" | "conflict" if invoking:
            return OutcomeUnknownError(_unknown_outcome(error))
        case _:
            return BackendUnavailableError(text)


def _unknown_outcome(error: Exception) -> str:
    if isinstance(error, InvalidPayloadLength):
        what = "It ran, but its output is too long to be brought back; print less of it"
    else:
        what = f"The connection to the sandbox broke during the call ({type(error).__name__})"
    return (
        f"{what}. Whatever was asked may have been done, wholly or in part, and was not sent a "
        "second time. Before repeating it, look at the files and variables that it was to change."
    )


def _judge(error: Exception) -> Verdict:
    if isinstance(error, boto.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        name = _END.sub("", code[:1].upper() + code[1:])
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return SERVICE.get(name) or _STATUSES.get(status, _broken)
    return next((CLIENT[kind] for kind in type(error).__mro__ if kind in CLIENT), _broken)


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:1000].rstrip(".")
