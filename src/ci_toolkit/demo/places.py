"""Where the demonstration runs: this machine, AgentCore, or AgentCore and S3 as played here."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.workspaces import DirectoryWorkspace

__all__ = ["agentcore", "emulated", "local"]

_OUTPUT_BYTES = 32 * 1024 * 1024


@contextmanager
def local(isolation: Literal["bubblewrap", "none"], folder: Path) -> Iterator[CodeInterpreter]:
    """A sandbox on this machine, and a folder."""
    backend = LocalBackend(isolation=isolation)
    with CodeInterpreter(backend, DirectoryWorkspace(folder)) as interpreter:
        yield interpreter


@contextmanager
def agentcore(region: str | None, folder: Path) -> Iterator[CodeInterpreter]:
    """The service, with the credentials that boto3 finds, and a folder."""
    from ci_toolkit.backends.agentcore import AgentCoreBackend  # noqa: PLC0415 - slow to import

    with CodeInterpreter(AgentCoreBackend(region), DirectoryWorkspace(folder)) as interpreter:
        yield interpreter


@contextmanager
def emulated(isolation: Literal["bubblewrap", "none"]) -> Iterator[CodeInterpreter]:
    """The emulator over a sandbox on this machine, and a bucket of moto's server.

    Raises:
        ImportError: The extra `emulator` or moto is missing.
    """
    import boto3  # noqa: PLC0415 - slow to import
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - not an extra of this package

    from ci_toolkit.backends.agentcore import AgentCoreBackend  # noqa: PLC0415
    from ci_toolkit.emulator import AgentCoreEmulator  # noqa: PLC0415
    from ci_toolkit.workspaces import S3Workspace  # noqa: PLC0415

    with ExitStack() as stack:
        engine = LocalBackend(isolation=isolation, output_bytes=_OUTPUT_BYTES)
        stack.callback(engine.close)
        url = stack.enter_context(AgentCoreEmulator(engine))
        # It would report each request on the terminal.
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        stack.callback(server.stop)
        host, port = server.get_host_and_port()
        session = boto3.Session(
            aws_access_key_id="any",
            aws_secret_access_key="any",  # noqa: S106 - nobody looks at it
            region_name="us-east-1",
        )
        client = session.client("s3", endpoint_url=f"http://{host}:{port}")
        client.create_bucket(Bucket="demo")
        backend = AgentCoreBackend(boto_session=session, endpoint_url=url)
        workspace = S3Workspace("demo", client=client)
        yield stack.enter_context(CodeInterpreter(backend, workspace))
