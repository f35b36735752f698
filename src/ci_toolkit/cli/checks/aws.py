"""Amazon Bedrock AgentCore: region, credentials, and the service itself."""

from collections.abc import Iterator

from ci_toolkit.backends.orphans import Orphans
from ci_toolkit.cli.checks.findings import Finding, carry_out
from ci_toolkit.cli.checks.settings import Settings

__all__ = ["check_aws", "has_credentials"]

_ONLY = "needed only for AgentCore and S3"


def check_aws(settings: Settings) -> Iterator[Finding]:
    """What the service needs; a session is started only where the user chose this backend."""
    chosen = settings.backend == "agentcore"
    region = carry_out("aws region", 15, lambda: _region(settings, chosen=chosen))
    credentials = carry_out("aws credentials", 30, lambda: _credentials(settings, chosen=chosen))
    yield region
    yield credentials
    if region.status == "ok" and credentials.status in ("ok", "warn"):
        yield carry_out("agentcore", 60, lambda: _service(settings, chosen=chosen))


def has_credentials(settings: Settings) -> bool:
    """Whether the service can be asked at all, as far as this machine knows."""
    import boto3  # noqa: PLC0415 - slow to import
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        session = boto3.Session()
        return bool(settings.region or session.region_name) and bool(session.get_credentials())
    except BotoCoreError:
        return False


def _region(settings: Settings, *, chosen: bool) -> Finding:
    import boto3  # noqa: PLC0415 - slow to import

    region = settings.region or boto3.Session().region_name
    if region:
        return Finding(check="aws region", status="ok", found=region)
    return Finding(
        check="aws region",
        status="fail" if chosen else "off",
        found=f"none is set; {_ONLY}",
        advice="--region, or AWS_REGION, or `aws configure`",
    )


def _credentials(settings: Settings, *, chosen: bool) -> Finding:
    import boto3  # noqa: PLC0415 - slow to import
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    check = "aws credentials"
    session = boto3.Session()
    if session.get_credentials() is None:
        return Finding(
            check=check,
            status="fail" if chosen else "off",
            found=f"none were found; {_ONLY}",
            advice="`aws configure`, `aws sso login`, or a role of this machine",
        )
    if settings.endpoint_url:
        return Finding(check=check, status="ok", found="found; the endpoint is not AWS's own")
    config = Config(connect_timeout=4, read_timeout=4, retries={"total_max_attempts": 1})
    region = settings.region or session.region_name or "us-east-1"
    try:
        who = session.client("sts", config=config, region_name=region).get_caller_identity()
    except ClientError as error:
        advice = "They were refused: renew them, or correct them."
        return Finding(check=check, status="fail", found=str(error), advice=advice)
    except BotoCoreError as error:
        found = f"found, but not tried: {error}"
        return Finding(check=check, status="warn", found=found, advice="Is there a network?")
    return Finding(check=check, status="ok", found=f"{who['Arn']}")


def _service(settings: Settings, *, chosen: bool) -> Finding:
    backend = settings.open("agentcore")
    try:
        left = backend.list_leftovers("ci-toolkit-") if isinstance(backend, Orphans) else ()
        found = f"answers; {len(left)} sessions named ci-toolkit-* are open"
        if chosen:
            sandbox = backend.start(name="ci-toolkit-doctor")
            execution = sandbox.execute_code("print(6 * 7)", timeout=30)
            if execution.stdout.strip() != "42":
                return Finding(check="agentcore", status="fail", found=execution.stderr[:300])
            found += "; a session was started and ran Python"
    finally:
        backend.close()
    return Finding(check="agentcore", status="ok", found=found)
