"""The device and the precision of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostinato.errors import UsageError
from ostinato.training.config import TrainingConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(config: TrainingConfig) -> Fabric:
    """Return what puts module, optimiser and batches on the device that the configuration names.

    Raises:
        UsageError: the device or the precision is not to be had on this machine.
    """
    from lightning_fabric import Fabric

    kind, _, index = config.device.partition(":")
    devices = [int(index)] if index.isdigit() else 1
    try:
        return Fabric(accelerator=kind, devices=devices, precision=config.precision)  # type: ignore[arg-type]
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f'device "{config.device}" with precision "{config.precision}" is not available here ({error}); '
            "use cpu and 32-true"
        ) from error
