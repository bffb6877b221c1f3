"""Sounds that tests make."""

from pathlib import Path

import numpy as np
import soundfile


def tone(seconds: float = 0.5, rate: int = 16000, pitch: float = 440.0, seed: int = 0) -> np.ndarray:
    """Return a tone with a little noise, `(samples,)` float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * pitch * time) + 0.01 * rng.standard_normal(len(time))).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, rate: int = 16000, **options) -> Path:
    """Write samples to a file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path
