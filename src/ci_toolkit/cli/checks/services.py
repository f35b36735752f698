"""The emulator of AgentCore, and the workspace that the user names."""

from collections.abc import Iterator
from importlib.util import find_spec
from uuid import uuid4

from ci_toolkit.cli.checks.findings import Finding, carry_out
from ci_toolkit.cli.checks.settings import Settings
from ci_toolkit.cli.options import open_workspace

__all__ = ["check_emulator", "check_workspace"]


def check_emulator() -> Iterator[Finding]:
    """Starts it, and runs code through boto3."""
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        found = "not set up: the extra 'emulator' is not installed"
        advice = "pip install 'ci-toolkit[emulator]'"
        yield Finding(check="emulator", status="off", found=found, advice=advice)
        return
    yield carry_out("emulator", 45, _emulator)


def check_workspace(settings: Settings) -> Iterator[Finding]:
    """Writes a file, reads it and deletes it, where the user has named a workspace."""
    if settings.workspace:
        yield carry_out("workspace", 60, lambda: _workspace(settings.workspace))


def _emulator() -> Finding:
    import boto3  # noqa: PLC0415 - slow to import

    from ci_toolkit.backends.agentcore import AgentCoreBackend  # noqa: PLC0415
    from ci_toolkit.backends.memory import InMemoryBackend  # noqa: PLC0415
    from ci_toolkit.emulator import AgentCoreEmulator  # noqa: PLC0415 - an extra

    session = boto3.Session(
        aws_access_key_id="any",
        aws_secret_access_key="any",  # noqa: S106 - nobody looks at it
        region_name="us-east-1",
    )
    with AgentCoreEmulator(InMemoryBackend(replies={"6 * 7": "42"})) as url:
        backend = AgentCoreBackend(boto_session=session, endpoint_url=url)
        try:
            execution = backend.start(name="ci-toolkit-doctor").execute_code("6 * 7", timeout=20)
        finally:
            backend.close()
    if execution.stdout.strip() != "42":
        return Finding(check="emulator", status="fail", found=execution.stderr.strip()[:300])
    return Finding(check="emulator", status="ok", found="served a session to boto3")


def _workspace(place: str) -> Finding:
    workspace = open_workspace(place)
    key, data = f"ci-toolkit-doctor/{uuid4().hex}", b"6 * 7"
    workspace.put(key, [data])
    try:
        same = b"".join(workspace.open(key)) == data
    finally:
        workspace.delete(key)
    if not same:
        return Finding(check="workspace", status="fail", found=f"{place} gave other bytes back")
    found = f"{place}: wrote a file, read it, deleted it"
    return Finding(check="workspace", status="ok", found=found)
