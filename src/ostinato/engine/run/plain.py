"""Whether anything of PyTorch's looks on: then a call takes the longer way, which it can follow."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import forward_ad

from ostinato.engine.switches import switch

_SWITCH = "OSTINATO_ENGINE"
_OFF = ("off", "0", "eager")
_hooks_of_saving: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", lambda _: None)


def engine_is_on() -> bool:
    """Tell whether cells are compiled; `OSTINATO_ENGINE=off` in the environment leaves all to the eager loop."""
    return switch(_SWITCH, "on").lower() not in _OFF


def plain_now() -> bool:
    """Tell whether nothing of PyTorch's watches, traces or transforms what is called now."""
    return plain_but_for_autocast() and not torch.is_autocast_enabled("cpu")


def plain_but_for_autocast() -> bool:
    """Tell whether nothing does but autocast, which changes no operation that a quick call is made of."""
    return not torch.compiler.is_compiling() and _plain_uncompiled()  # asked first: a compiler reads no further


def plain_uncompiled(*, autocast: bool = False) -> bool:
    """Tell the same where no compiler of PyTorch's is at work; with or without autocast."""
    return _plain_uncompiled() and torch.is_autocast_enabled("cpu") is autocast


def _plain_uncompiled() -> bool:
    return not (
        torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or torch._C._is_tracing()
        or not engine_is_on()
    )


def saving_is_watched() -> bool:
    """Tell whether hooks see what is kept for the backward pass.

    Gradient checkpointing counts it in both of its runs, and the first call of a layer, the longer one, keeps more.
    """
    return _hooks_of_saving(True) is not None
