"""The law of padding, for any loss: a padded batch has what its sequences have one by one, NaN in padding or not."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

lengths_of_batches = st.lists(st.integers(1, 6), min_size=1, max_size=4)
Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def padded(values: list[Tensor], fill: float) -> Tensor:
    batch = torch.nn.utils.rnn.pad_sequence(values, padding_value=fill)
    return torch.cat([batch, torch.full_like(batch[:2], fill)])  # two more steps that no row has


def assert_padding_changes_nothing(loss: Loss, predictions: list[Tensor], targets: list[Tensor]) -> None:
    """`loss(predictions, targets, lengths)` returns one number a row (summed over its steps)."""
    lengths = torch.tensor([len(values) for values in predictions])
    fill = float("nan") if targets[0].is_floating_point() else 99
    batch = padded(predictions, float("nan")).requires_grad_()
    rows = loss(batch, padded(targets, fill), lengths)
    rows.sum().backward()
    for row, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        alone = prediction[:, None].clone().requires_grad_()
        single = loss(alone, target[:, None], None)
        single.sum().backward()
        torch.testing.assert_close(rows[row], single[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(batch.grad[: len(prediction), row], alone.grad[:, 0], rtol=1e-12, atol=1e-12)
        assert not batch.grad[len(prediction) :, row].any()
