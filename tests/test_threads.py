import os

import pytest

from orchestrator.threads import per_worker


@pytest.mark.parametrize(
    ("said", "workers", "threads"),
    [
        ("4", 1, 4),
        ("4", 0, 4),
        ("4", 3, 1),
        ("1", 2, 1),
        ("", 1, os.cpu_count()),
        ("0", 1, os.cpu_count()),
        ("x,2", 1, os.cpu_count()),
    ],
)
def test_workers_share_the_threads_that_there_are(
    monkeypatch: pytest.MonkeyPatch, said: str, workers: int, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert per_worker(workers) == threads
