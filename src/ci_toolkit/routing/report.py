"""How well a model found its way: precision, recall and confusion for each route."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ci_toolkit.routing.requests import LABELS, Request

__all__ = ["Report", "Score", "Verdict"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where a request belongs, and where the model went."""

    request: Request
    expected: str
    got: str

    @property
    def is_right(self) -> bool:
        """Whether the two are the same."""
        return self.expected == self.got


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well a model knows one route.

    Attributes:
        support: Requests that belong there.
        precision: Of those sent there, the share that belongs there; None where none was sent.
        recall: Of those that belong there, the share sent there; None where none belongs there.
    """

    support: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an evaluation found.

    Attributes:
        model: The name under which it was asked.
        verdicts: One for each request that was answered.
        unanswered: How many were not.
        failure: What was raised instead of the first of these answers; empty where none was.
    """

    model: str
    verdicts: tuple[Verdict, ...]
    unanswered: int = 0
    failure: str = ""

    @property
    def accuracy(self) -> float | None:
        """The share of requests that went where they belong; None without any."""
        return _share([verdict.is_right for verdict in self.verdicts])

    @property
    def confusion(self) -> Counter[tuple[str, str]]:
        """How often each pair of (expected, got) came up."""
        return Counter((verdict.expected, verdict.got) for verdict in self.verdicts)

    @property
    def scores(self) -> dict[str, Score]:
        """A score for each route that came up, in the order of `LABELS`."""
        return {label: self._score(label) for label in self._labels()}

    def accuracy_by(self, key: Callable[[Request], str]) -> dict[str, float]:
        """The accuracy in each group of requests, the largest group first."""
        groups = defaultdict(list)
        for verdict in self.verdicts:
            groups[key(verdict.request)].append(verdict.is_right)
        ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
        return {name: sum(right) / len(right) for name, right in ordered}

    def text(self) -> str:
        """The whole report as Markdown."""
        parts = [
            f"# Routing by {self.model}",
            f"{len(self.verdicts)} requests, accuracy {_percent(self.accuracy)}",
            _table(["route", "requests", "precision", "recall"], self._score_rows()),
            "Where requests of each row went:",
            _table(["", *self._labels()], self._confusion_rows()),
            "Accuracy by difficulty and by language:",
            _groups(self.accuracy_by(lambda request: "hard" if request.hard else "plain")),
            _groups(self.accuracy_by(lambda request: request.language)),
        ]
        if wrong := [verdict for verdict in self.verdicts if not verdict.is_right]:
            parts += ["Misrouted:", "\n".join(_line(verdict) for verdict in wrong)]
        if self.unanswered:
            parts.append(f"{self.unanswered} requests were not answered: {self.failure}")
        return "\n\n".join(parts)

    def figures(self) -> dict[str, Any]:
        """The figures as JSON-able values."""
        return {
            "model": self.model,
            "requests": len(self.verdicts),
            "unanswered": self.unanswered,
            "accuracy": self.accuracy,
            "scores": {label: asdict(score) for label, score in self.scores.items()},
            "confusion": [
                {"expected": expected, "got": got, "count": count}
                for (expected, got), count in sorted(self.confusion.items())
            ],
        }

    def _labels(self) -> list[str]:
        met = {label for pair in self.confusion for label in pair}
        return [label for label in LABELS if label in met] + sorted(met - {*LABELS})

    def _score(self, label: str) -> Score:
        belong = [verdict.got == label for verdict in self.verdicts if verdict.expected == label]
        went = [verdict.expected == label for verdict in self.verdicts if verdict.got == label]
        return Score(support=len(belong), precision=_share(went), recall=_share(belong))

    def _score_rows(self) -> list[list[str]]:
        return [
            [label, str(score.support), _percent(score.precision), _percent(score.recall)]
            for label, score in self.scores.items()
        ]

    def _confusion_rows(self) -> list[list[str]]:
        counts, labels = self.confusion, self._labels()
        rows = [label for label in labels if self.scores[label].support]
        return [[row, *(str(counts[row, got] or "") for got in labels)] for row in rows]


def _share(values: list[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _groups(accuracies: dict[str, float]) -> str:
    return ", ".join(f"{name} {_percent(share)}" for name, share in accuracies.items())


def _line(verdict: Verdict) -> str:
    return f"- {verdict.expected} → {verdict.got}: {verdict.request.text}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns are as wide as they need to be, to be read as it stands."""
    widths = [max(3, *(len(line[i]) for line in (head, *rows))) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
