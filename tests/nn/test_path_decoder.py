"""A decoder of several paths: a mixture of what is said of each, step by step as all at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ostinato.nn import RecurrentDecoder
from ostinato.nn.attention import AdditiveAttention, DotAttention, MultiHeadAttention
from ostinato.nn.by_name import stack_of
from ostinato.nn.path_decoder import PathDecoder


def _decoder(paths, attention=AdditiveAttention):
    torch.manual_seed(0)
    return PathDecoder(nn.Embedding(9, 4), stack_of("gru", 4, 6), 9, attention=attention(6, 6), paths=paths).eval()


def _started(decoder, memory, lengths):
    return decoder.start(decoder.stack.initial_state(torch.zeros(memory.shape[1], 4)), memory, lengths)


@pytest.mark.parametrize("attention", [AdditiveAttention, DotAttention, lambda a, b: MultiHeadAttention(a, b, heads=2)])
def test_step_by_step_is_as_all_at_once_and_probabilities_sum_to_one(attention):
    decoder, memory, lengths = _decoder(2, attention), torch.randn(5, 3, 12), torch.tensor([5, 2, 4])
    tokens = torch.randint(0, 9, (4, 3))
    with torch.no_grad():
        readouts, weights, _ = decoder.read(tokens, _started(decoder, memory, lengths))
        whole = decoder.score(readouts)
        state, rows = _started(decoder, memory, lengths), []
        for each in tokens:
            scores, state = decoder.step(each, state)
            rows.append(scores)
    torch.testing.assert_close(torch.stack(rows), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(4, 3))
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 3))
    assert float(weights[:, 1, 2:].sum()) == 0


def test_rows_can_be_chosen_as_a_beam_does():
    decoder, memory, lengths = _decoder(2), torch.randn(5, 3, 12), torch.tensor([5, 2, 4])
    rows, tokens = torch.tensor([2, 0, 0]), torch.tensor([1, 2, 3])
    with torch.no_grad():
        chosen = decoder.step(tokens, _started(decoder, memory, lengths).select(rows))[0]
        made = decoder.step(tokens, _started(decoder, memory[:, rows], lengths[rows]))[0]
    torch.testing.assert_close(chosen, made)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.slow
@pytest.mark.ci
def test_the_loss_is_that_of_the_probabilities(smoothing):
    decoder, memory, lengths = _decoder(2), torch.randn(5, 3, 12), torch.tensor([5, 2, 4])
    tokens, targets = torch.randint(0, 9, (4, 3)), torch.randint(0, 9, (4, 3))
    readouts, _, _ = decoder.read(tokens, _started(decoder, memory, lengths))
    found = decoder.loss(readouts, targets, label_smoothing=smoothing)
    scores = decoder.score(readouts).flatten(0, 1)
    torch.testing.assert_close(found, nn.functional.cross_entropy(scores, targets.flatten(), label_smoothing=smoothing))


def test_a_path_that_is_shut_out_learns_and_is_let_in_again():
    decoder = _decoder(2).train()
    with torch.no_grad():
        decoder.gate.bias.copy_(torch.tensor([-20.0, 20.0]))
    optimizer = torch.optim.Adam(decoder.parameters(), 0.03)
    tokens = torch.zeros(1, 64, dtype=torch.long)
    for _ in range(150):
        targets = torch.randint(0, 2, (1, 64))
        memory = torch.randn(1, 64, 12)
        memory[0, :, 0] = 4.0 * (targets[0] - 0.5)  # only the first path can tell
        readouts, _, _ = decoder.read(tokens, _started(decoder, memory, None))
        loss = decoder.loss(readouts, targets)
        plain = nn.functional.cross_entropy(decoder.score(readouts).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3
    torch.testing.assert_close(loss, plain)


def test_of_one_path_it_is_a_recurrent_decoder():
    decoder, memory, lengths = _decoder(1), torch.randn(5, 3, 6), torch.tensor([5, 2, 4])
    plain = RecurrentDecoder(decoder.embedding, decoder.stack, 9, attention=decoder.attention).eval()
    plain.load_state_dict({name: value for name, value in decoder.state_dict().items() if "gate" not in name})
    tokens = torch.randint(0, 9, (4, 3))
    with torch.no_grad():
        ours = decoder.score(decoder.read(tokens, _started(decoder, memory, lengths))[0])
        theirs = plain.score(plain.read(tokens, _started(plain, memory, lengths))[0]).log_softmax(-1)
    torch.testing.assert_close(ours, theirs)


def test_what_one_path_rules_out_another_can_say():
    decoder = _decoder(2)
    readouts = torch.zeros(1, 2 * decoder.readout_size + 2)
    readouts[0, -2:] = torch.tensor([0.9, 0.1]).log()
    with torch.no_grad():
        decoder.scores.weight.zero_()
        decoder.scores.weight[3, 0], decoder.scores.bias[3] = -200.0, 0.0
        readouts[0, decoder.readout_size] = 1.0  # the second path sees what rules token 3 out
        assert float(decoder.score(readouts)[0, 3].exp()) > 0.09
