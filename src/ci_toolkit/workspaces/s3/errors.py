"""The one table that turns what boto3 raises into the `WorkspaceError` family.

Each row is the operator's way out: what happened, and what to change.
"""

from collections.abc import Mapping
from typing import Final

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from ci_toolkit.errors import (
    WorkspaceConflictError,
    WorkspaceError,
    WorkspaceFileMissingError,
)

__all__ = ["ACTIONS", "CODES", "EXCEPTIONS", "code_of", "told"]

ACTIONS: Final[Mapping[str, str]] = {
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
}
"""An operation of S3, and the IAM action that allows it."""

_MISSING = "Nothing is stored there."
_CONFLICT = "Another writer was faster, or the file is not the expected version any more."
_NO_BUCKET = "Create the bucket, or correct its name; nothing can be kept until then."
_REGION = (
    "The bucket lies in {region}: make the client for it, "
    "S3Workspace(..., client=boto3.client('s3', region_name=...))."
)
_EXPIRED = (
    "The credentials have expired: renew them (for example `aws sso login`), or give a client "
    "whose credentials renew themselves."
)
_CREDENTIALS = (
    "The credentials are wrong or unknown: check the access key, its secret and the session "
    "token of the profile or role that this process uses."
)
_NO_CREDENTIALS = (
    "No usable credentials were found: give this process a role, a profile or AWS_ACCESS_KEY_ID "
    "and AWS_SECRET_ACCESS_KEY, or pass a client that has them."
)
_CLOCK = "This machine's clock is wrong: set it."
_DENIED = (
    "Allow {action}: the workspace needs s3:GetObject, s3:PutObject, s3:DeleteObject and "
    "s3:AbortMultipartUpload on arn:aws:s3:::{bucket}/{prefix}*, and s3:ListBucket on "
    "arn:aws:s3:::{bucket} (s3:PutObjectTagging as well where tags are set). Look at the IAM "
    "policy, the bucket policy and what denies by condition. Without s3:ListBucket a missing "
    "file is answered in the same way."
)
_KMS = (
    "The KMS key refuses: allow kms:GenerateDataKey and kms:Decrypt on it in its key policy and "
    "in the IAM policy, and check that it is enabled and in the bucket's region."
)
_ARCHIVED = "The file was moved to an archive: restore it, and exempt the prefix from that rule."
_SLOW = (
    "S3 asked for less or failed for now, also after several tries: nothing is lost, try again "
    "later; spread very many requests over more prefixes."
)
_UPLOAD = (
    "The upload was ended from outside while it ran: a lifecycle rule that aborts incomplete "
    "uploads must leave them at least a day."
)
_DAMAGED = "The content was damaged on its way, and nothing was stored: try again."
_LIMIT = "A limit of S3 is passed: use a shorter key or prefix, or a smaller file."
_SETTINGS = (
    "The request does not fit this bucket: check the bucket name (a plain name or an ARN, not a "
    "URL), kms_key_id, tags and the client's settings."
)
_UNSUPPORTED = (
    "This store does not do what the workspace needs: conditional puts (If-Match, If-None-Match), "
    "multipart uploads and checksums of S3."
)
_ACCOUNT = "AWS has closed this account or bucket for access: see the AWS console or AWS support."
_NETWORK = (
    "S3 cannot be reached from here: check the network, DNS, proxy, VPC endpoint and the "
    "client's endpoint_url."
)
_CUT = "The connection broke, also after several tries: check the network, and try again."
_LOCAL = "boto3 refused before sending anything: check its settings, profile and version."

_Row = tuple[type[WorkspaceError], str]


def _rows(kind: type[WorkspaceError], advice: str, codes: str) -> dict[str, _Row]:
    return dict.fromkeys(codes.split(), (kind, advice))


