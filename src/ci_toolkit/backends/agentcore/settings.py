"""What an `AgentCoreBackend` is built with, checked once; used by `backend` and `service`."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ci_toolkit.errors import ConfigurationError

__all__ = ["SYSTEM_INTERPRETER", "Settings", "Trace"]

SYSTEM_INTERPRETER = "aws.codeinterpreter.v1"
Trace = Callable[[], Mapping[str, str]]
"""Gives `traceId` and `traceParent` of the request that is going on, or neither."""

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")
_IDENTIFIER = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,47}-[a-zA-Z0-9]{10}")
_FILESYSTEMS = ("s3FilesConfiguration", "efsConfiguration")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings; see `AgentCoreBackend` for what they mean.

    Raises:
        ConfigurationError: One of them cannot be.
    """

    region: str
    identifier: str
    session_timeout: int
    endpoint_url: str | None
    filesystem_configurations: Sequence[Mapping[str, object]]
    certificates: Sequence[Mapping[str, object]]
    network: Literal["none", "internet"]
    concurrency: int
    trace: Trace | None

    def __post_init__(self) -> None:
        _check_region(self.region)
        _check_identifier(self.identifier)
        _check_whole(self.session_timeout, "session_timeout", 28_800, "seconds, at most 8 hours")
        _check_whole(self.concurrency, "concurrency", 1_000, "calls at one time")
        if self.network not in ("none", "internet"):
            raise ConfigurationError(f'network is "none" or "internet", not {self.network!r}.')
        if self.endpoint_url is not None and not self.endpoint_url.startswith(
            ("http://", "https://")
        ):
            raise ConfigurationError(
                f"endpoint_url begins with http:// or https://, unlike {self.endpoint_url!r}."
            )
        _check_list(self.filesystem_configurations, "filesystem_configurations", _FILESYSTEMS, 10)
        _check_list(self.certificates, "certificates", ("location",), 200)

    def session_request(self, name: str) -> dict[str, object]:
        """What a session is started with, without its client token."""
        request: dict[str, object] = {
            "codeInterpreterIdentifier": self.identifier,
            "name": name,
            "sessionTimeoutSeconds": self.session_timeout,
        }
        if self.filesystem_configurations:
            request["filesystemConfigurations"] = list(self.filesystem_configurations)
        if self.certificates:
            request["certificates"] = list(self.certificates)
        return request


def _check_region(region: str) -> None:
    if not region:
        raise ConfigurationError(
            'AgentCoreBackend needs a region: AgentCoreBackend("us-east-1"), or a region in the '
            "AWS configuration that boto3 reads (AWS_REGION, or the profile)."
        )
    if not _REGION.fullmatch(region):
        raise ConfigurationError(f'{region!r} is no AWS region; one looks like "us-east-1".')


def _check_identifier(identifier: str) -> None:
    if identifier == SYSTEM_INTERPRETER or _IDENTIFIER.fullmatch(identifier):
        return
    hint = " (give the id after the last slash, not the ARN)" if "arn:" in identifier else ""
    raise ConfigurationError(
        f"{identifier!r} is no code interpreter{hint}: use {SYSTEM_INTERPRETER!r}, or the id of "
        'one of your own, such as "analysis-AbCdEf1234".'
    )


def _check_whole(value: int, name: str, most: int, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ConfigurationError(f"{name} is a whole number from 1 to {most} ({unit}): {value!r}.")


def _check_list(
    values: Sequence[Mapping[str, object]], name: str, keys: tuple[str, ...], most: int
) -> None:
    fits = (
        isinstance(values, list | tuple)
        and len(values) <= most
        and all(isinstance(v, Mapping) and len(v) == 1 and set(v) <= set(keys) for v in values)
    )
    if not fits:
        raise ConfigurationError(
            f"{name} is a list of at most {most} mappings, each with the one key "
            f"{' or '.join(keys)}, as in the API of the service."
        )
