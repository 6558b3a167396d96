"""How a worker tells the driver what happened: through Ray Train, or without a cluster straight into a file."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import train
from ray.train import Checkpoint, UserCallback

from . import events
from .job import Job


class Report:
    """Every worker calls it at the same steps; only the first one's words count."""

    def __init__(self, job: Job, rank: int) -> None:
        self._file = Path(job.events)
        self._resume_from = job.resume_from
        self._local = job.spec.workers == 0
        self._rank = rank

    @contextmanager
    def resumed(self) -> Iterator[Path | None]:
        """The newest checkpoint: this attempt's, else the one that the run is resumed from."""
        checkpoint = train.get_checkpoint() or (Checkpoint(self._resume_from) if self._resume_from else None)
        if checkpoint is None:
            yield None
        else:
            with checkpoint.as_directory() as folder:
                yield Path(folder)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder to write a checkpoint into."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._file.parent, prefix=".checkpoint-") as folder:
            yield Path(folder)

    def send(self, new: Sequence[events.Event], folder: Path | None = None) -> None:
        """Report events, and the checkpoint in `folder` with them."""
        if self._local:
            self._keep(new, folder)
        else:
            checkpoint = Checkpoint.from_directory(str(folder)) if folder and self._rank == 0 else None
            train.report({"events": list(new) if self._rank == 0 else []}, checkpoint=checkpoint)

    def _keep(self, new: Sequence[events.Event], folder: Path | None) -> None:
        if folder is not None:
            done = len(list(self._file.parent.glob("checkpoint-*")))
            target = self._file.parent / f"checkpoint-{done:06d}"
            shutil.move(shutil.copytree(folder, folder.with_name(f".{target.name}")), target)
            new = [*new, {"checkpoint": str(target)}]
        events.append(self._file, new)


class Mirror(UserCallback):
    """Runs beside Ray's controller and writes what the first worker reports into the run's events file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def after_report(self, run_context: object, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None) -> None:
        """Append the first worker's events, and where Ray keeps the checkpoint."""
        del run_context
        kept = [{"checkpoint": checkpoint.path}] if checkpoint else []
        events.append(self._file, [*metrics[0].get("events", []), *kept])
