"""Where a plan runs: one folder for each kind of machine, which all satisfy `executable.Executable`.

This file is the one door: nothing else outside of a backend's folder names it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.switches import switch
from ostinato.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ostinato.engine.backends.cpu.loops import Emit
    from ostinato.engine.backends.executable import Executable
    from ostinato.engine.backends.target import Target


def executable_for(device: torch.device, target: Target | None = None) -> Callable[..., Executable]:
    """Return what makes a plan runnable on a device, `(plan, dtype, parallel=...) -> Executable`.

    Args:
        device: where the tensors are.
        target: the machine that code is made for; `default_target` of the device if left out.

    Raises:
        Unsupported: what it needs is not installed.
    """
    target = target or default_target(device)
    if device.type == "cpu":
        from ostinato.engine.backends.cpu.executable import CpuExecutable

        return partial(CpuExecutable, target=target)
    try:
        from ostinato.engine.backends.triton.kernels import device_functions

        device_functions()
    except MissingExtra as error:
        raise Unsupported(f"a GPU without Triton ({error})") from error
    from ostinato.engine.backends.triton.executable import TritonExecutable

    return partial(TritonExecutable, target=target)


def default_target(device: torch.device) -> Target:
    """Return the machine that code for a device is made for.

    `OSTINATO_TARGET=avx2` or `baseline` in the environment names an older x86 processor than the one there is, so that
    tests see its vectors.
    """
    from ostinato.engine.backends.target import Target

    if device.type != "cpu":
        return Target(device.type)
    from ostinato.engine.backends.cpu.target import host_target

    return host_target(switch("OSTINATO_TARGET", ""))


def half_target(device: torch.device) -> Target | None:
    """Return the machine that code with products of bfloat16 is made for, or none where they would not pay.

    They do where the processor has instructions for them. `OSTINATO_BF16=on` in the environment has them done by others
    where it has not, slower, so that tests see the same rounding on every machine; `off` leaves all to float32.
    """
    wanted = switch("OSTINATO_BF16", "auto").lower()
    if wanted not in ("auto", "on", "off"):
        raise UsageError(f'OSTINATO_BF16 is "{wanted}"; expected auto, on or off')
    if device.type != "cpu" or wanted == "off":
        return None
    from ostinato.engine.backends.cpu.target import half_target as made

    target = made(default_target(device))
    return target if target.products == "bfloat16" or wanted == "on" else None


def compiled_loop(name: str, key: str, numbers: int, arrays: int, emit: Emit) -> Callable[..., None]:
    """Return a loop over arrays that is no recurrent cell, compiled for this processor, as a function.

    Args:
        name: of the function.
        key: all that its code depends on, the source that emits it too: compiled code is kept on disk.
        numbers: how many whole numbers it takes first.
        arrays: how many addresses of arrays after them.
        emit: writes it, from the tools of `backends.cpu.code` and the values of the arguments.
    """
    import torch

    from ostinato.engine.backends.cpu.loops import compile_loop

    found: Callable[..., None] = compile_loop(name, key, numbers, arrays, emit, default_target(torch.device("cpu")))
    return found


def release_memory() -> None:
    """Give back the memory that backends keep for later."""
    from ostinato.engine.backends.cpu import memory

    memory.release()
