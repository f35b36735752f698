"""Trials of the group mathematics and optimisation."""

from typing import Final

from ci_toolkit.sandbox_env.trials.trial import Trial

__all__ = ["TRIALS"]

TRIALS: Final = {
    "cvxpy": Trial(
        "splits money between three shares for the least risk",
        """
import cvxpy as cp, numpy as np
risk = np.diag([0.1, 0.2, 0.4])
share = cp.Variable(3)
problem = cp.Problem(cp.Minimize(cp.quad_form(share, risk)), [cp.sum(share) == 1, share >= 0])
problem.solve()
assert problem.status == "optimal" and np.allclose(share.value, [4 / 7, 2 / 7, 1 / 7], atol=1e-3)
""",
    ),
    "ortools": Trial(
        "packs a knapsack with CP-SAT",
        """
from ortools.sat.python import cp_model
weights, values = [3, 4, 5, 9], [3, 4, 4, 10]
model = cp_model.CpModel()
taken = [model.new_bool_var(str(n)) for n in range(4)]
model.add(sum(w * t for w, t in zip(weights, taken)) <= 12)
model.maximize(sum(v * t for v, t in zip(values, taken)))
solver = cp_model.CpSolver()
assert solver.solve(model) == cp_model.OPTIMAL and solver.objective_value == 13
""",
    ),
    "pulp": Trial(
        "solves a whole-number programme with the solver that comes with it",
        """
import pulp
problem = pulp.LpProblem("diet", pulp.LpMaximize)
x, y = (pulp.LpVariable(name, lowBound=0, cat="Integer") for name in "xy")
problem += 3 * x + 2 * y
problem += 2 * x + y <= 7
problem += x + 2 * y <= 8
problem.solve(pulp.PULP_CBC_CMD(msg=False))
assert pulp.LpStatus[problem.status] == "Optimal" and pulp.value(problem.objective) == 12
""",
    ),
    "z3-solver": Trial(
        "solves SEND + MORE = MONEY",
        """
from z3 import Distinct, Ints, Solver, sat
letters = dict(zip("SENDMORY", Ints("S E N D M O R Y")))
def number(word):
    return sum(letters[c] * 10**n for n, c in enumerate(reversed(word)))
solver = Solver()
solver.add(Distinct(*letters.values()), letters["S"] > 0, letters["M"] > 0)
solver.add(*(l >= 0 for l in letters.values()), *(l <= 9 for l in letters.values()))
solver.add(number("SEND") + number("MORE") == number("MONEY"))
assert solver.check() == sat
assert solver.model().eval(number("MONEY")).as_long() == 10652
""",
    ),
    "networkx": Trial(
        "finds the shortest way and ranks pages",
        """
import networkx as nx
ways = nx.Graph()
ways.add_weighted_edges_from([("a", "b", 1), ("b", "c", 2), ("a", "c", 5)])
assert nx.shortest_path(ways, "a", "c", weight="weight") == ["a", "b", "c"]
ranks = nx.pagerank(nx.DiGraph([(1, 3), (2, 3), (3, 1)]))
assert max(ranks, key=ranks.get) == 3
""",
    ),
    "igraph": Trial(
        "finds the two camps of Zachary's karate club",
        """
import igraph
club = igraph.Graph.Famous("Zachary")
camps = club.community_walktrap().as_clustering(2)
assert club.vcount() == 34 and sum(camps.sizes()) == 34 and len(camps) == 2
""",
    ),
}
