"""Any saved model, by what its folder says it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ostinato.artifact import kind_of
from ostinato.errors import ArtifactError


def load(folder: str | Path) -> Any:
    """Read a model that `save` wrote, of whichever task; nothing in it is executed.

    Returns:
        A `Forecaster` or a `LanguageModel`.

    Raises:
        ArtifactError: it is no model, is cut short or changed, or was written by a newer version.
    """
    kind = kind_of(Path(folder))
    if kind == "forecaster":
        from ostinato.tasks.forecast import Forecaster

        return Forecaster.load(folder)
    if kind == "language model":
        from ostinato.tasks.language import LanguageModel

        return LanguageModel.load(folder)
    raise ArtifactError(f'{folder} holds a model of kind "{kind}", which this version does not know; upgrade ostinato')
