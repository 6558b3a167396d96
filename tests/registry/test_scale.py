"""What is asked often looks rows up and reads through no table, so that it stays as fast with 100,000 versions."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from registry import Move, Parent, Registry
from registry.database import Database, connect
from registry.store import open_store

ADA: dict[str, Any] = {"actor": "ada"}
GROWING = ("prompt_version", "version_parent", "alias_event", "version_event", "blob")


@pytest.fixture
def plans(tmp_path: Path, sqlite_head: Path) -> Iterator[tuple[Registry, list[str]]]:
    """A registry, and how SQLite has found the rows of each question since."""
    path = tmp_path / "registry.db"
    path.write_bytes(sqlite_head.read_bytes())
    engine = connect(f"sqlite:///{path}")
    seen: list[str] = []

    def explain(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.split(" ")[0] in ("SELECT", "UPDATE", "DELETE", "INSERT"):
            cursor = connection.connection.cursor()
            seen.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    with closing(Registry(Database(engine), open_store(str(tmp_path / "store")))) as registry:
        first = registry.publish("a", b"0", {}, idempotency_key="0", **ADA)
        registry.publish("a", b"1", {}, idempotency_key="1", parents=[Parent(first.id, "init")], **ADA)
        registry.promote([Move("a:1")], **ADA)
        event.listen(engine, "before_cursor_execute", explain)
        yield registry, seen


QUESTIONS: dict[str, Callable[[Registry], object]] = {
    "resolve by alias": lambda registry: registry.resolve("a"),
    "resolve by number": lambda registry: registry.resolve("a:2"),
    "resolve by digest": lambda registry: registry.resolve("a@sha256:6b86b273"),
    "publish": lambda registry: registry.publish("a", b"2", {}, idempotency_key="2", after=2, **ADA),
    "promote": lambda registry: registry.promote([Move("a:2")], **ADA),
    "try": lambda registry: registry.promote([Move("a:2", percent=5)], **ADA),
    "archive": lambda registry: registry.retire(["a:2"], "archive", **ADA),
    "list prompts": lambda registry: registry.prompts(),
    "list some versions": lambda registry: registry.versions("a", retired=True, limit=5),
    "follow": lambda registry: registry.serving_state(registry.serving_state().head),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_nothing_that_is_asked_often_reads_through_a_table(plans: tuple[Registry, list[str]], question: str) -> None:
    registry, seen = plans
    QUESTIONS[question](registry)
    assert seen
    through = [line for line in seen if line.startswith("SCAN") and line.split()[1].strip('"') in GROWING]
    assert through == []


def test_a_plan_that_reads_through_a_table_is_seen(plans: tuple[Registry, list[str]]) -> None:
    registry, seen = plans
    registry.verify_history()
    assert any(line.startswith("SCAN alias_event") for line in seen)
