"""What a finished run leaves: the artifact of each task and of the shared prompt, with their cards."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import methods
from methods.stored import tensors

from .job import Job, TaskJob

Metrics = Mapping[str, Mapping[str, float]]  # by task


def folded(job: Job, learner: methods.Learner, reached: Metrics, control: Metrics) -> dict[str, Any]:
    """The bytes of every artifact, and what each task cost to train."""
    made: dict[str, Any] = {"tasks": {}, "shared": None}
    for k, one in enumerate(job.tasks):
        task = one.resolved()
        metrics = dict(reached[task.name]) | {f"control_{key}": value for key, value in control[task.name].items()}
        whole = artifact(job, learner, k, metrics)
        head = 0 if whole.head is None else sum(tensor.numel() for tensor in tensors(whole.head).values())
        made["tasks"][task.name] = {
            "blob": whole.to_bytes(),
            "metric": methods.main_metric(task),
            "parameters": learner.parameters_per_task() + head,
            "bytes": whole.nbytes,
        }
    shared = methods.detached(learner.prompts.shared())
    if shared is not None and job.shared:
        card = _card(job, learner, job.shared, None, job.tasks, {})
        made["shared"] = methods.Artifact(card, shared, factors=learner.prompts.shared_factors()).to_bytes()
    return made


def artifact(job: Job, learner: methods.Learner, k: int, metrics: Mapping[str, float]) -> methods.Artifact:
    """Task k's form, head and factors as they are now."""
    task = job.tasks[k].resolved()
    card = _card(job, learner, task.name, task, job.tasks[k : k + 1], metrics)
    return methods.Artifact(card, *learner.fold(k), learner.prompts.factors(k))


def _card(
    job: Job,
    learner: methods.Learner,
    name: str,
    task: methods.Task | None,
    of: tuple[TaskJob, ...],
    metrics: Mapping[str, float],
) -> methods.Card:
    spec = job.spec
    few = {"shots": spec.shots} if spec.shots else {}
    private = {"dp": job.dp.model_dump(mode="json")} if job.dp else {}
    return methods.Card(
        name=name,
        task=task,
        method=learner.method.name,
        hyperparameters=dict(vars(learner.method)),
        backbone=learner.backbone.fingerprint,
        metrics=metrics,
        data={one.task.name: {"rows": one.rows, "sha256": one.digests} | few for one in of},
        training={
            "tasks": list(spec.tasks),
            "epochs": spec.epochs,
            "batch_size": spec.batch_size,
            "seed": spec.seed,
            "start": job.start,
            "teachers": job.teachers,
        }
        | private,
        package_version=version("promptctl"),
    )
