"""Whether anything of PyTorch's looks on: then a call takes the longer way, which it can follow."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch.autograd import forward_ad

_SWITCH = "OSTINATO_ENGINE"
_OFF = ("off", "0", "eager")
_hooks_of_saving: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", lambda _: None)
_environment: Any = os.environ
_entries: Any = getattr(_environment, "_data", None)
"""What `os.environ` keeps, under names as the system has them: asked at every call, a name that is missing costs there
more than all else that is looked at."""
_name: Any = _environment.encodekey(_SWITCH) if _entries is not None else None


def engine_is_on() -> bool:
    """Tell whether cells are compiled; `OSTINATO_ENGINE=off` in the environment leaves all to the eager loop."""
    if _entries is not None and os.environ is _environment and _name not in _entries:
        return True
    return os.environ.get(_SWITCH, "on").lower() not in _OFF


def plain_now() -> bool:
    """Tell whether nothing of PyTorch's watches, traces or transforms what is called now."""
    return not torch.compiler.is_compiling() and plain_uncompiled()  # asked first: a compiler reads no further


def plain_uncompiled() -> bool:
    """Tell the same where no compiler of PyTorch's is at work."""
    return not (
        torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or torch._C._is_tracing()
        or torch.is_autocast_enabled("cpu")
        or not engine_is_on()
    )


def saving_is_watched() -> bool:
    """Tell whether hooks see what is kept for the backward pass.

    Gradient checkpointing counts it in both of its runs, and the first call of a layer, the longer one, keeps more.
    """
    return _hooks_of_saving(True) is not None
