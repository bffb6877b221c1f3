"""MiniRocket beside a sequence classifier, where its libraries are installed."""

import numpy as np
import pytest
import torch

import ostinato
from ostinato import SequenceClassifier
from ostinato.tasks.classify.rocket import MINIROCKET, has_rocket


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.rocket
@pytest.mark.skipif(not has_rocket(), reason="the extra baselines is not installed")
def test_it_tells_waves_apart_and_is_kept_with_the_model(tmp_path) -> None:
    rng = np.random.default_rng(0)
    waves = [np.sin(np.arange(30) * (0.3 if i % 2 else 0.9)) + rng.normal(0, 0.1, 30) for i in range(40)]
    labels = [i % 2 for i in range(40)]
    threads = torch.get_num_threads()
    model = SequenceClassifier(hidden_size=4, epochs=1, members=1, kernels=0, progress=False).fit(waves, labels)
    assert torch.get_num_threads() == threads
    assert model.scores_.values[MINIROCKET]["accuracy"] == 1.0
    again = ostinato.load(model.save(tmp_path / "m"))
    scores = again.evaluate(waves[:10] + [own[:20] for own in waves[10:]], labels).values
    assert (
        scores[MINIROCKET] == model.evaluate(waves[:10] + [own[:20] for own in waves[10:]], labels).values[MINIROCKET]
    )
