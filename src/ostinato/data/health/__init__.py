"""Health records: irregular measurements by patient, outcomes beside them, beats of WFDB records."""

from ostinato.data.health.clock import UNITS, Clock
from ostinato.data.health.outcomes import with_outcomes, with_statics
from ostinato.data.health.patients import HealthReading, Patients
from ostinato.data.health.reading import read_patients
from ostinato.data.health.waveforms import read_beats

__all__ = [
    "UNITS",
    "Clock",
    "HealthReading",
    "Patients",
    "read_beats",
    "read_patients",
    "with_outcomes",
    "with_statics",
]
