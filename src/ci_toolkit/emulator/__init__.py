"""An endpoint that speaks the API of Bedrock AgentCore's code interpreter, over any backend.

For whoever builds on AgentCore without an account at hand: unmodified clients run against it. Its
flow: request → shapes → service → session → toolbox → sandbox → answer → frames.
"""

from ci_toolkit.doors import extra

with extra("emulator", "starlette", "uvicorn"):
    from ci_toolkit.emulator.faults import Fault
    from ci_toolkit.emulator.options import EmulatorOptions
    from ci_toolkit.emulator.records import RequestRecord
    from ci_toolkit.emulator.server import AgentCoreEmulator

__all__ = ["AgentCoreEmulator", "EmulatorOptions", "Fault", "RequestRecord"]
