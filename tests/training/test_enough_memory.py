"""Memory that is not there is one sentence, whoever says so."""

import numpy as np
import pytest
import torch

from ostinato.errors import NotEnoughMemory, OstinatoError, ShapeError
from ostinato.training import enough_memory, is_memory_error

TOO_LARGE = {
    "a tensor": lambda: torch.empty(10**15),
    "a product of sizes": lambda: torch.empty(10**10, 10**10),
    "a size of no integer": lambda: torch.empty(10**30),
    "an array": lambda: np.empty(10**15),
    "an array of too many": lambda: np.empty((10**15, 10**15)),
    "a layer": lambda: torch.nn.GRU(10**7, 10**7),
}


@pytest.mark.parametrize("make", TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_is_too_large_is_said_in_one_sentence(make) -> None:
    with pytest.raises(NotEnoughMemory, match="there is not enough memory.*smaller") as caught, enough_memory():
        make()
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, OstinatoError)


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), ValueError("y is empty"), ShapeError("out of memory"), KeyError("a")]
)
def test_other_errors_pass_as_they_are(error) -> None:
    with pytest.raises(type(error)) as caught, enough_memory():
        raise error
    assert caught.value is error


def test_a_full_accelerator_is_known() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    assert is_memory_error(error)
    with pytest.raises(NotEnoughMemory, match="20.00 GiB were asked for"), enough_memory():
        raise error
