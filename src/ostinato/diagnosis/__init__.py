"""Why a model learns or does not: measured on one batch of any model with recurrent layers, and said in plain words."""

from ostinato.diagnosis.diagnosing import diagnose
from ostinato.diagnosis.result import Diagnosis, Fact, Kind, Verdict

__all__ = ["Diagnosis", "Fact", "Kind", "Verdict", "diagnose"]