CODES: Final[Mapping[str, _Row]] = {
    **_rows(WorkspaceFileMissingError, _MISSING, "NoSuchKey NotFound NoSuchVersion 404"),
    **_rows(
        WorkspaceConflictError,
        _CONFLICT,
        "PreconditionFailed ConditionalRequestConflict OperationAborted 409 412",
    ),
    **_rows(WorkspaceError, _NO_BUCKET, "NoSuchBucket"),
    **_rows(
        WorkspaceError,
        _REGION,
        "PermanentRedirect TemporaryRedirect Redirect AuthorizationHeaderMalformed "
        "IllegalLocationConstraintException 301 302 307 308",
    ),
    **_rows(WorkspaceError, _EXPIRED, "ExpiredToken ExpiredTokenException TokenRefreshRequired"),
    **_rows(
        WorkspaceError,
        _CREDENTIALS,
        "InvalidAccessKeyId InvalidToken InvalidSecurity SignatureDoesNotMatch AuthFailure "
        "InvalidClientTokenId UnrecognizedClientException MissingSecurityHeader 401",
    ),
    **_rows(WorkspaceError, _CLOCK, "RequestTimeTooSkewed RequestExpired"),
    **_rows(
        WorkspaceError,
        _DENIED,
        "AccessDenied AccessDeniedException UnauthorizedAccess Forbidden MethodNotAllowed 403 405",
    ),
    **_rows(WorkspaceError, _ACCOUNT, "AllAccessDisabled AccountProblem NotSignedUp"),
    **_rows(WorkspaceError, _ARCHIVED, "InvalidObjectState ObjectNotInActiveTierError"),
    **_rows(
        WorkspaceError,
        _SLOW,
        "SlowDown ServiceUnavailable InternalError Throttling ThrottlingException "
        "RequestLimitExceeded TooManyRequests TooManyRequestsException BandwidthLimitExceeded "
        "RequestTimeout RequestTimeoutException 408 429 500 502 503 504",
    ),
    **_rows(WorkspaceError, _UPLOAD, "NoSuchUpload InvalidPart InvalidPartOrder"),
    **_rows(
        WorkspaceError,
        _DAMAGED,
        "BadDigest InvalidDigest IncompleteBody XAmzContentSHA256Mismatch "
        "XAmzContentChecksumMismatch",
    ),
    **_rows(
        WorkspaceError,
        _LIMIT,
        "EntityTooLarge EntityTooSmall KeyTooLongError MetadataTooLarge TooManyParts "
        "RequestHeaderSectionTooLarge 413 414 431",
    ),
    **_rows(
        WorkspaceError,
        _SETTINGS,
        "InvalidBucketName InvalidRequest InvalidArgument InvalidTag InvalidURI MalformedXML "
        "EncryptionTypeMismatch InvalidWriteOffset ServerSideEncryptionConfigurationNotFoundError "
        "InvalidEncryptionAlgorithmError AuthorizationQueryParametersError 400 BadRequest",
    ),
    **_rows(WorkspaceError, _UNSUPPORTED, "NotImplemented UnsupportedArgument 501"),
}
"""An error code of S3, or the status where S3 sends none: the class and the way out."""

EXCEPTIONS: Final[Mapping[type[BotoCoreError], str]] = {
    boto.NoCredentialsError: _NO_CREDENTIALS,
    boto.PartialCredentialsError: _NO_CREDENTIALS,
    boto.CredentialRetrievalError: _NO_CREDENTIALS,
    boto.MetadataRetrievalError: _NO_CREDENTIALS,
    boto.NoAuthTokenError: _NO_CREDENTIALS,
    boto.UnknownCredentialError: _NO_CREDENTIALS,
    boto.TokenRetrievalError: _EXPIRED,
    boto.RefreshWithMFAUnsupportedError: _EXPIRED,
    boto.SSOError: _EXPIRED,
    boto.LoginError: _EXPIRED,
    boto.ConnectionError: _NETWORK,
    boto.ReadTimeoutError: _CUT,
    boto.HTTPClientError: _CUT,
    boto.IncompleteReadError: _CUT,
    boto.FlexibleChecksumError: "The content was damaged on its way or in the bucket: try again.",
    boto.ChecksumError: "The content was damaged on its way or in the bucket: try again.",
    boto.ParamValidationError: _SETTINGS,
    boto.EndpointProviderError: _SETTINGS,
    BotoCoreError: _LOCAL,
}
"""An exception of botocore with all below it, and the way out; the nearest row counts."""


def code_of(error: BaseException | None) -> str:
    """The error code of S3; the status where there is none; empty where S3 did not answer."""
    if not isinstance(error, ClientError):
        return ""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return error.response.get("Error", {}).get("Code") or str(status)


def told(
    error: ClientError | BotoCoreError, operation: str, key: str, *, bucket: str, prefix: str
) -> WorkspaceError:
    """The error of this house for an error of boto3.

    Args:
        error: What boto3 raised.
        operation: The operation of S3, for example `PutObject`.
        key: The key or prefix it was about.
        bucket: The workspace's bucket.
        prefix: The workspace's prefix in it.
    """
    kind, advice = _row(error)
    advice = advice.format(
        region=_region(error),
        action=ACTIONS.get(operation, operation),
        bucket=bucket.rpartition(":")[2],
        prefix=prefix,
    )
    return kind(f"{operation} of {key!r} in the bucket {bucket!r} failed. {advice} ({error})")


def _row(error: ClientError | BotoCoreError) -> _Row:
    if isinstance(error, BotoCoreError):
        nearest = next(kind for kind in type(error).__mro__ if kind in EXCEPTIONS)
        return WorkspaceError, EXCEPTIONS[nearest]
    code = code_of(error)
    if code.startswith("KMS.") or "kms:" in str(error):
        return WorkspaceError, _KMS
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    # A code that is not in the table is new: its status still says who can act. What is missing
    # or in conflict is only what S3 calls so by name.
    unknown = CODES.get(status, (WorkspaceError, _SETTINGS))
    return CODES.get(code) or (WorkspaceError, unknown[1])


def _region(error: ClientError | BotoCoreError) -> str:
    if not isinstance(error, ClientError):
        return "another region"
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    found = error.response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
    return f"the region {found}" if found else "another region"
