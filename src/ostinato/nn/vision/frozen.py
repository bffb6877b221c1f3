"""Networks of torchvision or timm as they are, for the features of frames: nothing of them is trained.

They are used only where one of the packages is installed and the weights lie in a file; nothing is downloaded.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ostinato.errors import DataError, MissingExtra, UsageError

_MEAN, _SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, on which such weights were trained
_ENDS = ("fc", "classifier", "head", "heads")


class FrozenFrames(nn.Module):
    """Frames to features by a network that stays as it is, then a linear layer that is trained.

    Args:
        name: of the network, as timm or torchvision has it, such as `resnet18`.
        features: that a frame comes to.
        weights: the file with its weights (`.pth`, `.pt`, `.safetensors`); `None`: they come from the model's folder.

    Raises:
        MissingExtra: neither package is installed.
        UsageError: there is no such network.
        DataError: the file cannot be read, or is of another network.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, name: str, features: int, weights: str | Path | None = None) -> None:
        super().__init__()
        self.network = named_network(name)
        if weights is not None:
            load_weights(self.network, Path(weights))
        self.network.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(3, 1, 1), persistent=False)
        self.features = features
        self.head = nn.Linear(self._width(), features)

    def _width(self) -> int:
        device = next(self.network.parameters()).device
        with torch.no_grad():
            found: Tensor = self.network(torch.zeros(1, 3, 64, 64, device=device))
        return found.flatten(1).shape[1]

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what is trained; norms of the network keep their statistics."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """Return `(N, features)`, for colours `(N, 3, H, W)` from 0 to 255."""
        with torch.no_grad():
            found: Tensor = self.network((frames / 255 - self.mean) / self.scale)
        return torch.relu(self.head(found.flatten(1)))


def named_network(name: str) -> nn.Module:
    """Return a network without its last layer, with weights of no meaning."""
    for package, make in (("timm", _of_timm), ("torchvision", _of_torchvision)):
        try:
            module = importlib.import_module("torchvision.models" if package == "torchvision" else package)
        except (ImportError, OSError):
            continue
        return make(module, name)
    raise MissingExtra(f"backbone {name} needs torchvision or timm; install it: pip install torchvision")


def _of_timm(timm: Any, name: str) -> nn.Module:
    try:
        found: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"backbone is {name!r}, which timm does not have ({str(error)[:80]})") from error
    return found


def _of_torchvision(models: Any, name: str) -> nn.Module:
    try:
        found: nn.Module = models.get_model(name, weights=None)
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"backbone is {name!r}, which torchvision does not have ({str(error)[:80]})") from error
    end = next((each for each in _ENDS if hasattr(found, each)), None)
    if end is None:
        raise UsageError(f"backbone is {name!r}, whose last layer is not known; take another, such as resnet18")
    setattr(found, end, nn.Identity())
    return found


def load_weights(network: nn.Module, path: Path) -> None:
    """Read the weights of a network from a file; those of its last layer are left out, and nothing is executed."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            given = load_file(path)
        else:
            given = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give the file of the backbone's weights") from error
    except Exception as error:
        raise DataError(f"{path} cannot be read as weights ({str(error)[:80]})") from error
    inner: Any = given.get("state_dict", given.get("model", given)) if isinstance(given, dict) else {}
    inner = inner if isinstance(inner, dict) else {}
    found = {name.removeprefix("module."): value for name, value in inner.items() if isinstance(value, Tensor)}
    expected = network.state_dict()
    fits = {name: value for name, value in found.items() if name in expected and expected[name].shape == value.shape}
    if set(expected) - set(fits):
        lacking = sorted(set(expected) - set(fits))
        raise DataError(
            f"{path} has {len(fits):,} of the {len(expected):,} tensors of the backbone; it lacks {lacking[0]}: it is "
            "of another network"
        )
    network.load_state_dict(fits)
