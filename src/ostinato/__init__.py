"""Ostinato: recurrent sequence models, from a raw file to a live stream."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from ostinato import cells, data, engine, errors, nn, streaming, training
    from ostinato.diagnosis import diagnose
    from ostinato.engine import compile, explain, scan  # noqa: A004
    from ostinato.nn import accelerate
    from ostinato.streaming import row_stepper, stepper
    from ostinato.studies.comparing import compare
    from ostinato.studies.tuning import tune
    from ostinato.tasks.anomaly import AnomalyDetector
    from ostinato.tasks.base.registry import load
    from ostinato.tasks.captions import Captioner
    from ostinato.tasks.classify import SequenceClassifier, TextClassifier
    from ostinato.tasks.events import EventPredictor
    from ostinato.tasks.forecast import Forecaster
    from ostinato.tasks.language import LanguageModel
    from ostinato.tasks.monitor import PatientMonitor
    from ostinato.tasks.music import Composer
    from ostinato.tasks.progression import ProgressionModel
    from ostinato.tasks.speech import Transcriber
    from ostinato.tasks.tag import SequenceTagger
    from ostinato.tasks.translate import Translator
    from ostinato.tasks.video import VideoClassifier
    from ostinato.tasks.video_anomaly import VideoAnomalyDetector

# where each public name lives; nothing heavy is imported until one is used, so that `ostinato --help` is quick
_HOMES = {
    "AnomalyDetector": "ostinato.tasks.anomaly",
    "Captioner": "ostinato.tasks.captions",
    "Composer": "ostinato.tasks.music",
    "EventPredictor": "ostinato.tasks.events",
    "Forecaster": "ostinato.tasks.forecast",
    "LanguageModel": "ostinato.tasks.language",
    "PatientMonitor": "ostinato.tasks.monitor",
    "ProgressionModel": "ostinato.tasks.progression",
    "SequenceClassifier": "ostinato.tasks.classify",
    "TextClassifier": "ostinato.tasks.classify",
    "SequenceTagger": "ostinato.tasks.tag",
    "Transcriber": "ostinato.tasks.speech",
    "Translator": "ostinato.tasks.translate",
    "VideoClassifier": "ostinato.tasks.video",
    "VideoAnomalyDetector": "ostinato.tasks.video_anomaly",
    "load": "ostinato.tasks.base.registry",
    "accelerate": "ostinato.nn",
    "compare": "ostinato.studies.comparing",
    "compile": "ostinato.engine",
    "diagnose": "ostinato.diagnosis",
    "explain": "ostinato.engine",
    "scan": "ostinato.engine",
    "row_stepper": "ostinato.streaming",
    "stepper": "ostinato.streaming",
    "tune": "ostinato.studies.tuning",
}
_ROOMS = ("cells", "data", "engine", "errors", "keras", "nn", "streaming", "training")

__all__ = [
    "AnomalyDetector",
    "Captioner",
    "Composer",
    "EventPredictor",
    "Forecaster",
    "LanguageModel",
    "PatientMonitor",
    "ProgressionModel",
    "SequenceClassifier",
    "SequenceTagger",
    "TextClassifier",
    "Transcriber",
    "Translator",
    "VideoAnomalyDetector",
    "VideoClassifier",
    "accelerate",
    "cells",
    "compare",
    "compile",
    "data",
    "diagnose",
    "engine",
    "errors",
    "explain",
    "load",
    "nn",
    "row_stepper",
    "scan",
    "stepper",
    "streaming",
    "training",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"ostinato.{name}")
    raise AttributeError(f"module 'ostinato' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted((*__all__, "__version__"))
