"""Gate reports, approvals and the audit: kept for good, checked again as an alias moves, and chained."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError as RawRefused
from sqlalchemy.orm import Session

import registry as package
from registry import Clearance, Conflict, IntegrityError, Move, Refused, Registry, Version
from registry.database import connect
from registry.review.reports import Findings, GateReport
from registry.review.verification import verify
from registry.revisions import exclusive
from registry.tokens import Tokens

NUMBERS = {"floor": {"passed": True, "limit": 0.8, "numbers": {"accuracy": 0.85, "rows": 40}}}
Report = Callable[..., GateReport]


@pytest.fixture
def raw(database: str) -> Iterator[Engine]:
    """A connection that knows nothing of the registry's own code."""
    engine = connect(database)
    yield engine
    engine.dispose()


@pytest.fixture
def two(publish: Callable[..., Version]) -> tuple[Version, Version]:
    """Ada's first two versions of sentiment."""
    return publish(), publish()


@pytest.fixture
def report(registry: Registry) -> Report:
    """Keep a report of a version for production, by policy `p`."""

    def report(version: Version, baseline: int | None = None, *, passed: bool = True, alias: str = "production") -> Any:
        return registry.reviews.record(Findings(version, alias, "p", baseline, passed, NUMBERS), actor="ci")

    return report


def move(version: Version, **clearance: Any) -> Move:
    return Move(version.reference, clearance=Clearance(**{"policy": "p", "baseline": None} | clearance))


def test_a_report_is_kept_whether_it_passed_or_not(
    registry: Registry, two: tuple[Version, Version], report: Report
) -> None:
    first, second = two
    kept = [report(first), report(first, 2, passed=False)]
    assert registry.reviews.reports(first) == kept[::-1]
    assert (kept[0].details, kept[0].actor, kept[0].baseline, kept[1].passed) == (NUMBERS, "ci", None, False)
    assert registry.reviews.reports(second) == []


def test_a_move_names_the_report_that_it_was_made_by(
    registry: Registry, two: tuple[Version, Version], report: Report
) -> None:
    (event,) = registry.promote([move(two[0], report=report(two[0]).hash)], actor="ada")
    assert event.report == registry.reviews.reports(two[0])[0].hash
    assert not event.forced
    bad = report(two[1], 1, passed=False)
    (forced,) = registry.promote([move(two[1], baseline=1, report=bad.hash, forced=True)], actor="bob", reason="urgent")
    assert (forced.forced, forced.report, forced.reason) == (True, bad.hash, "urgent")
    assert registry.aliases("sentiment") == [forced]
    newest = next(entry for entry in registry.reviews.audit(9) if entry.forced)
    assert (newest.actor, newest.action, newest.object, newest.outcome) == (
        *("bob", "set", "sentiment@production", "1 -> 2"),
    )
    assert registry.verify_history() == 2


def test_a_report_of_another_move_lets_nothing_through(
    registry: Registry, two: tuple[Version, Version], report: Report
) -> None:
    first, second = two
    kept = report(second).hash
    reports = ("none", report(first).hash, report(second, passed=False).hash, report(second, alias="staging").hash)
    wrong = [move(second, report=hash) for hash in reports]
    for one in (*wrong, move(second, policy="other", report=kept)):
        with pytest.raises(Conflict, match="not one by which sentiment:2 may go"):
            registry.promote([one], actor="ada")
    with pytest.raises(Conflict, match="named sentiment:1 when the gates ran and names nothing"):
        registry.promote([move(second, baseline=1, report=kept)], actor="ada")
    assert (registry.epoch(), registry.history("sentiment")) == (0, [])
    registry.promote([move(second, report=kept)], actor="ada")


def test_of_two_who_were_let_through_against_the_same_version_one_moves(
    registry: Registry, two: tuple[Version, Version], report: Report
) -> None:
    moves = [move(version, report=report(version).hash) for version in two]
    registry.promote(moves[:1], actor="ada")
    with pytest.raises(Conflict, match="named nothing when the gates ran and names sentiment:1: somebody moved it"):
        registry.promote(moves[1:], actor="bob")
    assert registry.resolve("sentiment").number == 1


