"""How many threads a worker computes with."""

import os


def per_worker(workers: int) -> int:
    """A worker's share of the cores, or of OMP_NUM_THREADS where that says that fewer are free for it.

    More threads than free cores wait for each other at every step, and take several times as long.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(given) if given.isdecimal() and int(given) else os.cpu_count() or 1
    return max(1, cores // max(1, workers))
