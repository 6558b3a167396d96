"""What every worker of a run does: read, train the control, train the method, judge, fold."""

import json
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ray import train
from torch import Tensor

import methods
from methods.checkpoint import load_checkpoint, save_checkpoint
from methods.continual import CONTINUAL
from methods.privacy.clipping import check_private
from methods.privacy.training import train_privately
from methods.runtime.activations import lowest_layer

from . import folding
from .clock import REPORT, SAVE, Clock
from .continual.session_work import SessionWork
from .data import Data
from .errors import OrchestratorError, RunFailed
from .job import Job
from .origins import start_from, teachers_from
from .reporting import Report

CONTROL, TEACHERS = "head-only", "teachers"  # phases beside the method's own


def work(config: Mapping[str, Any]) -> dict[str, Any]:
    """The function Ray Train runs in each worker; the first one's return value is the run's result.

    What would fail again is returned as `failed`, because Ray Train would try a raised error three times more.

    Raises:
        RunFailed: what nobody foresaw, by its kind and place alone: its text may quote a row, and Ray logs it.
    """
    job = Job.model_validate_json(config["job"])
    torch.set_num_threads(job.threads)
    context = train.get_context()
    try:
        if job.spec.method in CONTINUAL:
            return SessionWork(job, config["start"]).run()
        return Work(job, config["start"], config["teachers"], context.get_world_rank(), context.get_world_size()).run()
    except (methods.MethodError, OrchestratorError) as error:
        return {"failed": str(error), "hint": error.hint}
    except Exception as error:  # noqa: BLE001 - see Raises
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise RunFailed(f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}") from None


class Work:
    """One worker's share of a run."""

    def __init__(self, job: Job, start: Sequence[bytes], teachers: Sequence[bytes], rank: int, world: int) -> None:
        self.job, self.rank, self.world = job, rank, world
        self.backbone = methods.Backbone.load(
            job.backbone,
            "cuda" if torch.cuda.is_available() else "cpu",
            checkpointing=job.spec.gradient_checkpointing,
        )
        self.tasks = [one.resolved() for one in job.tasks]
        self.start = start_from(start, job.start, self.backbone)
        self.teachers = [one.to_bytes() for one in teachers_from(teachers, self.tasks, self.backbone)]
        self.data = Data(job, self.backbone, self.tasks, rank, world, self.start and self.start.form)
        self.report = Report(job, rank)

    def run(self) -> dict[str, Any]:
        """Train the control and the method, or go on where a checkpoint stopped; then fold."""
        wanted = self.job.spec.method
        with self.report.resumed() as checkpoint:
            results = json.loads((checkpoint / "results.json").read_text()) if checkpoint else {}
            learners = self._learners()
            if checkpoint and TEACHERS in results:
                self.teachers = [(checkpoint / f"teacher-{k}").read_bytes() for k in range(len(self.tasks))]
            for phase in [phase for phase in learners if phase not in results]:
                learner = learners[phase]
                if phase == wanted and learner.prompts.distillation:
                    known = [methods.Artifact.from_bytes(blob).to(self.backbone.device) for blob in self.teachers]
                    learner.learn_from([(one.form, one.head) for one in known if one.head], self.data.train)
                if list(learner.parameters()):  # a control whose heads are words or free text has none
                    self._train(phase, learner, checkpoint, results)
                checkpoint = None
                results[phase] = self._judge(learner, "held-out")
                self.report.send([{"phase": phase, "at": time.time(), "held_out": results[phase]}])
                if phase == TEACHERS:
                    self.teachers = [
                        folding.artifact(self.job, learner, k, {}).to_bytes() for k in range(len(self.tasks))
                    ]
        return {"results": results, "artifacts": self._folded(learners[wanted], results) if self.rank == 0 else {}}

    def _learners(self) -> dict[str, methods.Learner]:
        """What learns in each phase, in order; made at once, so that what is refused is refused before all training."""
        spec, seed = self.job.spec, self.job.spec.seed
        method = methods.method(spec.method, spec.hyperparameters)
        learner = methods.Learner.new(self.backbone, method, self.tasks, seed, self.start)
        if spec.cache_activations:
            lowest_layer(self.backbone, learner.prompts.forms())
        if self.job.dp:
            check_private(learner)
        phases = {CONTROL: methods.Learner.new(self.backbone, methods.method(CONTROL, {}), self.tasks, seed)}
        lesson = learner.prompts.distillation
        if lesson and not self.teachers:
            phases[TEACHERS] = methods.Learner.new(self.backbone, lesson.teacher, self.tasks, seed)
        return phases | {spec.method: learner}

    def _train(self, phase: str, learner: methods.Learner, checkpoint: Path | None, results: dict[str, Any]) -> None:
        spec = self.job.spec
        clock = Clock(self.job.checkpoint_s, self.rank)
        progress = methods.Progress(learner.optimizer(), wish=clock.wish)
        if checkpoint:
            load_checkpoint(checkpoint, learner, progress, self.job.facts())
        if spec.cache_activations:
            learner.remember(self.data.train)
        plan = methods.Plan(spec.epochs, spec.batch_size, spec.seed, self.rank, self.world)
        waiting: list[dict[str, Any]] = []
        for step in self._steps(learner, plan, progress):
            waiting.append(_event(phase, step, self.tasks))
            if step.last_of_epoch and phase == spec.method:
                judged = self._judge(learner, "validation")
                waiting.append({"phase": phase, "done": step.index, "at": time.time(), "validation": judged})
            if step.last_of_epoch or step.signal & SAVE:
                with self.report.workspace() as folder:
                    save_checkpoint(folder, learner, progress, self.job.facts())
                    (folder / "results.json").write_text(json.dumps(results))
                    for k, teacher in enumerate(self.teachers):
                        (folder / f"teacher-{k}").write_bytes(teacher)
                    self.report.send(waiting, folder)
                waiting = []
            elif step.signal & REPORT:
                self.report.send(waiting)
                waiting = []

    def _steps(
        self, learner: methods.Learner, plan: methods.Plan, progress: methods.Progress
    ) -> Iterator[methods.Step]:
        if self.job.dp:
            return train_privately(learner, self.data.train_rows, plan, progress, self.job.dp.noise)
        return methods.train(learner, self.data.train, plan, progress, self._sum)

    def _judge(self, learner: methods.Learner, split: str) -> dict[str, dict[str, float]]:
        """Every task's metrics on a split, over the rows of all workers."""
        found = {}
        for k, task in enumerate(self.tasks):
            rows, encoded = self.data.judged(k, split)
            artifact = folding.artifact(self.job, learner, k, {})
            sums = methods.totals(task, rows, methods.answers(self.backbone, artifact, rows, encoded))
            summed = self._sum(torch.tensor(list(sums.values()), dtype=torch.float64, device=self.backbone.device))
            found[task.name] = methods.means(dict(zip(sums, summed.tolist(), strict=True)))
        return found

    def _folded(self, learner: methods.Learner, results: dict[str, Any]) -> dict[str, Any]:
        return folding.folded(self.job, learner, results[learner.method.name], results[CONTROL])

    def _sum(self, values: Tensor) -> Tensor:
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values


def _event(phase: str, step: methods.Step, tasks: Sequence[methods.Task]) -> dict[str, Any]:
    return {
        "phase": phase,
        "at": time.time(),
        "step": step.index,
        "total": step.total,
        "rows": step.rows,
        "loss": step.loss if step.task_losses else None,  # of a private run nobody may know it
        "task_losses": {tasks[k].name: loss for k, loss in step.task_losses.items()},
        "parts": dict(step.parts) if len(step.parts) > 1 else {},
    }