def test_a_protected_alias_takes_enough_people_other_than_the_author(
    registry: Registry, two: tuple[Version, Version]
) -> None:
    protected = move(two[0], approvals=2)
    with pytest.raises(
        Refused, match=r"0 of 2 approvals for sentiment@production: 2 missing; its author ada"
    ) as caught:
        registry.promote([protected], actor="ada")
    assert caught.value.hint == "promptctl approve sentiment:1 --to production"
    with pytest.raises(Refused, match="ada's own version"):
        registry.reviews.approve(two[0], "production", approver="ada")
    first = registry.reviews.approve(two[0], "production", approver="bob", reason="looked")
    assert registry.reviews.approve(two[0], "production", approver="bob", reason="again") == first
    registry.reviews.approve(two[0], "staging", approver="carol")
    registry.reviews.approve(two[1], "production", approver="carol")
    with pytest.raises(Refused, match="1 of 2 approvals"):
        registry.promote([protected], actor="ada")
    registry.reviews.approve(two[0], "production", approver="carol")
    registry.promote([protected], actor="ada")
    assert registry.resolve("sentiment").number == 1
    assert [one.approver for one in registry.reviews.approvals(two[0])] == ["carol", "carol", "bob"]
    assert len(registry.reviews.approvals()) == 4


def test_where_approvers_are_named_nobody_else_counts(registry: Registry, two: tuple[Version, Version]) -> None:
    protected = move(two[0], approvals=1, approvers=("ada", "carol", "dan"))
    registry.reviews.approve(two[0], "production", approver="bob")
    with pytest.raises(Refused, match="0 of 1 approvals for sentiment@production: 1 missing of carol, dan;"):
        registry.promote([protected], actor="ada")
    registry.reviews.approve(two[0], "production", approver="dan")
    registry.promote([protected], actor="ada")


def test_what_is_refused_in_one_move_stops_all_of_them(registry: Registry, publish: Callable[..., Version]) -> None:
    first, other = publish(), publish("topic")
    with pytest.raises(Refused):
        registry.promote([Move(first.reference), move(other, approvals=1)], actor="ada")
    assert (registry.epoch(), registry.aliases()) == (0, [])


@pytest.fixture
def reviewed(registry: Registry, two: tuple[Version, Version], report: Report, database: str) -> Registry:
    """A report, an approval, a move by both, and two tokens, one of them revoked: one move and five lines."""
    kept = report(two[0])
    registry.reviews.approve(two[0], "production", approver="bob")
    registry.promote([move(two[0], report=kept.hash, approvals=1)], actor="ada")
    tokens = Tokens.open(database)
    for name in ("ci", "laptop"):
        tokens.create(name, "viewer", actor="ada")
    tokens.revoke("ci", actor="bob")
    tokens.close()
    return registry


def test_the_audit_says_who_did_what_newest_first(reviewed: Registry) -> None:
    said = [(entry.actor, entry.action, entry.object) for entry in reviewed.reviews.audit(100)]
    assert said == [
        ("bob", "token revoke", "ci"),
        ("ada", "token create", "laptop"),
        ("ada", "token create", "ci"),
        ("ada", "set", "sentiment@production"),
        ("bob", "approve", "sentiment:1 for production"),
        ("ci", "gate", "sentiment:1 for production"),
    ]
    assert [entry.object for entry in reviewed.reviews.audit(2)] == ["ci", "laptop"]
    verified = reviewed.reviews.verify()
    assert (verified.moves, verified.lines) == (1, 5)


