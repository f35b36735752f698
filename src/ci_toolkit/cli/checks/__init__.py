"""What `ci-toolkit doctor` looks at: each check tries the thing itself, and is bounded in time."""

from collections.abc import Iterator

from ci_toolkit.cli.checks.aws import check_aws
from ci_toolkit.cli.checks.findings import Finding, Status
from ci_toolkit.cli.checks.local import check_local
from ci_toolkit.cli.checks.machine import check_machine
from ci_toolkit.cli.checks.packages import check_packages
from ci_toolkit.cli.checks.services import check_emulator, check_workspace
from ci_toolkit.cli.checks.settings import Settings

__all__ = ["Finding", "Settings", "Status", "check_all"]


def check_all(settings: Settings) -> Iterator[Finding]:
    """All findings, each as soon as it is there."""
    yield from check_machine()
    yield from check_packages()
    yield from check_local(settings)
    yield from check_emulator()
    yield from check_aws(settings)
    yield from check_workspace(settings)
