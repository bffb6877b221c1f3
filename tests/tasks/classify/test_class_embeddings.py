"""Whole sequences as points: those of a class lie near each other, whatever stands beside them; a report draws them."""

import numpy as np
import pytest

from ostinato import SequenceClassifier, TextClassifier
from ostinato.tasks.base.embeddings import nearest

FEW = {"hidden_size": 4, "progress": False, "seed": 0, "test": 0.3}


def texts(count=40):
    return [("good fine film " if row % 2 else "bad dull film ") * (1 + row % 3) for row in range(count)]


def waves(count=40):
    rng = np.random.default_rng(0)
    return [np.sin(np.arange(20 + row % 5) * (1 + row % 2) / 3)[:, None] + rng.normal(0, 0.1, (20 + row % 5, 1))
            for row in range(count)]  # fmt: skip


@pytest.mark.parametrize("kind", ["texts", "sequences"])
@pytest.mark.slow
@pytest.mark.ci
def test_records_of_a_class_are_near_and_a_report_draws_them(kind) -> None:
    data = texts() if kind == "texts" else waves()
    labels = [("b", "a")[row % 2] for row in range(40)]
    made = (
        TextClassifier(embedding_size=4, epochs=6, learning_rate=2e-2, **FEW)
        if kind == "texts"
        else SequenceClassifier(epochs=3, members=1, **FEW)
    )
    model = made.fit((data, labels))
    points = model.embed(data)
    assert points.shape[0] == 40
    np.testing.assert_allclose(model.embed(data[3:4])[0], points[3], atol=1e-5)
    places, _ = nearest(points, points[:6], 4)
    assert np.mean([place % 2 == row % 2 for row, near in enumerate(places.tolist()) for place in near]) > 0.8
    (panel,) = [panel for panel in model.summary_.panels if panel.title == "Embeddings"]
    assert set(panel.lines) == {"a", "b"}
