"""The options that commands share, written once, and what is built from them.

Each option is an `Annotated` type for a command's parameter; its default stands in the command.
The environment variables beside them are read here and nowhere else in the package.
"""

import re
from typing import Annotated, Any, Literal

import typer

from ci_toolkit.backends.base import Backend
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.limits import Limits
from ci_toolkit.workspaces import DirectoryWorkspace, InMemoryWorkspace, Workspace

__all__ = [
    "WHERE_CODE_RUNS",
    "BackendName",
    "BackendOption",
    "EndpointOption",
    "IdentifierOption",
    "IsolationName",
    "IsolationOption",
    "NetworkName",
    "NetworkOption",
    "PythonOption",
    "RegionOption",
    "SessionTimeoutOption",
    "TimeoutOption",
    "WorkspaceOption",
    "in_options",
    "open_backend",
    "open_interpreter",
    "open_workspace",
]

BackendName = Literal["local", "agentcore", "memory"]
IsolationName = Literal["bubblewrap", "none"]
NetworkName = Literal["none", "internet", "host"]

WHERE_CODE_RUNS = "Where code runs"
"""The panel of the help that holds these options."""

_ARGUMENT = re.compile(r'(?:LocalBackend|AgentCoreBackend)\((?:(\w+)=)?"([^"]*)"\)')
_S3 = "s3://"
_IN_MEMORY = "memory"

BackendOption = Annotated[
    BackendName,
    typer.Option(
        help="'local': a sandbox on this machine. 'agentcore': Amazon Bedrock AgentCore. "
        "'memory': a fake that runs Python in this process, unconfined, and no commands.",
        envvar="CI_TOOLKIT_BACKEND",
        show_envvar=False,
        rich_help_panel=WHERE_CODE_RUNS,
    ),
]
IsolationOption = Annotated[
    IsolationName,
    typer.Option(
        help="With local: how code is confined; 'none' runs it with all your rights.",
        envvar="CI_TOOLKIT_ISOLATION",
        show_envvar=False,
        rich_help_panel=WHERE_CODE_RUNS,
    ),
]
NetworkOption = Annotated[
    NetworkName,
    typer.Option(
        help="What code can reach. With agentcore it is only told to the model: --identifier "
        "decides.",
        envvar="CI_TOOLKIT_NETWORK",
        show_envvar=False,
        rich_help_panel=WHERE_CODE_RUNS,
    ),
]
PythonOption = Annotated[
    str | None,
    typer.Option(
        help="With local: the interpreter of the environment that code runs in; else this one's.",
        metavar="PATH",
        envvar="CI_TOOLKIT_PYTHON",
        show_envvar=False,
        rich_help_panel=WHERE_CODE_RUNS,
    ),
]
RegionOption = Annotated[
    str | None,
    typer.Option(
        help="With agentcore: the AWS region; else that of your AWS settings.",
        metavar="NAME",
        envvar="CI_TOOLKIT_REGION",
        show_envvar=False,
        rich_help_panel=WHERE_CODE_RUNS,
    ),
]
IdentifierOption = Annotated[
    str | None,
    typer.Option(
        help="With agentcore: a code interpreter of your own; else the system's.",
        metavar="ID",
        envvar="CI_TOOLKIT_IDENTIFIER",
        show_envvar=False,
        rich_help_panel=WHERE_CODE_RUNS,
    ),
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        help="With agentcore: another address, such as that of `ci-toolkit emulate`.",
        metavar="URL",
        envvar="CI_TOOLKIT_ENDPOINT_URL",
        show_envvar=False,
        rich_help_panel=WHERE_CODE_RUNS,
    ),
]
SessionTimeoutOption = Annotated[
    int,
    typer.Option(
        help="With agentcore: seconds after which the service ends a sandbox.",
        metavar="S",
        min=1,
        max=28_800,
        envvar="CI_TOOLKIT_SESSION_TIMEOUT",
        show_envvar=False,
        rich_help_panel=WHERE_CODE_RUNS,
    ),
]
WorkspaceOption = Annotated[
    str,
    typer.Option(
        help="Where files are kept: a folder, s3://BUCKET/PREFIX, or 'memory'.",
        metavar="PLACE",
        envvar="CI_TOOLKIT_WORKSPACE",
        show_envvar=False,
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        help="Seconds that one run of code or one command may take.",
        metavar="S",
        min=0.001,
        envvar="CI_TOOLKIT_TIMEOUT",
        show_envvar=False,
    ),
]


