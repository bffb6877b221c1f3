"""Fixtures that all rooms share."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    # before anyone imports Triton: its kernels are then interpreted, on tensors of the CPU
    os.environ.setdefault("TRITON_INTERPRET", "1")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell ignores interrupts for what it starts in the background, and tests of interrupts ask for them
    signal.signal(signal.SIGINT, signal.default_int_handler)

_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"the real data is not there ({SHARED})")
    return SHARED


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _slow_baselines() -> Iterator[Callable[..., dict[str, object]]]:
    """Leave MiniRocket and AutoETS out where they are not what is tested; give the baselines with AutoETS.

    Their libraries take seconds to import, and AutoETS takes longer than all the rest of a small forecaster's fit. For
    the session, and not for each test: models that tests of a module share are fitted before those begin.
    """
    from ostinato.tasks.forecast.task import ForecastTask

    every = ForecastTask.baselines

    def without_autoets(*given: object) -> dict[str, object]:
        return {name: make for name, make in every(*given).items() if name != "AutoETS"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ostinato.tasks.classify.rocket.has_rocket", lambda: False)
        patch.setattr(ForecastTask, "baselines", without_autoets)
        yield every


@pytest.fixture(autouse=True)
def _slow_baselines_where_they_are_tested(request, monkeypatch, _slow_baselines) -> None:
    if "rocket" in request.keywords:
        monkeypatch.setattr("ostinato.tasks.classify.rocket.has_rocket", lambda: True)
    if "autoets" in request.keywords:
        monkeypatch.setattr("ostinato.tasks.forecast.task.ForecastTask.baselines", _slow_baselines)


@pytest.fixture(scope="module", autouse=True)
def _time_for_baselines() -> Iterator[None]:
    """Let baselines take the time that they need: what a test finds must not depend on how busy a machine is.

    For a module, and not for each test, as models are that tests share; tests of the time itself have a fixture of this
    name that does nothing.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ostinato.tasks.base.allowance.LEAST_SECONDS", 300.0)
        yield


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
