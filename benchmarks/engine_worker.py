"""One process of the engine's benchmark: all measurements with one number of threads, from a given job on.

`engine.py` starts it with the settings as JSON, the file for the records and the number of jobs to skip. It has one
number of threads for its whole life, since JAX cannot change its own; and a job that kills it takes no other along.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine_records import Begun, Settings, append


def main() -> None:
    """Measure, adding each record to the file as it is found."""
    settings, file, skip = Settings.from_json(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    _bind(settings.threads)
    # only now: the libraries count the processors when they are imported
    import torch

    from engine_measure import jobs

    torch.set_num_threads(settings.threads)
    # what torch imports at its first gradient, half a second, is not the first case's compiling
    x = torch.ones(1, 8, requires_grad=True)
    torch.autograd.grad(torch.nn.Linear(8, 8)(x), [x], torch.ones(1, 8))
    for number, job in enumerate(jobs(settings)):
        if number < skip:
            continue
        print(f"{settings.threads} thread(s): {job.what}, {job.size}", file=sys.stderr, flush=True)
        append(file, Begun(number, job.what, job.size))
        torch.manual_seed(0)
        for record in job.run():
            append(file, record)


def _bind(threads: int) -> None:
    """Keep the process on as many processors as it has threads: JAX makes as many threads as it sees processors."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    main()
