"""What of OpenTelemetry is used, where it is installed; the one place that knows it."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, TypeAlias

__all__ = ["Api", "Value"]

Value: TypeAlias = str | bool | int | float

_NAME: Final = "ci_toolkit"
_UNIT_OF: Final = {
    "ci_toolkit.call.duration": "s",
    "ci_toolkit.call.text": "{character}",
    "ci_toolkit.session.start.duration": "s",
    "ci_toolkit.transfer.duration": "s",
    "ci_toolkit.transfer.size": "By",
}
"""The histograms, and what they measure; a new one has to be written here."""


class Api:
    """A tracer and a meter."""

    def __init__(self, trace: Any, tracer: Any, meter: Any) -> None:
        self._trace = trace
        self._tracer = tracer
        self._meter = meter
        self._instruments: dict[str, Any] = {}

    @classmethod
    def find(cls, tracer_provider: Any, meter_provider: Any) -> "Api | None":
        """OpenTelemetry's, or None where it is not installed."""
        try:
            from opentelemetry import metrics, trace  # noqa: PLC0415 - only where it is installed
        except ImportError:
            return None
        release = version("ci-toolkit")
        tracer = trace.get_tracer(_NAME, release, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, release, meter_provider=meter_provider)
        return cls(trace, tracer, meter)

    def span(self, name: str, attributes: Mapping[str, Value]) -> Any:
        """A context manager that gives a span, and notes nothing of an exception's text."""
        return self._tracer.start_as_current_span(
            name, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
        )

    def end(self, span: Any, error: str) -> None:
        """Says what went wrong with a span, if anything."""
        if error:
            span.set_attribute("error.type", error)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))

    def event(self, name: str, attributes: Mapping[str, Value]) -> None:
        """Notes on the span that goes on that something has happened."""
        self._trace.get_current_span().add_event(name, attributes=dict(attributes))

    def inside_a_tool_span(self) -> bool:
        """Whether a framework has begun a span for the call of a tool."""
        name = getattr(self._trace.get_current_span(), "name", "")
        return isinstance(name, str) and name.startswith("execute_tool ")

    def counter(self, name: str) -> Any:
        """A counter, made at its first use."""
        return self._instrument(name, self._meter.create_counter, "1")

    def histogram(self, name: str) -> Any:
        """A histogram, made at its first use."""
        return self._instrument(name, self._meter.create_histogram, _UNIT_OF[name])

    def _instrument(self, name: str, create: Any, unit: str) -> Any:
        # Two threads may both make it: OpenTelemetry takes them for one.
        if name not in self._instruments:
            self._instruments[name] = create(name, unit=unit)
        return self._instruments[name]
