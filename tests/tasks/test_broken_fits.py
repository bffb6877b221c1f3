"""A fit that is broken off within an epoch, twice, and resumed ends at the bits of one that was not, in every task."""

from dataclasses import replace

import pytest
import torch

from laws import CASES
from ostinato.tasks.base import running

_train = running.train


class Broken:
    """Let training end with Ctrl+C after so many batches; count those that there were."""

    def __init__(self, monkeypatch, after=None):
        self.count, self.after = 0, after
        monkeypatch.setattr(running, "train", self.train)

    def train(self, module, objective, batches, validation, config, **kwargs):
        def once(own, batch, carry):
            self.count += own.training
            if self.count == self.after:
                raise KeyboardInterrupt
            return objective(own, batch, carry)

        # a checkpoint after every batch
        return _train(module, once, batches, validation, replace(config, checkpoint_seconds=0.0), **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_a_fit_that_was_broken_off_twice_ends_at_the_same_bits(kind, tmp_path, monkeypatch) -> None:
    def made():
        return CASES[kind].make().set_params(epochs=2)

    data = CASES[kind].data(False, 0)
    whole = Broken(monkeypatch)
    expected = made().fit(data, directory=tmp_path / "whole")
    for share in (0.3, 0.4):  # of what is left, where checkpoints are
        Broken(monkeypatch, max(2, int(share * whole.count)))
        with pytest.raises(KeyboardInterrupt):
            made().fit(data, directory=tmp_path / "broken", resume=True)
        assert not (tmp_path / "broken" / "model.json").exists()
    Broken(monkeypatch)
    found = made().fit(data, directory=tmp_path / "broken", resume=True)
    weights = found.fitted_.model.network.state_dict()
    for name, value in expected.fitted_.model.network.state_dict().items():
        assert torch.equal(weights[name], value), name
    assert found.scores_.model == expected.scores_.model
    names = [
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in sorted(tmp_path.iterdir())
    ]
    assert names[0] == names[1]
