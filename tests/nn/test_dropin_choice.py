"""Which calls the drop-ins send to the engine when they may choose."""

from collections import Counter

import pytest
import torch
from torch import nn

import ostinato
from ostinato.nn.dropin import layers, quick


@pytest.fixture
def scans(monkeypatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    run = layers.scan_checked

    def counting(cell, *args, **kwargs):
        counted[type(cell).__name__] += 1
        return run(cell, *args, **kwargs)

    quickly = quick.run_calls

    def counting_quickly(*args, **kwargs):
        done = quickly(*args, **kwargs)
        counted["quickly"] += done is not None
        return done

    monkeypatch.setattr(layers, "scan_checked", counting)
    monkeypatch.setattr(quick, "run_calls", counting_quickly)
    return counted


def test_a_single_step_by_large_weights_is_left_to_torch_and_a_long_sequence_is_not(scans) -> None:
    layer = ostinato.nn.GRU(512, 512)
    for _ in range(2):  # the second call is of a layer that is known
        layer(torch.randn(1, 1, 512))
    assert scans.total() == 0
    layer(torch.randn(100, 4, 512))
    assert scans.total() == 1


@pytest.mark.skipif(not torch._C._has_mkldnn, reason="PyTorch was built without oneDNN")
def test_small_lstms_without_gradients_are_not_left_to_onednn(scans) -> None:
    layer = ostinato.nn.LSTM(16, 16)
    sequences = [torch.randn(length, 16) for length in (100, 60, 30, 10)]
    with torch.no_grad():
        layer(torch.randn(5, 4, 16))
        assert scans.total() == 1
        layer(nn.utils.rnn.pack_sequence(sequences))
        assert scans.total() == 2
        layer.double()(torch.randn(100, 4, 16, dtype=torch.float64))
        assert scans.total() == 3
