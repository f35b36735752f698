"""What the house tells OpenTelemetry and the logs of its work; a foundation, used by the hall.

Spans follow the conventions for generative AI (`execute_tool`), and all of it costs next to nothing
where `opentelemetry-api` is not installed. Sizes, counts and outcomes are told, never code, output
or names of files, unless `content=True` asks for code and answers.
"""

from ci_toolkit.telemetry.logs import ScopeFilter, scoped, scoped_logger
from ci_toolkit.telemetry.spans import CallMeasured, Measured, Telemetry, TransferMeasured

__all__ = [
    "CallMeasured",
    "Measured",
    "ScopeFilter",
    "Telemetry",
    "TransferMeasured",
    "scoped",
    "scoped_logger",
]
