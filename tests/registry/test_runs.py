"""Runs, attempts, and the fence between them."""

import json
from typing import Any

import pytest

from registry import Conflict, Invalid, NotFound, Registry, RunExists


def test_a_run_starts_once(registry: Registry) -> None:
    run = registry.start_run("r1", {"seed": 3}, actor="ada")
    assert (run.id, run.status, run.attempt, run.config) == ("r1", "RUNNING", 1, {"seed": 3})
    assert (run.created_by, run.error_code, run.mlflow_run_id) == ("ada", "", "")
    with pytest.raises(RunExists, match="run 'r1' was started before"):
        registry.start_run("r1", {"seed": 4}, actor="bob")
    assert registry.run("r1") == run


def test_a_finished_run_says_how_it_ended(registry: Registry) -> None:
    registry.start_run("r1", {}, actor="ada")
    run = registry.finish_run("r1", attempt=1, status="FAILED", error_code="run_failed", mlflow_run_id="m1")
    assert (run.status, run.error_code, run.mlflow_run_id) == ("FAILED", "run_failed", "m1")
    assert run.updated_at >= run.created_at
    assert registry.finish_run("r1", attempt=1, status="FAILED") == run
    with pytest.raises(Conflict, match="already ended as FAILED, not SUCCEEDED"):
        registry.finish_run("r1", attempt=1, status="SUCCEEDED")


def test_a_resumed_run_fences_off_the_attempt_before(registry: Registry, publish: Any) -> None:
    registry.start_run("r1", {}, actor="ada")
    publish(run_id="r1", attempt=1)
    assert registry.resume_run("r1").attempt == 2
    with pytest.raises(Conflict, match="attempt 1 of run 'r1' is stale: the run is at attempt 2"):
        publish(run_id="r1", attempt=1)
    with pytest.raises(Conflict, match="stale"):
        registry.finish_run("r1", attempt=1, status="SUCCEEDED")
    assert publish(run_id="r1", attempt=2).run_id == "r1"
    assert [version.number for version in registry.versions("sentiment")] == [2, 1]
    assert registry.finish_run("r1", attempt=2, status="SUCCEEDED").status == "SUCCEEDED"


def test_an_attempt_that_goes_stale_during_the_upload_does_not_become_ready(
    registry: Registry, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.start_run("r1", {}, actor="ada")
    files = registry._store.files
    write = type(files).write

    def resume_meanwhile(*arguments: Any) -> None:
        registry.resume_run("r1")
        write(*arguments)

    monkeypatch.setattr(type(files), "write", resume_meanwhile)
    with pytest.raises(Conflict, match="stale"):
        publish(run_id="r1", attempt=1, idempotency_key="k", blob=b"1")
    monkeypatch.undo()
    assert registry.versions("sentiment")[0].state == "PENDING"
    done = publish(run_id="r1", attempt=2, idempotency_key="k", blob=b"1")
    assert (done.number, done.state) == (1, "READY")


def test_a_failed_run_may_be_resumed_and_a_succeeded_one_not(registry: Registry) -> None:
    registry.start_run("r1", {}, actor="ada")
    registry.finish_run("r1", attempt=1, status="INTERRUPTED")
    resumed = registry.resume_run("r1")
    assert (resumed.attempt, resumed.status) == (2, "RUNNING")
    registry.finish_run("r1", attempt=2, status="SUCCEEDED")
    with pytest.raises(Conflict, match="nothing to resume"):
        registry.resume_run("r1")


def test_an_unknown_run_is_not_found(registry: Registry, publish: Any) -> None:
    registry.start_run("nightly-1", {}, actor="ada")
    for act in (registry.run, registry.resume_run, lambda run_id: publish(run_id=run_id)):
        with pytest.raises(NotFound, match="unknown run 'nightly-2'") as caught:
            act("nightly-2")
        assert caught.value.hint == "did you mean nightly-1?"
    with pytest.raises(Invalid, match="attempt 1 of no run"):
        publish(attempt=1)
    assert registry.prompts() == []


def test_runs_are_listed_newest_first(registry: Registry) -> None:
    assert registry.runs() == []
    for name in ("b", "a", "c"):
        registry.start_run(name, {}, actor="ada")
    assert [run.id for run in registry.runs()] == ["c", "a", "b"]


def test_a_task_keeps_its_spec_until_it_is_replaced(registry: Registry) -> None:
    spec: dict[str, object] = {"kind": "pair", "labels": ["no", "yes"], "rows": {"train": "a.jsonl"}}
    first = registry.put_task("nli", spec, actor="ada")
    assert (first.name, first.spec, first.created_by) == ("nli", spec, "ada")
    assert registry.put_task("nli", spec, actor="bob") == first
    with pytest.raises(Conflict, match="task 'nli' exists with another spec"):
        registry.put_task("nli", {"kind": "pair"}, actor="bob")
    replaced = registry.put_task("nli", {"kind": "pair"}, actor="bob", replace=True)
    assert (replaced.spec, replaced.created_by, replaced.created_at) == ({"kind": "pair"}, "ada", first.created_at)
    assert replaced.updated_at > first.updated_at
    assert registry.task("nli") == replaced


def test_tasks_are_found_by_name(registry: Registry) -> None:
    for name in ("sst2", "nli"):
        registry.put_task(name, {"name": name}, actor="ada")
    assert [task.name for task in registry.tasks()] == ["nli", "sst2"]
    with pytest.raises(NotFound, match="unknown task 'sst-2'") as caught:
        registry.task("sst-2")
    assert caught.value.hint == "did you mean sst2?"
    for name, spec in (("Shouted", {}), ("nan", json.loads("[NaN]"))):
        with pytest.raises(Invalid):
            registry.put_task(name, {"value": spec}, actor="ada")
