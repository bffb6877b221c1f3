"""Keras 3 with its recurrent layers run by the engine: `from ostinato.keras import Sequential, layers`.

It stands in for `keras` (on its PyTorch backend, which is selected if nothing has been): `layers.SimpleRNN`, `LSTM`,
`GRU`, `RNN`, `StackedRNNCells`, `Bidirectional`, `ConvLSTM1D` to `3D` and `TimeDistributed` are ours, each its
namesake by inheritance; everything else is Keras's own.

>>> from ostinato.keras import Sequential, layers
>>> model = Sequential([layers.Input((5, 1)), layers.SimpleRNN(32), layers.Dense(1)])
>>> model.output_shape
(None, 1)
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ostinato.keras import layers as layers
from ostinato.keras import models as models
from ostinato.keras import saving as saving
from ostinato.keras.naming import keras as _keras

_OURS = ("layers", "models", "saving")


def _alias_modules() -> None:
    """Let `import ostinato.keras.callbacks` and the like find Keras's own modules."""
    for name, module in list(sys.modules.items()):
        room, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if room == "keras" and rest and part not in ("src", "_tf_keras", *_OURS) and isinstance(module, ModuleType):
            sys.modules.setdefault(f"{__name__}.{rest}", module)


_alias_modules()

__all__ = sorted({*_OURS, *(name for name in dir(_keras) if not name.startswith("_") and name != "src")})


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__version__":
        raise AttributeError(f"module 'ostinato.keras' has no attribute '{name}'")
    return getattr(_keras, name)


def __dir__() -> list[str]:
    return __all__
