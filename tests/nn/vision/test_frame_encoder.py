"""A frame gives the same alone as among others, and where something is matters."""

import sys
import types

import pytest
import torch

from ostinato.errors import DataError, MissingExtra, ShapeError, UsageError
from ostinato.nn.vision import FrameEncoder, FrozenFrames


def test_a_frame_gives_the_same_alone() -> None:
    torch.manual_seed(0)
    encoder, frames = FrameEncoder(2, 10, widths=(4, 8)), torch.rand(6, 2, 20, 28)
    with torch.no_grad():
        together = encoder(frames)
        assert together.shape == (6, 10)
        assert torch.allclose(encoder(frames[2:3])[0], together[2], atol=1e-5)
        assert torch.equal(encoder.pooled(encoder.maps(frames)), together)


def test_where_something_is_can_be_told() -> None:
    torch.manual_seed(0)
    encoder, frames = FrameEncoder(1, 16), torch.zeros(2, 1, 48, 64)
    frames[0, 0, 8:16, 8:16] = 1
    frames[1, 0, 32:40, 48:56] = 1
    assert (encoder(frames)[0] - encoder(frames)[1]).abs().max() > 1e-3


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError):
        FrameEncoder(0, 4)
    with pytest.raises(UsageError):
        FrameEncoder(1, 4, widths=())
    with pytest.raises(ShapeError):
        FrameEncoder(1, 4)(torch.zeros(2, 3, 8, 8))


class Backbone(torch.nn.Module):
    """Stands in for a network of torchvision."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Conv2d(3, 5, 3, 2)
        self.norm = torch.nn.BatchNorm2d(5)
        self.fc = torch.nn.Linear(5, 1000)

    def forward(self, frames):
        return self.fc(self.norm(self.body(frames)).mean((2, 3)))


@pytest.fixture
def torchvision(monkeypatch):
    models = types.ModuleType("torchvision.models")

    def get_model(name, weights):
        if name != "small":
            raise ValueError(f"Unknown model {name}")
        return Backbone()

    models.get_model = get_model
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


def test_a_backbone_gives_its_features_and_is_not_trained(torchvision, tmp_path) -> None:
    whole = Backbone()
    torch.save({"state_dict": whole.state_dict()}, tmp_path / "w.pth")
    frozen = FrozenFrames("small", 4, tmp_path / "w.pth")
    frames = torch.rand(3, 3, 40, 40) * 255
    assert frozen(frames).shape == (3, 4)
    frozen.train()
    before = frozen(frames)
    assert torch.equal(frozen(frames), before)  # statistics of its norms stay
    assert [name for name, value in frozen.named_parameters() if value.requires_grad] == ["head.weight", "head.bias"]
    mean, scale = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    whole.fc = torch.nn.Identity()
    expected = whole.eval()((frames / 255 - mean.view(3, 1, 1)) / scale.view(3, 1, 1))
    assert torch.allclose(torch.relu(frozen.head(expected)), before, atol=1e-6)


def test_a_backbone_that_is_not_there_is_said(torchvision, tmp_path, monkeypatch) -> None:
    torch.save({"body.weight": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "bad.pth").write_bytes(b"rubbish")
    for name in ("other.pth", "bad.pth", "none.pth", "none.safetensors"):
        with pytest.raises(DataError):
            FrozenFrames("small", 4, tmp_path / name)
    with pytest.raises(UsageError, match="does not have"):
        FrozenFrames("large", 4)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(MissingExtra, match="torchvision or timm"):
        FrozenFrames("small", 4)
