"""What is told of the house's work, to OpenTelemetry and to the logs, and what never is."""

import contextvars
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ci_toolkit import CodeInterpreter, Image, Outcome, Scope
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.telemetry import ScopeFilter, Telemetry, scoped, scoped_logger

SECRET = "4711-secret"


class Collected:
    """Providers that keep what they are told."""

    def __init__(self, *, content: bool = False) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.telemetry = Telemetry(
            content=content,
            tracer_provider=self.tracers,
            meter_provider=MeterProvider([self._reader]),
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def metrics(self) -> dict[str, list[tuple[dict[str, Any], float]]]:
        """Each metric's points: attributes, and the sum."""
        data: Any = self._reader.get_metrics_data()
        return {
            metric.name: [(dict(p.attributes), getattr(p, "value", None) or p.sum) for p in points]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if (points := metric.data.data_points)
        }


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def outcome_of(code: str, scope: Scope) -> Outcome:
    with CodeInterpreter(InMemoryBackend(run_python=True)) as interpreter:
        return interpreter.call("execute_code", {"code": code}, scope=scope)


def told(code: str, scope: Scope, *, content: bool = False) -> Collected:
    """A call of this code, as the hall tells of it."""
    collected = Collected(content=content)
    arguments = {"code": code}
    with collected.telemetry.call(
        "execute_code", arguments, scope=scope, backend="memory"
    ) as measured:
        measured.done(outcome_of(code, scope))
    return collected


def test_a_call_is_a_tool_span_with_sizes_and_outcome(scope: Scope) -> None:
    (span,) = told("print('hello')", scope).spans

    found = attributes(span)
    assert span.name == "execute_tool execute_code"
    assert span.status.is_unset
    assert found.pop("ci_toolkit.execution.duration") >= 0
    assert found == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "execute_code",
        "gen_ai.tool.type": "function",
        "gen_ai.conversation.id": "thread-1",
        "user.hash": "fdee430d40bd57de",
        "ci_toolkit.backend": "memory",
        "ci_toolkit.call.text_chars": 5,
        "ci_toolkit.call.images": 0,
        "ci_toolkit.call.image_bytes": 0,
        "ci_toolkit.call.notes": 0,
        "ci_toolkit.call.files": 0,
        "ci_toolkit.execution.exit_code": 0,
        "ci_toolkit.execution.ended": "completed",
        "ci_toolkit.execution.state_kept": True,
    }


def test_neither_code_nor_output_nor_user_is_told_unless_asked(scope: Scope) -> None:
    silent = told(f"print({SECRET!r}); raise ValueError({SECRET!r})", scope)
    asked = told(f"print({SECRET!r})", scope, content=True)

    (span,) = silent.spans
    assert SECRET not in span.to_json() + repr(silent.metrics)
    assert "ada" not in span.to_json()
    found = attributes(asked.spans[0])
    assert found["gen_ai.tool.call.arguments"] == f'{{"code": "print(\'{SECRET}\')"}}'
    assert found["gen_ai.tool.call.result"] == SECRET


@pytest.mark.parametrize(
    ("artifact", "kind"),
    [
        ({"error": {"type": "FileMissingError", "message": SECRET}}, "FileMissingError"),
        ({"execution": {"ended": "timed_out", "exit_code": 1}}, "timed_out"),
        ({"execution": {"ended": "completed", "exit_code": 3}}, "exit_code"),
        ({"files": [{"error": {"type": "TooLargeError"}}]}, "file"),
    ],
)
def test_a_failed_call_has_a_class_of_error_and_no_message(
    scope: Scope, artifact: dict[str, object], kind: str
) -> None:
    collected = Collected()
    with collected.telemetry.call("t", {}, scope=scope, backend="memory") as measured:
        measured.done(Outcome(text=SECRET, is_error=True, artifact=artifact))

    (span,) = collected.spans
    assert attributes(span)["error.type"] == kind
    assert not span.status.is_ok
    assert not span.status.is_unset
    assert SECRET not in span.to_json()
    ((labels, count),) = collected.metrics["ci_toolkit.call.text"]
    labelled = {"gen_ai.tool.name": "t", "ci_toolkit.backend": "memory", "error.type": kind}
    assert (labels, count) == (labelled, len(SECRET))


def test_an_exception_passes_through_and_is_told_by_its_class(scope: Scope) -> None:
    collected = Collected()
    with (
        pytest.raises(KeyError),
        collected.telemetry.call("t", {}, scope=scope, backend="memory"),
    ):
        raise KeyError(SECRET)

    (span,) = collected.spans
    assert attributes(span)["error.type"] == "KeyError"
    assert span.events == ()
    ((labels, _),) = collected.metrics["ci_toolkit.call.duration"]
    assert labels["error.type"] == "KeyError"


def test_pictures_are_counted(scope: Scope) -> None:
    collected = Collected()
    picture = Image(media_type="image/png", data=b"123", name="a.png")
    with collected.telemetry.call("t", {}, scope=scope, backend="memory") as measured:
        measured.done(Outcome(text="", images=(picture, picture)))

    found = attributes(collected.spans[0])
    assert (found["ci_toolkit.call.images"], found["ci_toolkit.call.image_bytes"]) == (2, 6)


def test_within_a_framework_s_own_tool_span_a_call_is_not_counted_twice(scope: Scope) -> None:
    collected = Collected()
    tracer = collected.tracers.get_tracer("framework")
    with (
        tracer.start_as_current_span("execute_tool execute_code"),
        collected.telemetry.call("execute_code", {}, scope=scope, backend="memory"),
    ):
        pass

    ours, theirs = collected.spans
    assert ours.name == "code_interpreter execute_code"
    assert "gen_ai.operation.name" not in attributes(ours)
    assert ours.parent == theirs.context


