"""Sends the requests of one workspace to S3: the one place where its errors become this house's.

Between the workspace, `transfer` and boto3.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from ci_toolkit.errors import WorkspaceError
from ci_toolkit.workspaces.s3.errors import told

__all__ = ["Requests"]

_making_a_link = ContextVar("_making_a_link", default=False)


def _sign_anew(signature_version: str, **_: object) -> str | None:
    """Keeps botocore's choice of the old signature from our links, and from nobody else's."""
    return signature_version if _making_a_link.get() else None


@dataclass(frozen=True)
class Requests:
    """Sends requests about the keys of one workspace.

    Every method raises the `WorkspaceError`, or one of its children, that the table has for what
    boto3 raised.

    Attributes:
        client: A boto3 client for S3.
        bucket: Its bucket.
        prefix: What stands before each key there; empty, or it ends with `/`.
    """

    client: Any
    bucket: str
    prefix: str

    def __post_init__(self) -> None:
        # Links in the old signature, botocore's default for them, protect no headers.
        events = self.client.meta.events
        events.register_first("choose-signer.s3", _sign_anew, unique_id="ci-toolkit-links")

    def send(self, operation: str, key: str, **arguments: object) -> dict[str, Any]:
        """Sends one request about one file."""
        return self._answer(operation, key, {"Key": self.prefix + key, **arguments})

    def page(self, prefix: str, token: str | None) -> dict[str, Any]:
        """Fetches one page of a listing."""
        more = {"ContinuationToken": token} if token else {}
        return self._answer("ListObjectsV2", prefix, {"Prefix": self.prefix + prefix, **more})

    def presigned(
        self, operation: str, key: str, arguments: Mapping[str, object], expires: float
    ) -> str:
        """A link that sends one request; every header among the arguments is part of it."""
        parameters = {"Bucket": self.bucket, "Key": self.prefix + key, **arguments}
        token = _making_a_link.set(True)
        try:
            url: str = self.client.generate_presigned_url(
                xform_name(operation), Params=parameters, ExpiresIn=int(expires)
            )
        except (ClientError, BotoCoreError) as error:
            raise self.told(error, operation, key) from error
        finally:
            _making_a_link.reset(token)
        if "X-Amz-Signature=" not in url:
            raise WorkspaceError(
                "The client signs links in an old way that protects no headers: make it with "
                "botocore.config.Config(signature_version='s3v4')."
            )
        return url

    def told(
        self, error: ClientError | BotoCoreError, operation: str, about: str
    ) -> WorkspaceError:
        """The error of this house for an error of boto3."""
        return told(error, operation, about, bucket=self.bucket, prefix=self.prefix)

    def _answer(
        self, operation: str, about: str, arguments: Mapping[str, object]
    ) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self.client, xform_name(operation))(
                Bucket=self.bucket, **arguments
            )
        except (ClientError, BotoCoreError) as error:
            raise self.told(error, operation, about) from error
        return answer
