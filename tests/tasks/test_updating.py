"""New rows for a model that is there: what is learned, what is kept, and that the better of the two stays."""

import contextlib

import numpy as np
import pytest
import torch

import ostinato
from laws import CASES
from ostinato.artifact import kind_of
from ostinato.errors import DataError, Diverged, NonFiniteLoss, UsageError
from ostinato.training import TrainingConfig


@pytest.fixture(scope="module", params=CASES)
def saved(request, tmp_path_factory):
    """The name of a task, and the folder of a model of its first law."""
    folder = tmp_path_factory.mktemp("models") / "model"
    case = CASES[request.param]
    case.make().fit(case.data(False, 0)).save(folder)
    return request.param, folder


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.fitted_.model.network.state_dict().items()}


def same(one, two) -> bool:
    return all(torch.equal(value, two[name]) for name, value in one.items())


def test_what_the_new_rows_follow_is_learned_and_the_updated_model_is_kept(saved, tmp_path) -> None:
    name, folder = saved
    model = ostinato.load(folder)
    before = weights(model)
    found = model.update(CASES[name].data(True, 1), epochs=10)
    assert found.improved
    assert found.after < 0.9 * found.before
    assert "The updated model is kept: its loss is lower" in str(found)
    assert found.tested.startswith("By ")
    assert "before the update (" in found.tested
    assert list(found.scores) == ["model", "before the update"]
    assert not same(before, weights(model))
    again = ostinato.load(model.save(tmp_path / "m"))
    assert same(weights(model), weights(again))
    assert again.summary_.verdict.startswith(found.verdict)
    assert kind_of(tmp_path / "m") == name


def test_an_update_that_is_no_better_leaves_the_model_as_it_was(saved) -> None:
    name, folder = saved
    model = ostinato.load(folder)
    before, summary = weights(model), model.summary_
    # no step is taken that could be seen: the loss can fall by what is weighed again on the new data alone
    found = model.update(CASES[name].data(False, 3) if name != "forecaster" else CASES[name].data(True, 3),
                         epochs=1, learning_rate=1e-30)  # fmt: skip
    if found.improved and name == "sequence classifier":
        assert 0.8 * found.before < found.after < 0.001
        return
    assert not found.improved
    assert "left as it was" in found.verdict
    assert same(before, weights(model))
    assert model.summary_ == summary


def test_an_update_that_diverges_leaves_the_model_as_it_was(saved) -> None:
    name, folder = saved
    model = ostinato.load(folder)
    before = weights(model)
    with pytest.raises((Diverged, NonFiniteLoss)):  # such a step is no number of 32 bits
        model.update(CASES[name].data(True, 1), epochs=2, learning_rate=1e39)
    assert same(before, weights(model))
    with contextlib.suppress(Diverged, NonFiniteLoss):  # with luck, a network of huge weights tells all apart
        found = model.update(CASES[name].data(True, 1), epochs=2, learning_rate=1e4)
        assert found.improved == (found.after < found.before)
        if found.improved:
            return
    assert same(before, weights(model))


def test_a_forecaster_takes_rows_behind_its_own_alone_or_with_the_old_ones_in_front(tmp_path) -> None:
    case = CASES["forecaster"]
    old, new = case.data(False, 0), case.data(True, 1)
    both = {name: old[name] + new[name] for name in old}
    # simple forecasts look back further than the new rows alone reach; the network does not
    case.make().set_params(combine=False).fit(old).save(tmp_path / "m")
    alone, together = ostinato.load(tmp_path / "m"), ostinato.load(tmp_path / "m")
    first, second = alone.update(new), together.update(both)
    assert first.after == pytest.approx(second.after, rel=1e-6)
    assert same(weights(alone), weights(together))
    assert alone.predict().times[0][0] == together.predict().times[0][0]
    np.testing.assert_allclose(alone.predict().point, together.predict().point, rtol=1e-6)
    # the rows held out by the update, and no others, are what it is judged on again
    one, two = together.evaluate(both), alone.evaluate(new)
    assert one.model == pytest.approx(two.model, rel=1e-6)
    assert one.count == two.count == 55


def test_rows_without_times_come_after_those_that_are_known(tmp_path) -> None:
    case = CASES["forecaster"]
    old, new = case.data(False, 0)["load"], case.data(True, 1)["load"]
    case.make().fit({"load": old}).save(tmp_path / "m")
    alone, together = ostinato.load(tmp_path / "m"), ostinato.load(tmp_path / "m")
    alone.update({"load": new})
    together.update({"load": old + new})
    assert same(weights(alone), weights(together))
    assert alone.predict().times[0][0] == 700


def test_a_series_that_is_new_gets_a_scale_of_its_own_and_the_others_keep_theirs() -> None:
    case = CASES["forecaster"]
    old, new = case.data(False, 0), case.data(True, 1)
    model = case.make().set_params(series_id="where").fit({"where": ["A"] * len(old["load"]), **old})
    scale = model.fitted_.model.encoder.scaler.targets.scale[0]
    larger = [100 * value for value in new["load"]]
    model.update({"where": ["A"] * 300 + ["B"] * 300, "time": new["time"] * 2, "load": new["load"] + larger})
    found = model.predict()
    assert found.series_ids == ("A", "B")
    assert model.fitted_.model.encoder.scaler.targets.scale[0] == scale
    assert found.point[1].mean() == pytest.approx(100 * found.point[0].mean(), rel=0.3)
    assert model.stream("B").forecast().point.shape == (1, 6, 1)


def test_too_little_that_is_new_and_what_does_not_fit_is_refused_in_a_sentence() -> None:
    case = CASES["forecaster"]
    old = case.data(False, 0)
    model = case.make().fit(old)
    with pytest.raises(DataError, match=r"has 0 new rows .* an update needs 18: 6 \(the horizon\) each"):
        model.update(old)
    odd = {"time": ["2022-03-01T00:30", "2022-03-01T01:30"], "load": [1.0, 2.0]}
    with pytest.raises(DataError, match="are not on the grid of 1 hour"):
        model.update(odd)
    texts, labels = CASES["text classifier"].data(False, 0)
    told = CASES["text classifier"].make().set_params(epochs=1).fit((texts, labels))
    with pytest.raises(DataError, match='has the label "sideways", which none of the training examples has'):
        told.update((texts, ["sideways", *labels[1:]]))
    with pytest.raises(DataError, match="1 new example, too few for an update"):
        told.update((texts[:1], labels[:1]))
    with pytest.raises(UsageError, match="not fitted"):
        case.make().update(old)


def test_an_update_trains_on_three_fifths_with_a_third_of_the_learning_rate(monkeypatch) -> None:
    from ostinato.tasks.base import updating

    seen: list[TrainingConfig] = []

    def train(network, objective, batches, validation, config):
        seen.append(config)
        return original(network, objective, batches, validation, config)

    original = updating.train
    monkeypatch.setattr(updating, "train", train)
    case = CASES["sequence tagger"]
    model = case.make().fit(case.data(False, 0))
    found = model.update(case.data(True, 1))
    assert seen[0].learning_rate == pytest.approx(model.learning_rate / 3)
    assert seen[0].epochs == 4
    assert found.split == "20 % of the sentences, 24 sentences"