def test_starts_transfers_and_losses_are_told(scope: Scope) -> None:
    collected = Collected()
    told = collected.telemetry
    with told.session_start(scope=scope, backend="memory", after_loss=True):
        with told.transfer("to_sandbox", scope=scope) as transfer:
            transfer.arrived(10)
            transfer.arrived(5)
            transfer.fail("TooLargeError")
        told.sandbox_lost(scope=scope, backend="memory", may_have_run=False)

    moved, started = collected.spans
    assert (moved.name, started.name) == ("transfer to_sandbox", "recover session")
    assert moved.parent == started.context
    assert attributes(moved)["ci_toolkit.transfer.bytes"] == 15
    assert [event.name for event in started.events] == ["sandbox lost"]
    way = {
        "ci_toolkit.transfer.direction": "to_sandbox",
        "ci_toolkit.transfer.straight": False,
        "error.type": "TooLargeError",
    }
    metrics = collected.metrics
    assert metrics["ci_toolkit.transfer.size"] == [(way, 15)]
    assert metrics["ci_toolkit.transfer.files"] == [(way, 2)]
    lost = {"ci_toolkit.backend": "memory", "ci_toolkit.call.may_have_run": False}
    assert metrics["ci_toolkit.sandbox.losses"] == [(lost, 1)]
    ((labels, _),) = metrics["ci_toolkit.session.start.duration"]
    assert labels == {"ci_toolkit.backend": "memory", "ci_toolkit.session.after_loss": True}


def test_without_opentelemetry_everything_goes_on() -> None:
    script = """
import sys
sys.modules["opentelemetry"] = None
from ci_toolkit import Outcome, Scope
from ci_toolkit.telemetry import Telemetry
scope, told = Scope(user_id="ada", session_id="s"), Telemetry(content=True)
with told.call("t", {"a": 1}, scope=scope, backend="b") as call:
    with told.session_start(scope=scope, backend="b"):
        with told.transfer("to_sandbox", scope=scope) as transfer:
            transfer.arrived(1)
    told.sandbox_lost(scope=scope, backend="b", may_have_run=True)
    call.done(Outcome(text="x", is_error=True))
print("well")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("well\n", "")


def test_arguments_that_are_no_json_are_told_as_well_as_can_be(scope: Scope) -> None:
    collected = Collected(content=True)
    circle: list[object] = []
    circle.append(circle)
    for arguments in ({"data": b"x"}, circle, {"code": "x" * 50_000}):
        with collected.telemetry.call("t", arguments, scope=scope, backend="memory"):
            pass

    texts = [attributes(span)["gen_ai.tool.call.arguments"] for span in collected.spans]
    assert texts[:2] == ['{"data": "b\'x\'"}', "<class 'list'>"]
    assert len(texts[2]) == 20_000


def test_log_records_carry_the_scope_of_their_call(
    caplog: pytest.LogCaptureFixture, scope: Scope
) -> None:
    logger = scoped_logger("ci_toolkit.tests.telemetry")
    other = Scope(user_id="bob", session_id="thread-2", branch="b")
    with Collected().telemetry.call("t", {}, scope=scope, backend="memory"):
        logger.warning("inside")
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(logger.warning, "in a thread"))
        thread.start()
        thread.join()
        with scoped(other):
            logger.warning("of another")
    logger.warning("outside")

    found = [(r.message, *(vars(r)[key] for key in ("user_id", "branch"))) for r in caplog.records]
    assert found == [
        ("inside", "ada", ""),
        ("in a thread", "ada", ""),
        ("of another", "bob", "b"),
        ("outside", "", ""),
    ]


def test_a_handler_can_give_the_scope_to_all_records(scope: Scope) -> None:
    record = logging.makeLogRecord({"msg": "of another library"})
    with scoped(scope):
        assert ScopeFilter().filter(record)

    assert vars(record)["session_id"] == "thread-1"


def test_an_interpreter_tells_of_calls_starts_transfers_and_losses(scope: Scope) -> None:
    collected = Collected()
    backend = InMemoryBackend(run_python=True)
    with CodeInterpreter(backend, telemetry=collected.telemetry) as interpreter:
        interpreter.upload("in.txt", SECRET.encode(), scope=scope)
        save = f"open('out.txt', 'w').write('{SECRET}')"
        for _ in range(2):
            arguments = {"code": save, "output_filename": "out.txt"}
            interpreter.call("execute_code", arguments, scope=scope)
        backend.lose(backend.sandboxes[0])
        interpreter.call("execute_code", {"code": "1"}, scope=scope)
        interpreter.call(SECRET, {}, scope=scope)

    assert [span.name for span in collected.spans] == [
        "transfer to_sandbox",
        "start session",
        "transfer to_workspace",
        "execute_tool execute_code",
        "transfer to_workspace",
        "execute_tool execute_code",
        "transfer to_sandbox",
        "transfer to_sandbox",
        "recover session",
        "execute_tool execute_code",
        "execute_tool unknown",
    ]
    sent = [attributes(s)["ci_toolkit.transfer.files"] for s in collected.spans if "_w" in s.name]
    assert sent == [1, 0]  # What is unchanged is not sent again.
    assert sum(value for _, value in collected.metrics["ci_toolkit.sandbox.losses"]) == 1
    assert SECRET not in "".join(span.to_json() for span in collected.spans)