DAMAGES = (
    ("UPDATE gate_report SET passed = NOT passed", "line 1 of the ledger wrote down"),
    ("UPDATE gate_report SET hash = 'x'", "the gate report of event 1 is not there"),
    ("UPDATE gate_report SET details = '{\"floor\": {}}'", "line 1 of the ledger wrote down"),
    ("DELETE FROM gate_report", "the gate report of event 1 is not there"),
    ("UPDATE approval SET approver = 'carol'", "line 2 of the ledger wrote down"),
    ("DELETE FROM approval", "line 2 of the ledger wrote down"),
    (
        "INSERT INTO approval (prompt_id, number, alias, approver, reason, at) "
        "SELECT prompt_id, number, alias, 'eve', reason, at FROM approval",
        "the approval of sentiment:1 for production by eve is not what the ledger wrote down",
    ),
    ("UPDATE api_token SET role = 'admin' WHERE name = 'laptop'", "line 4 of the ledger"),
    ("DELETE FROM api_token WHERE name = 'laptop'", "line 4 of the ledger"),
    ("UPDATE api_token SET revoked_at = NULL", "line 5 of the ledger"),
    (
        "INSERT INTO api_token SELECT 'eve', 'admin', 'x', created_by, created_at, NULL, NULL FROM api_token "
        "WHERE name = 'laptop'",
        "the token eve is not what the ledger wrote down",
    ),
    ("UPDATE ledger SET actor = 'eve' WHERE id = 3", r"broken at line 3 \(token create of ci\)"),
    ("DELETE FROM ledger WHERE id = 2", "broken at line 3"),
    ("DELETE FROM ledger WHERE id = 5", "cut off after 4 lines"),
    ("UPDATE alias_event SET forced = NOT forced", "broken at event 1"),
    ("UPDATE alias_event SET report = NULL", "broken at event 1"),
    ("UPDATE alias SET number = 2", "sentiment@production is not where its history left it"),
)
TABLES = ("gate_report", "approval", "ledger", "api_token", "alias_event", "alias")


def test_one_edited_row_is_found(reviewed: Registry, raw: Engine) -> None:
    for damage, found in DAMAGES:
        table = next(word for word in damage.split() if word in TABLES)
        with raw.connect() as connection, connection.begin() as transaction:
            if raw.dialect.name == "postgresql":
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            else:
                for trigger in ("frozen_update", "frozen_delete", "closed"):
                    connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_{trigger}"))
            connection.execute(text(damage))
            with Session(connection) as session, pytest.raises(IntegrityError, match=found):
                verify(session)
            transaction.rollback()
    assert reviewed.reviews.verify().lines == 5


@pytest.mark.usefixtures("reviewed")
def test_the_database_itself_keeps_every_row(raw: Engine) -> None:
    replace = "INSERT OR REPLACE INTO {0} SELECT * FROM {0}" if raw.dialect.name == "sqlite" else "TRUNCATE {0} CASCADE"
    each = ("UPDATE {0} SET at = at", "DELETE FROM {0}", replace)
    statements = [one.format(table) for one in each for table in ("gate_report", "approval", "ledger")]
    for statement in statements:
        with pytest.raises(RawRefused, match="append-only"), raw.begin() as connection:
            connection.execute(text(statement))


def test_tokens_and_moves_from_before_the_ledger_are_in_it_after_the_upgrade(empty_database: str, store: str) -> None:
    with exclusive(empty_database) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(files("migrations")))
        command.upgrade(config, "0004")
    engine = connect(empty_database)
    at = datetime(2026, 5, 1, 12, 30, 0, 250000, tzinfo=UTC)
    given = at if engine.dialect.name == "postgresql" else "2026-05-01 12:30:00.250000"
    with engine.begin() as connection:
        for name, revoked in (("ci", given), ("laptop", None)):
            connection.execute(
                text("INSERT INTO api_token VALUES (:name, 'viewer', :name, 'ada', :at, NULL, :revoked)"),
                {"name": name, "at": given, "revoked": revoked},
            )
    engine.dispose()
    package.upgrade(empty_database)
    registry = Registry.open(empty_database, store)
    assert registry.reviews.verify().lines == 3
    assert {(entry.action, entry.object, entry.at) for entry in registry.reviews.audit(9)} == {
        ("token create", "ci", at),
        ("token revoke", "ci", at),
        ("token create", "laptop", at),
    }
    registry.close()
