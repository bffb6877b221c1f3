"""What all estimators share: their parameters, in the manner of scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any, Self

from ostinato.errors import UsageError


class Estimator:
    """An estimator whose parameters are the arguments of its constructor, kept as attributes of the same names."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the parameters, as scikit-learn's estimators do."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters.

        Raises:
            UsageError: there is no such parameter.
        """
        names = self._names()
        for name, value in parameters.items():
            if name not in names:
                raise UsageError(f'a {type(self).__name__} has no parameter "{name}"; it has {", ".join(names)}')
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name].default]
        return f"{type(self).__name__}({', '.join(changed)})"

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]
