"""The drawing of what a prompt remembers, beside the run that trained it in MLflow."""

from collections.abc import Sequence
from pathlib import Path

from registry import Registry

from ..settings import Settings
from ..tracking import client_of

FOLDER = "continual"  # among the artifacts of a run


def mlflow_run(registry: Registry, reference: str) -> str:
    """MLflow's id of the run that trained a version; empty where MLflow never heard of it."""
    run_id = registry.resolve(reference).run_id
    return registry.run(run_id).mlflow_run_id if run_id else ""


def keep(settings: Settings, mlflow_run_id: str, files: Sequence[Path]) -> str:
    """Put the files to that run; what came of it, for people to read."""
    if not mlflow_run_id:
        return "MLflow knows no run of it, and keeps no drawing"
    try:
        client = client_of(settings)
        for file in files:
            client.log_artifact(mlflow_run_id, str(file), FOLDER)
    except Exception as error:  # noqa: BLE001 - whatever befalls MLflow, the report is there
        return f"MLflow did not take the drawing ({type(error).__name__})"
    return f"also in MLflow, run {mlflow_run_id}"
