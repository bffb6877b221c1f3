"""`DistributedDataParallel` on two processes, against one process that has the whole batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ddp_worker import KINDS, ROWS, WAYS, model_of, train
from torch import distributed

import ostinato

COUNT = 2
WORKER = Path(__file__).with_name("ddp_worker.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder where the processes have left their weights."""
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("this PyTorch has no gloo")
    folder = tmp_path_factory.mktemp("ddp")
    source = str(Path(ostinato.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(rank), str(COUNT), str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(COUNT)
    ]
    try:
        told = [worker.communicate(timeout=240)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0] * COUNT, "\n".join(told)
    return folder


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_train_to_the_weights_of_one_that_has_the_whole_batch(trained, kind, way, monkeypatch) -> None:
    monkeypatch.setenv("OSTINATO_ENGINE", "off")  # the one process is the oracle: PyTorch alone
    alone = model_of(kind, way)
    before = {name: tensor.clone() for name, tensor in alone.state_dict().items()}
    train(alone, way, slice(0, ROWS))
    for rank in range(COUNT):
        weights = torch.load(trained / f"{kind}, {way}, {rank}.pt")
        torch.testing.assert_close(weights, alone.state_dict(), atol=1e-6, rtol=0)
    assert all(not torch.equal(tensor, before[name]) for name, tensor in alone.state_dict().items())


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("kind", KINDS)
def test_the_processes_end_with_the_same_bits(trained, kind) -> None:
    for way in WAYS:
        first, second = (torch.load(trained / f"{kind}, {way}, {rank}.pt") for rank in range(COUNT))
        assert all(torch.equal(first[name], second[name]) for name in first), way
