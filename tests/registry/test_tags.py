"""Tags: they change while versions do not, each change is kept, and prompts are found by them."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import combinations
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError as Refused

import registry as package
from registry import Invalid, Move, NotFound, Registry
from registry.database import connect
from registry.models import PromptRow
from registry.revisions import exclusive
from registry.tagging.search import Search, chosen
from registry.tagging.tags import TagEvent


@pytest.fixture
def raw(database: str) -> Iterator[Engine]:
    engine = connect(database)
    yield engine
    engine.dispose()


def card(method: str, task: str | None = None, kind: str = "classification") -> dict[str, object]:
    return {"method": method, "task": task and {"name": task, "kind": kind}}


@pytest.fixture
def filled(registry: Registry) -> Registry:
    """Four prompts; sentiment has two versions, by different methods."""
    for name, said in (
        ("sentiment", card("mpt", "sentiment")),
        ("sentiment", card("coda", "sentiment")),
        ("qa-short", card("mpt", "qa", "span-qa")),
        ("qa_long", card("prefix-tuning", "qa", "span-qa")),
        ("shared/default", card("mpt")),
    ):
        key = f"{name}{said}"
        registry.publish(name, key.encode(), said, idempotency_key=key, actor="ada")
    registry.promote([Move("sentiment:1"), Move("sentiment:2", "staging"), Move("qa-short:1")], actor="ada")
    registry.tags.set("sentiment:1", {"team": "search", "tier": "1"}, actor="ada")
    registry.tags.set("sentiment:2", {"team": "ads"}, actor="ada")
    registry.tags.set("qa_long:1", {"team": "search"}, actor="ada")
    return registry


def found(registry: Registry, **given: Any) -> list[str]:
    return [prompt.name for prompt in registry.find(Search(**given))]


def test_a_tag_is_set_changed_and_taken_away_and_each_change_is_kept(registry: Registry, publish: Any) -> None:
    version = publish()
    tags = registry.tags
    tags.set("sentiment:1", {"team": "search", "tier": "1"}, actor="ada")
    tags.set("sentiment:1", {"team": "ads", "tier": "1"}, actor="bob")  # the second is so already
    tags.set("sentiment:1", {"team": None, "none": None}, actor="eve")
    assert tags.of("sentiment:1") == {"tier": "1"}
    events = tags.history("sentiment:1")
    assert [(event.key, event.old, event.new, event.actor) for event in events] == [
        ("team", "ads", None, "eve"),
        ("team", "search", "ads", "bob"),
        ("tier", None, "1", "ada"),
        ("team", None, "search", "ada"),
    ]
    assert all(event.reference == "sentiment:1" and event.at <= datetime.now(UTC) for event in events)
    assert registry.resolve("sentiment:1") == version  # of which they are no part


def test_a_dry_run_says_what_would_change(registry: Registry, publish: Any) -> None:
    publish()
    (event,) = registry.tags.set("sentiment:1", {"team": "search"}, actor="ada", dry_run=True)
    assert (event.key, event.new, registry.tags.of("sentiment:1")) == ("team", "search", {})


@pytest.mark.parametrize(
    ("key", "value"), [("Team", "x"), ("", "x"), ("a" * 64, "x"), ("a=b", "x"), ("team", ""), ("team", "a\nb"),
                       ("team", "\x1b[31m"), ("team", "x" * 256)]
)  # fmt: skip
def test_what_is_no_tag_is_refused_whole(registry: Registry, publish: Any, key: str, value: str) -> None:
    publish()
    with pytest.raises(Invalid, match=r"is no tag|no value for the tag"):
        registry.tags.set("sentiment:1", {"tier": "1", key: value}, actor="ada")
    assert registry.tags.history("sentiment:1") == []
    with pytest.raises(NotFound):
        registry.tags.set("sentiment:9", {"tier": "1"}, actor="ada")


def test_the_database_itself_keeps_the_changes_and_the_facets(filled: Registry, raw: Engine) -> None:
    for statement, reason in (
        ("UPDATE tag_event SET actor = 'eve'", "append-only"),
        ("DELETE FROM tag_event", "append-only"),
        ("UPDATE version_facet SET value = 'x'", "immutable"),
        ("DELETE FROM version_facet", "immutable"),
    ):
        with pytest.raises(Refused, match=reason), raw.begin() as connection:
            connection.execute(text(statement))


CASES: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({}, ["qa-short", "qa_long", "sentiment", "shared/default"]),
    ({"name": "qa*"}, ["qa-short", "qa_long"]),
    ({"name": "qa_*"}, ["qa_long"]),  # an underscore is itself
    ({"name": "qa?short"}, ["qa-short"]),
    ({"name": "%"}, []),
    ({"task": "qa"}, ["qa-short", "qa_long"]),
    ({"kind": "span-qa"}, ["qa-short", "qa_long"]),
    ({"kind": "shared"}, ["shared/default"]),
    ({"method": "mpt"}, ["qa-short", "sentiment", "shared/default"]),
    ({"method": "coda"}, ["sentiment"]),
    ({"tags": (("team", "search"),)}, ["qa_long", "sentiment"]),
    ({"tags": (("team", "search"), ("tier", "1"))}, ["sentiment"]),
    ({"tags": (("team", "ads"), ("tier", "1"))}, []),  # each of another version
    ({"alias": "production"}, ["qa-short", "sentiment"]),
    ({"alias": "staging", "method": "coda"}, ["sentiment"]),
    ({"alias": "staging", "method": "mpt"}, []),
    ({"alias": "production", "tags": (("team", "search"),)}, ["sentiment"]),
    ({"method": "mpt", "limit": 2}, ["qa-short", "sentiment"]),
    ({"name": "sent*", "task": "sentiment", "kind": "classification", "alias": "production"}, ["sentiment"]),
)


def test_prompts_are_found_by_one_version_that_fits_it_all(filled: Registry) -> None:
    order = {prompt.name: place for place, prompt in enumerate(filled.prompts())}
    for given, names in CASES:
        assert found(filled, **given) == sorted(names, key=order.__getitem__), given


def test_prompts_are_found_by_when_a_version_was_published(filled: Registry) -> None:
    made = filled.resolve("sentiment:2").created_at
    assert "sentiment" in found(filled, since=made)
    assert "sentiment" not in found(filled, since=made, method="mpt")
    assert found(filled, since=datetime.now(UTC) + timedelta(hours=1)) == []


def test_what_is_found_is_what_is_listed(filled: Registry) -> None:
    assert filled.find(Search()) == filled.prompts()


def test_a_version_that_is_not_ready_is_not_found(registry: Registry, raw: Engine, publish: Any) -> None:
    publish()
    with raw.begin() as connection:
        columns = "prompt_id, digest, size, card, created_by, created_at, message"
        insert = f"INSERT INTO prompt_version (number, state, idempotency_key, {columns}) "
        said = text(insert + f"SELECT 2, 'PENDING', 'k', {columns} FROM prompt_version WHERE number = 1")
        connection.execute(said)
        connection.execute(text('UPDATE prompt_version SET card = \'{"method": "late"}\' WHERE number = 2'))
    assert (found(registry, method="late"), registry.find(Search())[0].latest) == ([], 1)
    with raw.begin() as connection:
        connection.execute(text("UPDATE prompt_version SET state = 'READY' WHERE number = 2"))
    assert (found(registry, method="late"), registry.find(Search())[0].latest) == (["sentiment"], 2)


def test_the_database_does_the_choosing_with_indexes(filled: Registry, raw: Engine) -> None:
    """No table of versions, facets or tags is read from one end to the other for two filters at once."""
    postgresql = raw.dialect.name == "postgresql"
    whole = re.compile(r"Seq Scan on (?!(prompt|alias)\b)" if postgresql else r"SCAN (?!(prompt|alias)\b)")
    given: dict[str, Any] = {"method": "mpt", "tags": (("team", "search"),), "alias": "production", "task": "qa"}
    with raw.connect() as connection:
        if postgresql:
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # it prefers that for so few rows
        for several in combinations(given.items(), 2):
            query = chosen(Search(**dict(several)), PromptRow.id)
            compiled = query.compile(dialect=raw.dialect, compile_kwargs={"literal_binds": True})
            said = "EXPLAIN" if postgresql else "EXPLAIN QUERY PLAN"
            plan = [str(row[-1]) for row in connection.exec_driver_sql(f"{said} {compiled}")]
            assert not any(map(whole.search, plan)), (several, plan)


def test_an_event_says_which_version(filled: Registry) -> None:
    assert isinstance(filled.tags.history("sentiment:2")[0], TagEvent)
    assert [event.new for event in filled.tags.history("sentiment@staging")] == ["ads"]


def test_versions_from_before_there_was_a_search_are_found(empty_database: str, store: str) -> None:
    with exclusive(empty_database) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(files("migrations")))
        command.upgrade(config, "0004")
        columns = "prompt_id, number, state, digest, size, card, idempotency_key, created_by, created_at, message"
        made = {
            "at": datetime(2026, 5, 1, tzinfo=UTC) if "postgresql" in empty_database else "2026-05-01 00:00:00.000000"
        }
        row = "INSERT INTO prompt (id, name, next_number, created_by, created_at) VALUES (7, 'old', 3, 'ada', :at)"
        connection.execute(text(row), made)
        for number, state, said in ((1, "READY", card("mpt", "qa", "span-qa")), (2, "PENDING", card("coda"))):
            values = f"7, {number}, '{state}', 'd', 1, :card, '{number}', 'ada', :at, ''"
            insert = text(f"INSERT INTO prompt_version ({columns}) VALUES ({values})")
            connection.execute(insert, made | {"card": json.dumps(said)})
    package.upgrade(empty_database)
    with closing(Registry.open(empty_database, store)) as registry:
        assert found(registry, method="mpt", task="qa", kind="span-qa") == ["old"]
        assert found(registry, method="coda") == []
        since = datetime(2026, 5, 1, tzinfo=UTC)
        assert (found(registry, since=since), found(registry, since=since + timedelta(seconds=1))) == (["old"], [])
