"""The demonstration: a LangChain agent and a Strands agent analyse one CSV file in a sandbox.

Both are driven by the same script through their framework's real agent loop; everything they run
is real. Needs the extras `langchain`, `strands`, `local`, `cli` and `data`.
"""

from ci_toolkit.demo import places
from ci_toolkit.demo.run import AGENTS, run_demo

__all__ = ["AGENTS", "places", "run_demo"]
