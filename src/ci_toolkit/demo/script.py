"""What the demo's agents do: the turns of one scripted model, which work on any CSV file.

The analysis itself is real: nothing here knows what the file holds. The last turns are made from
what the sandbox printed.
"""

from ci_toolkit.testing.script import Turn

__all__ = ["QUESTION", "turns"]

QUESTION = "Analyse {file}: summarise it, fit the trend, chart it, and save what you found."

_LOAD = '''
import pandas as pd

data = pd.read_csv({file!r})

def as_dates(column):
    """The column as dates where nearly all of it can be read so."""
    text = column.dropna().astype(str).str.replace(r"\\.0$", "", regex=True)
    if len(text) == 0 or (column.dtype.kind in "if" and not text.str.fullmatch(r"\\d{{8}}").all()):
        return None
    layout = "%Y%m%d" if text.str.fullmatch(r"\\d{{8}}").all() else "mixed"
    dates = pd.to_datetime(text, format=layout, errors="coerce")
    return dates.reindex(column.index) if dates.notna().mean() > 0.9 else None

time = next((d for d in (as_dates(data[name]) for name in data) if d is not None), None)
numeric = [name for name in data.select_dtypes("number") if as_dates(data[name]) is None]
if not numeric:
    raise ValueError(f"No column of numbers to analyse among {{list(data)}}")
target = numeric[-1]
if time is None:
    x = data.index.astype(float)
else:
    x = time.dt.year + (time.dt.day_of_year - 1) / 365.25
frame = pd.DataFrame({{"x": x, "y": data[target]}}).dropna().sort_values("x", ignore_index=True)
if len(frame) < 3:
    raise ValueError(f"Only {{len(frame)}} complete rows, too few for a trend")
axis = "year" if time is not None else "row"
print(f"{{len(data):,}} rows, columns {{list(data)}}; analysing {{target!r}} over the {{axis}}")
print(frame["y"].describe().round(2).to_string())
'''

_TREND = """
import numpy as np

rng = np.random.default_rng(0)
middle = frame["x"].mean()

def fit(rows):
    return np.polyfit(rows["x"] - middle, rows["y"], 2)

trend = np.poly1d(fit(frame))
slopes = []
for part in range(1, 6):  # a bootstrap in five parts, to show progress
    for _ in range(40):
        slopes.append(fit(frame.sample(len(frame), replace=True, random_state=rng))[1])
    print(f"bootstrap {len(slopes)}/200: slope {np.mean(slopes):.4f} +- {np.std(slopes):.4f}")
residual = frame["y"] - trend(frame["x"] - middle)
explained = 1 - residual.var() / frame["y"].var() if frame["y"].var() else 1.0
low, high = np.percentile(slopes, [2.5, 97.5])
print(f"{target} changes by {trend[1]:.3f} per {axis} at the middle of the data "
      f"(95 % interval {low:.3f} to {high:.3f}); the trend explains {explained:.1%}")
"""

_CHART = """
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7), sharex=True, height_ratios=[3, 1])
above.plot(frame["x"], frame["y"], lw=0.7, color="#4878a8", label=target)
above.plot(frame["x"], trend(frame["x"] - middle), lw=2.2, color="#c44e52", label="quadratic trend")
above.set(title=f"{{target}}: {{trend[1]:+.3f}} per {{axis}}", ylabel=target)
above.legend(frameon=False)
below.axhline(0, color="0.6", lw=0.8)
below.plot(frame["x"], residual, lw=0.6, color="#55a868")
below.set(xlabel=axis, ylabel="residual")
for each in (above, below):
    each.spines[["top", "right"]].set_visible(False)
figure.tight_layout()
figure.savefig({chart!r}, dpi=150)
"""

_TABLE = """
groups = (frame["x"] // 10 * 10).astype(int) if axis == "year" else pd.qcut(
    frame.index, min(10, len(frame)), labels=False) + 1
label = "decade" if axis == "year" else "tenth"
table = frame.groupby(groups)["y"].agg(["count", "mean", "min", "max"]).round(2)
print(table.rename_axis(label).to_csv(index=True))
"""

_FAILED = "Failed with exit code"

CHART_NAME = "trend.png"
TABLE_NAME = "summary.csv"


def turns(file: str) -> list[Turn]:
    """The turns for one CSV file that was uploaded under this name."""
    finding: list[str] = []

    def chart(printed: str) -> Turn:
        finding.append(printed.strip().rpartition("\n")[2])
        code = _CHART.format(chart=CHART_NAME).strip()
        return [("execute_code", {"code": code, "output_filename": CHART_NAME})]

    def conclude(saved: str) -> Turn:
        return f"{finding[0]}.\n{saved}"

    return [
        [("execute_code", {"code": _LOAD.format(file=file).strip()})],
        _if_well([("execute_code", {"code": _TREND.strip()})]),
        _if_well(chart),
        _if_well([("execute_code", {"code": _TABLE.strip()})]),
        _if_well(_write_table),
        _if_well([("ci_push_to_workspace", {"paths": [TABLE_NAME, CHART_NAME]})]),
        _if_well(conclude),
    ]


def _if_well(turn: Turn) -> Turn:
    """The turn, or the end of the conversation where the call before it failed."""

    def decide(said: str) -> Turn:
        if _FAILED not in said:
            return turn
        reason = said.partition(_FAILED)[0].strip().rpartition("\n")[2]
        return f"This file cannot be analysed. {reason}"

    return decide


def _write_table(printed: str) -> Turn:
    content = [{"path": TABLE_NAME, "text": printed.strip() + "\n"}]
    return [("file_operations", {"operation": "write", "content": content})]
