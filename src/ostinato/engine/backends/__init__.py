"""Where a plan runs: one folder for each kind of machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.engine.graph import Unsupported
from ostinato.errors import MissingExtra

if TYPE_CHECKING:
    import torch


def executable_for(device: torch.device) -> Any:
    """Return what makes a plan runnable on a device, `(plan, dtype, parallel=...) -> Executable`.

    Raises:
        Unsupported: what it needs is not installed.
    """
    if device.type == "cpu":
        from ostinato.engine.executable import Executable

        return Executable
    try:
        from ostinato.engine.backends.triton.kernels import device_functions

        device_functions()
    except MissingExtra as error:
        raise Unsupported(f"a GPU without Triton ({error})") from error
    from ostinato.engine.backends.triton.executable import TritonExecutable

    return TritonExecutable
