"""Decoders of transducers: stepped against whole, streams, scorers."""

import math

import numpy as np
import pytest
import torch
from test_speech_decoding import UNITS, Letters

from ostinato.cells import GRUCell, LSTMCell
from ostinato.errors import ShapeError, UsageError
from ostinato.nn import losses
from ostinato.tasks.speech.decoding import NGramScorer, fused, transducer_decoder
from ostinato.tasks.speech.decoding.reader import StepperReader

SMALL = Letters(("", "a", "b", " "))


def _parts(units, cell=LSTMCell, seed=0, layers=1):
    torch.manual_seed(seed)
    predictor = losses.TransducerPredictor(len(units), 5, lambda size: cell(size, 6), num_layers=layers)
    joint = losses.TransducerJoint(3, 6, 8, len(units))
    with torch.no_grad():
        joint.output.weight *= 4
        joint.output.bias[0] -= 2
    return predictor.eval(), joint.eval()


def _frames(seed, count=30):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


@pytest.mark.parametrize(("cell", "layers", "rows"), [(LSTMCell, 2, 3), (GRUCell, 1, 1)])
def test_the_stepped_predictor_is_the_predictor(cell, layers, rows) -> None:
    predictor, _ = _parts(UNITS, cell, layers=layers)
    reader = StepperReader(predictor, rows)
    targets = torch.tensor([[1, 2, 3], [2, 2, 1], [4, 1, 1], [5, 6, 7]])
    whole = predictor(targets).detach().numpy()
    output, state = reader.start()
    np.testing.assert_allclose(output, whole[0, 0], atol=1e-6)
    states = [state] * 4
    for step, labels in enumerate(targets.T.tolist(), 1):
        outputs, states = reader.read(labels, states)
        np.testing.assert_allclose(outputs, whole[step], atol=1e-5)
    alone, _ = reader.read([7], [reader.read([6], [reader.read([5], [reader.start()[1]])[1][0]])[1][0]])
    assert (alone[0] == outputs[3]).all()  # to the same bits, whatever stands beside it


@pytest.mark.parametrize("beam_size", [0, 1, 6])
def test_frames_that_come_in_pieces_give_the_same_bits(beam_size) -> None:
    predictor, joint = _parts(UNITS)
    frames = _frames(1)
    scorer = fused(UNITS, [(NGramScorer.fit(["ab ab", "ba"], UNITS, 3), 0.3)], 3.0) if beam_size else None
    make = lambda: transducer_decoder(UNITS, predictor, joint, beam_size=beam_size, scorer=scorer)  # noqa: E731
    whole = make().decode(frames, n_best=4)
    decoder, other = make(), make()
    for frame in frames:
        decoder.advance(frame[None])
        other.accept(decoder.kept())
    assert decoder.finish(4) == whole
    assert other.finish(4) == whole
    assert len(whole[0].classes) > 5


def test_greedy_is_that_of_the_modules() -> None:
    predictor, joint = _parts(UNITS, seed=3)
    frames = _frames(2)
    expected = losses.transducer_greedy(predictor, joint, torch.from_numpy(frames)[:, None], max_symbols=5)[0]
    decoder = transducer_decoder(UNITS, predictor, joint)
    found = decoder.decode(frames)[0]
    assert list(found.classes) == expected
    beam = transducer_decoder(UNITS, predictor, joint, beam_size=8).decode(frames)[0]
    assert beam.score >= found.score  # a beam sums over paths
    emissions = decoder.search.best().emissions
    assert [own.start for own in emissions] == sorted(own.start for own in emissions)


def test_a_scorer_is_added_to_every_labelling_once() -> None:
    predictor, joint = _parts(SMALL)
    frames = _frames(4, 2)
    scorer = fused(SMALL, [(NGramScorer.fit(["ab a", "ba"], SMALL, 2), 0.6)], 0.1)
    decoders = [
        transducer_decoder(SMALL, predictor, joint, beam_size=200, max_symbols=2, scorer=s) for s in (None, scorer)
    ]
    for own in decoders:
        own.advance(frames)
    plain, added = ({own.labels: own.score for own in one.search.hypotheses()} for one in decoders)
    for labels, score in list(added.items())[:300]:
        state, extra = scorer.start(), 0.0
        for label in labels:
            extra += scorer.scores(state)[label]
            state = scorer.advance(state, label)
        assert score == pytest.approx(plain[labels] + extra + scorer.end(state), abs=1e-5)
    assert math.fsum(map(math.exp, plain.values())) < 1.0


def test_what_does_not_fit_is_refused() -> None:
    predictor, joint = _parts(UNITS)
    decoder = transducer_decoder(UNITS, predictor, joint, beam_size=2)
    with pytest.raises(ShapeError, match=r"expected \(frames, 3\)"):
        decoder.advance(np.zeros((2, 4)))
    with pytest.raises(UsageError, match="max_symbols is 0"):
        transducer_decoder(UNITS, predictor, joint, max_symbols=0)
    with pytest.raises(UsageError, match="a greedy search takes no scorer"):
        transducer_decoder(UNITS, predictor, joint, scorer=fused(UNITS, [], 1.0))
    with pytest.raises(UsageError, match="begin a new"):
        decoder.accept({"labels": [[1]], "scores": [0.0, 1.0], "links": [[]], "frames": 1})
    assert decoder.finish()[0].text == ""
