"""A run's numbers in MLflow: read from its events, by a thread of its own, so that MLflow can never hold a run up.

Only whitelisted numbers and ids go there: metrics, counts, digests. The fluent interface and autologging would add
names of users and scripts, so the client is used.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from methods import METHODS
from methods.continual import CONTINUAL
from methods.hyperparameters import configured

from . import events
from .job import Job
from .settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "promptctl"
POLL_S = 1.0
PATIENCE_S = 30.0  # how long a finished run waits for MLflow to take the last numbers
BATCH = 500  # metrics in one request

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}


class Tracker:
    """Mirrors one run; `run_id` is MLflow's, empty until MLflow has answered."""

    def __init__(self, settings: Settings, file: Path, job: Job, known: str, say: Callable[[str], None]) -> None:
        self.run_id = known
        self._settings, self._file, self._job, self._say = settings, file, job, say
        self._over = threading.Event()
        self._status = "FAILED"
        self._thread = threading.Thread(target=self._mirror, name="mlflow", daemon=True)

    @contextmanager
    def following(self) -> Iterator["Tracker"]:
        """Mirror for the time of the block; MLflow's run is FINISHED unless the block raises."""
        self._thread.start()
        try:
            yield self
            self._status = "FINISHED"
        finally:
            self._over.set()
            self._thread.join(POLL_S * 3)
            if self._thread.is_alive():
                self._say(f"waiting for MLflow to take the last numbers, at most {PATIENCE_S:.0f} s")
                self._thread.join(PATIENCE_S)
            if self._thread.is_alive():
                self._say(f"MLflow does not answer; the run goes on, {self._kept}")

    @property
    def _kept(self) -> str:
        return f"its numbers stay in {self._file}"

    def _mirror(self) -> None:
        try:
            self._follow(client_of(self._settings))
        except Exception as error:  # noqa: BLE001 - whatever befalls MLflow must not befall the run
            self._say(f"MLflow failed ({type(error).__name__}); the run goes on, {self._kept}")

    def _follow(self, client: "MlflowClient") -> None:
        tail = events.Tail(self._file)
        if self.run_id:
            client.update_run(self.run_id, "RUNNING")
        else:
            self.run_id = self._create(client)
        over = False
        while not over:
            over = self._over.wait(POLL_S)
            self._log(client, tail)
        client.set_terminated(self.run_id, self._status)

    def _create(self, client: "MlflowClient") -> str:
        from mlflow.entities import Param

        experiment = experiment_id(client, EXPERIMENT, self._settings)
        tags = {"promptctl.run": self._job.run_id}
        run = client.create_run(experiment, run_name=self._job.run_id, tags=tags)
        spec = self._job.spec
        plain = {"method": spec.method, "epochs": spec.epochs, "batch_size": spec.batch_size, "seed": spec.seed}
        named = {"tasks": ",".join(spec.tasks), "backbone": self._job.backbone, "shots": spec.shots}
        named |= {"start": self._job.start, "teachers": self._job.teachers}
        values = plain | vars(configured({**METHODS, **CONTINUAL}, spec.method, spec.hyperparameters)) | named
        params = [Param(key, str(value)) for key, value in values.items() if value not in (None, "")]
        client.log_batch(run.info.run_id, params=params)
        return run.info.run_id

    def _log(self, client: "MlflowClient", tail: events.Tail) -> None:
        from mlflow.entities import Metric

        found = [
            Metric(key, value, int(event["at"] * 1000), step)
            for event in tail.new()
            for key, value, step in numbers(event)
        ]
        for start in range(0, len(found), BATCH):
            client.log_batch(self.run_id, metrics=found[start : start + BATCH])


def client_of(settings: Settings) -> "MlflowClient":
    """A client that neither reports usage nor waits for long nor logs."""
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    import mlflow  # heavy; and it reads the environment when imported

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return mlflow.MlflowClient(settings.tracking_uri)


def experiment_id(client: "MlflowClient", name: str, settings: Settings) -> str:
    """The experiment of that name, made where there is none yet."""
    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    # without a server MLflow would put files into the folder that the command was called from
    served = settings.tracking_uri.startswith(("http://", "https://", "databricks"))
    return client.create_experiment(name, None if served else (settings.home / "mlflow").as_uri())


def numbers(event: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """(key, value, step) of everything in an event that MLflow may see."""
    if "step" in event:
        if event["loss"] is not None:
            yield f"{event['phase']}/loss", event["loss"], event["step"]
        for task, loss in event["task_losses"].items():
            yield f"{event['phase']}/{task}/loss", loss, event["step"]
        for part, loss in event["parts"].items():
            yield f"{event['phase']}/{part}_loss", loss, event["step"]
    for split in ("validation", "held_out"):
        for task, metrics in event.get(split, {}).items():
            for name, value in metrics.items():
                yield f"{event['phase']}/{task}/{split}_{name}", value, event.get("done", 0)
