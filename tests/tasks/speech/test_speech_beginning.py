"""How a recogniser begins to learn: the even alignment, sizes of batches and steps; what its layers read."""

import numpy as np
import pytest
import torch
from torch import nn

from ostinato.tasks.speech.choices import Choices, suited_batch, suited_subsampling
from ostinato.tasks.speech.flat import STEPS, flat_loss, flat_share
from ostinato.tasks.speech.network import SpeechBatch, SpeechNetwork
from ostinato.tasks.speech.parameters import SpeechParameters
from ostinato.tasks.speech.reading import Reading

QUIET, LOUD = -5.0, 5.0


def even(pattern: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits that say a pattern of classes, and the loudness of its steps."""
    classes = torch.tensor([int(mark) for mark in pattern])
    loud = torch.where(classes > 0, LOUD, QUIET)
    return 20.0 * nn.functional.one_hot(classes, 3).float()[:, None], loud[:, None]


def test_units_are_spread_over_what_is_loud() -> None:
    targets, count = torch.tensor([[1, 2]]), torch.tensor([2])
    right, loud = even("0111002220")
    length = torch.tensor([10])
    assert flat_loss(right, loud, length, targets, count) < 0.1
    assert flat_loss(right, loud, length, targets.flip(1), count) > 10
    shifted, _ = even("1110022200")
    assert flat_loss(shifted, loud, length, targets, count) > 10


def test_what_stands_in_padding_does_not_count_and_no_units_are_blanks() -> None:
    right, loud = even("0111002220")
    targets, count, length = torch.tensor([[1, 2]]), torch.tensor([2]), torch.tensor([10])
    alone = flat_loss(right, loud, length, targets, count)
    wide = torch.cat([right, torch.randn(4, 1, 3)]), torch.cat([loud, torch.full((4, 1), LOUD)])
    torch.testing.assert_close(flat_loss(*wide, length, targets, count), alone)
    nothing = torch.zeros(1, 0, dtype=torch.long), torch.tensor([0])
    assert flat_loss(*even("0000"), torch.tensor([4]), *nothing) < 0.1
    assert flat_loss(even("1111")[0], torch.full((4, 1), LOUD), torch.tensor([4]), *nothing) > 10


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("pyramid", [0, 1])
def test_the_even_alignment_fades_and_is_no_part_of_the_loss_that_is_measured(streaming, pyramid) -> None:
    torch.manual_seed(0)
    small = {"hidden_size": 6, "channels": 2, "num_layers": 2, "dropout": 0.0}
    parameters = SpeechParameters(**small, streaming=streaming, augmentation=0.0, loss="ctc", pyramid=pyramid)
    network = SpeechNetwork(parameters, Choices.of(parameters, 2), 8, 3)
    batch = SpeechBatch(
        torch.randn(37, 2, 8), torch.tensor([37, 30]), torch.tensor([[1, 2, 1], [2, 0, 0]]), torch.tensor([3, 1])
    )
    assert [flat_share(0), flat_share(STEPS)] == [1.0, 0.0]
    measured = network.eval()(batch)
    network.train()
    first = network(batch)
    assert first.isfinite()
    assert not torch.isclose(first, measured)
    assert int(network.learned) == 1
    network.learned.fill_(STEPS)
    torch.testing.assert_close(network(batch), measured)
    assert int(network.state_dict()["learned"]) == STEPS


def test_batches_and_steps_follow_how_much_there_is() -> None:
    assert suited_batch(SpeechParameters(batch_size=3), 1000) == 3
    assert suited_batch(SpeechParameters(), 1) == 4
    assert suited_subsampling([600] * 100, [15] * 100) == 8
    assert suited_subsampling([600] * 100, [15] * 100, 2) == 4
    # a transducer can write without steps to spare, but learns better with some
    assert suited_subsampling([40] * 100, [6] * 100, 1, [1] * 100) == 4


@pytest.mark.parametrize("norm", [nn.LayerNorm(5), nn.Identity()])
def test_a_step_is_read_as_the_modules_read_it(norm) -> None:
    torch.manual_seed(0)
    read = nn.Sequential(nn.Linear(7, 5), norm).eval()
    x = torch.randn(7)
    np.testing.assert_allclose(Reading(read)(x.numpy()), read(x).detach().numpy(), atol=1e-6)
