"""Models of Keras are diagnosed as those of PyTorch are, layers of Keras and ours alike, and left as they are."""

import importlib.util

import numpy as np
import pytest
import torch

import ostinato

if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)

import ostinato.keras as ours

import keras  # isort: skip - after ours, which selects the backend

_LAYERS = [
    (keras, "LSTM"),
    *(
        pytest.param(library, kind, marks=pytest.mark.slow)
        for library, kind in ((keras, "GRU"), (keras, "SimpleRNN"), (ours, "LSTM"), (ours, "GRU"), (ours, "SimpleRNN"))
    ),
]


def made(library, kind: str):
    keras.utils.set_random_seed(1)
    model = library.Sequential(
        [library.layers.Input((10, 2)), getattr(library.layers, kind)(6), library.layers.Dense(1)]
    )
    model.compile(library.optimizers.Adam(1e-2), "mse")
    draw = np.random.default_rng(0)
    xs = draw.normal(size=(16, 10, 2)).astype(np.float32)
    return model, (torch.tensor(xs), torch.tensor(xs[:, :3, 0].sum(1, keepdims=True)))


@pytest.mark.parametrize(("library", "kind"), _LAYERS)
def test_recurrent_layers_are_found_and_measured_and_the_model_stays_as_it_was(library, kind: str) -> None:
    model, batch = made(library, kind)
    before = [value.copy() for value in model.get_weights()]
    found = ostinato.diagnose(model, batch, keras.losses.MeanSquaredError(), learning_rate=1e-2, max_seconds=20.0)
    assert not found.skipped
    part = found.numbers["parts"][0]
    assert len(part["gradient norms"]) == 10
    assert kind.lower() in part["name"] or kind in found.text()
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))
    assert found.numbers["rates"]["asked"] == 1e-2


@pytest.mark.slow
@pytest.mark.ci
def test_a_saturated_gate_of_keras_is_named() -> None:
    model, batch = made(keras, "LSTM")
    kernel, recurrent, bias = model.layers[0].get_weights()
    bias[6:12] = -12.0  # the forget gate is shut
    model.layers[0].set_weights([kernel, recurrent, bias])
    assert "saturated" in ostinato.diagnose(model, batch, keras.losses.MeanSquaredError(), max_seconds=20.0).kinds


def test_the_loss_that_a_model_was_compiled_with_is_taken_where_none_is_given() -> None:
    model, (xs, ys) = made(keras, "GRU")
    found, same = (
        ostinato.diagnose(model, (xs, ys), loss, max_seconds=5.0) for loss in (None, keras.losses.MeanSquaredError())
    )
    assert dict(found.numbers)["losses"] == dict(same.numbers)["losses"]
    assert not any(fact.name == "frozen weights" for fact in found.facts)  # states of generators are none
    assert f"{sum(value.size for value in model.get_weights()):,} weights" in found.text()
    assert not any("Take a gated" in text for verdict in found.verdicts for text in verdict.advice)