def open_interpreter(  # noqa: PLR0913 - each is an option of the command line
    *,
    backend: BackendName = "local",
    isolation: IsolationName = "bubblewrap",
    network: NetworkName = "none",
    python: str | None = None,
    region: str | None = None,
    identifier: str | None = None,
    endpoint_url: str | None = None,
    session_timeout: int = 3600,
    workspace: str = _IN_MEMORY,
    limits: Limits | None = None,
) -> CodeInterpreter:
    """An interpreter as the options of the same names say; it has to be closed.

    Raises:
        ConfigurationError: An option cannot be, or something is not installed.
    """
    place = open_workspace(workspace)
    engine = open_backend(
        backend,
        isolation=isolation,
        network=network,
        python=python,
        region=region,
        identifier=identifier,
        endpoint_url=endpoint_url,
        session_timeout=session_timeout,
    )
    return CodeInterpreter(engine, place, limits=limits)


def open_backend(  # noqa: PLR0913 - each is an option of the command line
    name: BackendName,
    *,
    isolation: IsolationName = "bubblewrap",
    network: NetworkName = "none",
    python: str | None = None,
    region: str | None = None,
    identifier: str | None = None,
    endpoint_url: str | None = None,
    session_timeout: int = 3600,
    output_bytes: int | None = None,
) -> Backend:
    """The backend of this name; it has to be closed.

    Args:
        name: Which.
        isolation: Of a local one.
        network: Of a local one, or what the service's is like.
        python: Of a local one.
        region: Of the service.
        identifier: Of the service.
        endpoint_url: Of the service.
        session_timeout: Of the service.
        output_bytes: How much of each output stream of a run a local one answers.

    Raises:
        ConfigurationError: An option cannot be, or something is not installed.
    """
    settings: dict[str, Any] = {"network": network}
    if name == "memory":
        from ci_toolkit.backends.memory import InMemoryBackend  # noqa: PLC0415 - only if asked for

        return InMemoryBackend(run_python=True)
    if name == "local":
        from ci_toolkit.backends.local import LocalBackend  # noqa: PLC0415 - only if asked for

        if output_bytes is not None:
            settings["output_bytes"] = output_bytes
        return LocalBackend(isolation=isolation, python=python, **settings)
    from ci_toolkit.backends.agentcore import AgentCoreBackend  # noqa: PLC0415 - slow to import

    if identifier is not None:
        settings["identifier"] = identifier
    return AgentCoreBackend(
        region, endpoint_url=endpoint_url, session_timeout=session_timeout, **settings
    )


def open_workspace(place: str) -> Workspace:
    """The workspace that `--workspace` names.

    Args:
        place: A folder, `s3://BUCKET/PREFIX`, or `memory`.

    Raises:
        ConfigurationError: There can be none.
    """
    if place == _IN_MEMORY:
        return InMemoryWorkspace()
    if place.startswith(_S3):
        bucket, _, prefix = place.removeprefix(_S3).partition("/")
        from ci_toolkit.workspaces import S3Workspace  # noqa: PLC0415 - boto3 is slow to import

        return S3Workspace(bucket, prefix=prefix.strip("/"))
    if not place:
        raise ConfigurationError("--workspace is a folder, s3://BUCKET/PREFIX, or 'memory'.")
    return DirectoryWorkspace(place)


def in_options(text: str) -> str:
    """An error's text with the options of the command line for the arguments that it names."""
    named = _ARGUMENT.sub(lambda match: f"`--{match[1] or 'region'} {match[2]}`", text)
    return re.sub(r'\b(isolation|network)="(\w+)"', r"`--\1 \2`", named)
