"""The one place that starts Ray Train."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cluster import started
from .errors import RunFailed
from .job import Job
from .progress import Show
from .settings import Settings

if TYPE_CHECKING:
    from ray.train import Result

RESTARTS = 3  # worker failures that a run survives


@dataclass(frozen=True)
class Given:
    """The artifacts that a job names, in its order: what to start from, and whom to learn from."""

    start: list[bytes]
    teachers: list[bytes]


def fit(job: Job, attempt: int, given: Given, settings: Settings, show: Show) -> dict[str, Any]:
    """Run the workers and return what the first of them returned; no worker count means this very process.

    Raises:
        RunFailed: with the worker's reason and how to go on.
    """
    workers = job.spec.workers
    if workers:
        show.say(f"starting Ray with {workers} worker{'s' if workers > 1 else ''}")
    cluster = started(settings.home, workers + 1) if workers else nullcontext()
    with cluster:
        return _fit(job, attempt, given, Path(job.events))


def _fit(job: Job, attempt: int, given: Given, file: Path) -> dict[str, Any]:
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)
    import torch
    from ray import train
    from ray.train.torch import TorchTrainer

    from .reporting import Mirror
    from .worker import work

    trainer = TorchTrainer(
        work,
        train_loop_config={"job": job.model_dump_json(), "start": given.start, "teachers": given.teachers},
        scaling_config=train.ScalingConfig(num_workers=job.spec.workers, use_gpu=torch.cuda.is_available()),
        run_config=train.RunConfig(
            name=f"attempt-{attempt}",
            storage_path=str(file.parent),
            failure_config=train.FailureConfig(max_failures=RESTARTS),
            checkpoint_config=train.CheckpointConfig(num_to_keep=2),
            callbacks=[Mirror(file)],
            logging_config=train.LoggingConfig(log_level="CRITICAL"),
        ),
    )
    try:
        result = _interruptible(trainer.fit) if job.spec.workers else trainer.fit()
    except train.TrainingFailedError as error:
        raise RunFailed(
            f"run {job.run_id} failed: {_reason(error)}", hint=f"promptctl train --resume {job.run_id}"
        ) from None
    returned: dict[str, Any] = result.return_value or {"failed": "the first worker returned nothing", "hint": ""}
    if "failed" in returned:
        raise RunFailed(f"run {job.run_id} failed: {returned['failed']}", hint=returned["hint"])
    return returned


def _interruptible(fit: Callable[[], "Result"]) -> "Result":
    """Fit in a thread: in the main one Ray Train takes Ctrl-C over, and ends the process without a word.

    The thread is a daemon, because it never returns from a Ray that was shut down under it.
    """
    fitted: Future[Result] = Future()

    def work() -> None:
        try:
            fitted.set_result(fit())
        except BaseException as error:  # noqa: BLE001 - the future hands it to the caller
            fitted.set_exception(error)

    threading.Thread(target=work, name="fit", daemon=True).start()
    return fitted.result()


def _reason(error: Exception) -> str:
    """Our own workers' words; of anything else only its kind, because its text may quote a row."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    for failure in failures.values():
        cause = getattr(failure, "cause", failure)
        if isinstance(cause, RunFailed):
            return str(cause)
    kinds = {type(failure).__name__ for failure in failures.values()} or {type(error).__name__}
    return ", ".join(sorted(kinds))
