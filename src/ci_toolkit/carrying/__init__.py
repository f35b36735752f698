"""Carries a session from a sandbox that is about to end into a new one; used by the tenancies.

Everything goes by the seam, so that it works on any backend: files stream from one sandbox into
the other, and the variables of Python are written and read inside the two, by `guest/save.py` and
`guest/load.py`. The host never reads a variable.
"""

from ci_toolkit.carrying.files import CarriedFiles, carry_files
from ci_toolkit.carrying.variables import CarriedVariables, carry_variables

__all__ = ["CarriedFiles", "CarriedVariables", "carry_files", "carry_variables"]
