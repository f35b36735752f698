"""What is tried with each library, by its name in `ci_toolkit.libraries`; data only."""

from typing import Final

from ci_toolkit.sandbox_env.trials import (
    data,
    documents,
    learning,
    maths,
    media,
    storage,
    utilities,
    web,
)
from ci_toolkit.sandbox_env.trials.trial import Trial

__all__ = ["TRIALS", "Trial"]

TRIALS: Final[dict[str, Trial]] = {
    **data.TRIALS,
    **learning.TRIALS,
    **maths.TRIALS,
    **documents.TRIALS,
    **media.TRIALS,
    **storage.TRIALS,
    **web.TRIALS,
    **utilities.TRIALS,
}
