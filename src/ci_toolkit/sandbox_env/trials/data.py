"""Trials of the group data and plots."""

from typing import Final

from ci_toolkit.sandbox_env.trials.trial import Trial

__all__ = ["TRIALS"]

TRIALS: Final = {
    "pandas": Trial(
        "groups sales by month and writes them to Excel and back",
        """
import pandas as pd
days = pd.date_range("2026-01-01", periods=90)
sales = pd.DataFrame({"day": days, "sold": range(90)})
months = sales.groupby(sales.day.dt.month_name()).sold.sum()
months.to_excel("months.xlsx")
assert pd.read_excel("months.xlsx").sold.sum() == sum(range(90))
""",
    ),
    "numpy": Trial(
        "solves a system of 200 equations",
        """
import numpy as np
rng = np.random.default_rng(0)
a, x = rng.normal(size=(200, 200)), rng.normal(size=200)
assert np.allclose(np.linalg.solve(a, a @ x), x)
""",
    ),
    "matplotlib": Trial(
        "draws four charts into one PNG",
        """
import matplotlib.pyplot as plt
from PIL import Image
figure, axes = plt.subplots(2, 2)
axes[0, 0].bar(["a", "b"], [1, 2])
axes[0, 1].plot([1, 4, 9])
axes[1, 0].pie([1, 2, 3])
axes[1, 1].scatter([1, 2], [2, 1])
figure.savefig("charts.png", dpi=150)
assert Image.open("charts.png").size == (960, 720)
""",
    ),
    "plotly": Trial(
        "writes an interactive chart as HTML",
        """
import plotly.express as px
figure = px.scatter(x=[1, 2, 3], y=[1, 4, 9], trendline=None, title="Squares")
figure.write_html("chart.html")
assert "Squares" in open("chart.html").read()
""",
    ),
    "bokeh": Trial(
        "writes an interactive chart as HTML",
        """
from bokeh.plotting import figure, output_file, save
from bokeh.resources import INLINE
plot = figure(title="Squares")
plot.line([1, 2, 3], [1, 4, 9])
output_file("chart.html", mode="inline")
save(plot)
assert "Squares" in open("chart.html").read()
""",
    ),
    "scipy": Trial(
        "fits a curve, and finds the minimum of Rosenbrock's function",
        """
import numpy as np
from scipy.optimize import curve_fit, minimize, rosen
x = np.linspace(0, 4, 50)
found, _ = curve_fit(lambda x, a, b: a * np.exp(-b * x), x, 2.5 * np.exp(-1.3 * x))
assert np.allclose(found, [2.5, 1.3])
assert np.allclose(minimize(rosen, [0, 0]).x, [1, 1], atol=1e-3)
""",
    ),
    "statsmodels": Trial(
        "fits a linear model by a formula",
        """
import numpy as np, pandas as pd
import statsmodels.formula.api as smf
rng = np.random.default_rng(0)
data = pd.DataFrame({"x": rng.normal(size=200)})
data["y"] = 3 * data.x + 1 + rng.normal(scale=0.1, size=200)
fit = smf.ols("y ~ x", data).fit()
assert abs(fit.params["x"] - 3) < 0.05 and "R-squared" in str(fit.summary())
""",
    ),
    "sympy": Trial(
        "solves an equation and integrates",
        """
import sympy as sp
x = sp.symbols("x")
assert sp.solve(x**2 - 5 * x + 6, x) == [2, 3]
assert sp.integrate(sp.exp(-x**2), (x, -sp.oo, sp.oo)) == sp.sqrt(sp.pi)
""",
    ),
}
