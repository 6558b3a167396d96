"""Promotions by policies: refused with numbers, forced with reasons, approved by others, and all of it in the audit."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from methods import Backbone
from orchestrator.promotion.promotion import Wish, promote
from orchestrator.settings import Settings
from registry import Conflict, Move, Registry
from tests.promoted import always, task

Run = Callable[..., Result]

FLOOR = '[[policy]]\nprompt = "mood"\nalias = "production"\ngates.floor = { at_least = 0.7 }\n'
SIZE = (
    '[[policy]]\nprompt = "sentiment"\ngates.size = { bytes = 1 }\n'  # versions of the registry fixture have one byte
)
PROTECTED = '[[policy]]\nprompt = "sentiment"\nalias = "production"\napprovals = 2\n'


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers there, and the one who acts is ada."""
    monkeypatch.setattr("orchestrator.announcing.TIMEOUT", 0.001)
    monkeypatch.setenv("PROMPTCTL_ACTOR", "ada")


@pytest.fixture
def mood(registry: Registry, tmp_path: Path, tiny_folder: Path) -> Registry:
    """`mood:1` is right about 30 of 40 held-out rows, `mood:2` about 10; in production is the first."""
    rows = [{"text": "good", "label": "good"}] * 30 + [{"text": "bad", "label": "bad"}] * 10
    task(registry, tmp_path, "mood", rows)
    backbone = Backbone.load(str(tiny_folder))
    for answer in ("good", "bad"):
        always(registry, backbone, "mood", answer, ("bad", "good"))
    registry.promote([Move("mood:1")], actor="ada")
    return registry


def written(text: str, name: str = "policy.toml") -> None:
    Path(name).write_text(text)


def content(home: Path) -> str:
    with closing(sqlite3.connect(home / "registry.db")) as connection:
        return "\n".join(connection.iterdump())


def test_a_worse_version_is_refused_with_numbers_forced_with_a_reason_and_found_in_the_audit(
    run: Run, mood: Registry
) -> None:
    written(FLOOR + "gates.regression = { margin = 0.05 }\n", "promptctl.toml")
    refused = run("promote", "mood:2")
    assert (refused.exit_code, refused.stdout) == (6, "")
    error = refused.stderr[refused.stderr.index("error:") :]
    assert "mood:2 may not go to mood@production: floor: accuracy 0.250 on 40 held-out rows is under 0.7" in error
    assert "regression: accuracy 0.250 against 0.750 on 40 held-out rows: -0.500 (95% " in error
    assert (
        "  promptctl prompt diff mood:1 mood:2\n  promptctl prompt gates mood:2\n  promptctl promote mood:2 --force"
        in error
    )
    assert mood.resolve("mood").number == 1
    forced = run("promote", "mood:2", "--force", "--reason", "the labels were wrong")
    assert (forced.exit_code, forced.stdout) == (0, "mood\tproduction\t1\t2\n")
    assert "forced by --force" in forced.stderr
    lines = [line.split("\t") for line in run("audit", "list").stdout.splitlines()]
    assert [line[1:] for line in lines] == [
        ["ada", "set", "mood@production", "1 -> 2", "yes", "the labels were wrong"],
        ["ada", "gate", "mood:2 for production", "refused", "no", ""],
        ["ada", "gate", "mood:2 for production", "refused", "no", ""],
        ["ada", "set", "mood@production", "nothing -> 1", "no", ""],
    ]
    (step, _) = json.loads(run("alias", "history", "mood", "-o", "json").stdout)["events"]
    assert [line.split("\t")[7] for line in run("prompt", "log", "mood").stdout.splitlines()] == ["yes", "no"]
    reports = json.loads(run("prompt", "gates", "mood:2", "-o", "json").stdout)["reports"]
    assert (step["forced"], step["report"]) == (True, reports[0]["hash"])
    assert reports[0]["details"]["floor"] == {
        "passed": False,
        "limit": 0.7,
        "numbers": {"accuracy": 0.25, "rows": 40.0},
    }
    assert (reports[0]["baseline"], reports[0]["passed"]) == (1, False)
    floor = run("prompt", "gates", "mood:2").stdout.splitlines()[0].split("\t")
    assert floor[1:] == ["production", "1", "floor", "no", "0.7", "accuracy 0.25, rows 40"]
    verified = json.loads(run("audit", "verify", "-o", "json").stdout)["verified"]
    assert (verified["moves"], verified["lines"]) == (2, 2)


def test_what_passes_moves_and_says_so(run: Run, mood: Registry) -> None:
    written(FLOOR)
    mood.promote([Move("mood:2")], actor="ada")
    moved = run("promote", "mood:1", "-o", "json")
    assert moved.exit_code == 0
    assert moved.stderr == "mood:1 passes floor: accuracy 0.750 on 40 held-out rows is at least 0.7\n"
    (event,) = json.loads(moved.stdout)["moves"]
    assert (event["report"], event["forced"]) == (mood.reviews.reports(mood.resolve("mood:1"))[0].hash, False)


@pytest.mark.parametrize("version", ["mood:1", "mood:2"])
def test_a_dry_run_judges_and_writes_nothing(run: Run, mood: Registry, home: Path, version: str) -> None:
    written(FLOOR)
    mood.promote([Move("mood:2" if version == "mood:1" else "mood:1")], actor="ada")
    before = content(home)
    planned = run("promote", version, "--dry-run")
    assert content(home) == before
    done = run("promote", version)
    assert planned.exit_code == done.exit_code == (0 if version == "mood:1" else 6)
    assert planned.stdout == done.stdout
    assert " floor: accuracy " in planned.stderr


def test_a_candidate_passes_the_gates_and_a_shadow_an_end_and_a_rollback_pass_none(run: Run, mood: Registry) -> None:
    written(FLOOR)
    assert run("promote", "mood:2", "--percent", "10").exit_code == 6
    for arguments in (("--shadow",), ("--percent", "0")):
        assert run("promote", "mood:2", *arguments).exit_code == 0
    assert mood.reviews.reports(mood.resolve("mood:2"))[0].passed is False
    assert run("promote", "mood:2", "--force", "--reason", "r").exit_code == 0
    assert run("rollback", "mood").exit_code == 0
    assert run("promote", "mood:1").stderr == ""  # it is so already
    assert mood.resolve("mood").number == 1


def test_without_a_policy_about_an_alias_nothing_is_judged(run: Run, mood: Registry) -> None:
    written(FLOOR)
    assert run("promote", "mood:2", "--to", "staging").stderr == ""
    assert run("promote", "mood:2", "--force", "--reason", "r").exit_code == 0
    Path("policy.toml").unlink()
    moved = run("promote", "mood:1")
    assert moved.exit_code == 0
    assert moved.stderr.startswith("mood@production moved by gates before, and no policy here is about it")


def test_several_move_together_or_none(run: Run, mood: Registry) -> None:
    written(FLOOR + SIZE)
    refused = run("promote", "mood:2", "sentiment:1")
    assert refused.exit_code == 6
    assert "sentiment:1 passes size: 1 bytes are no more than 1" in refused.stderr
    assert [(event.name, event.new) for event in mood.aliases()] == [("mood", 1)]


def test_a_run_is_promoted_whole_or_not_at_all(run: Run, registry: Registry) -> None:
    for name in ("sentiment", "topic"):
        started = registry.start_run("r1", {}, actor="ada") if name == "sentiment" else registry.run("r1")
        registry.publish(name, b"run", {}, idempotency_key="r1", actor="ada", run_id="r1", attempt=started.attempt)
    unfinished = run("promote", "--run", "r1")
    assert (unfinished.exit_code, "run r1 is RUNNING" in unfinished.stderr) == (5, True)
    registry.finish_run("r1", attempt=1, status="SUCCEEDED")
    written('[[policy]]\nprompt = "topic"\ngates.size = { bytes = 2 }\n')
    assert run("promote", "--run", "r1").exit_code == 6
    assert (registry.aliases(), registry.epoch()) == ([], 0)
    written('[[policy]]\nprompt = "topic"\ngates.size = { bytes = 3 }\n')
    assert run("promote", "--run", "r1").stdout == "sentiment\tproduction\t\t4\ntopic\tproduction\t\t1\n"
    assert registry.epoch() == 1
    assert run("promote", "--run", "gone").exit_code == 3
    assert run("promote").exit_code == run("promote", "sentiment:1", "--run", "r1").exit_code == 2


def test_a_protected_alias_says_how_many_approvals_are_missing(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(PROTECTED)
    missing = run("promote", "sentiment:2")
    assert missing.exit_code == 6
    assert "0 of 2 approvals for sentiment@production: 2 missing" in missing.stderr
    assert "promptctl approve sentiment:2 --to production" in missing.stderr
    assert run("approve", "sentiment:2").exit_code == 6  # her own
    for name in ("bob", "carol"):
        assert run("promote", "sentiment:2", "--force", "--reason", "r").exit_code == 6  # no force replaces people
        monkeypatch.setenv("PROMPTCTL_ACTOR", name)
        assert run("approve", "sentiment:2", "--reason", "looked").exit_code == 0
    assert run("promote", "sentiment:2", "--dry-run").exit_code == run("promote", "sentiment:2").exit_code == 0
    said = [line.split("\t")[:3] for line in run("prompt", "approvals", "sentiment:2").stdout.splitlines()]
    assert said == [["sentiment:2", "production", "carol"], ["sentiment:2", "production", "bob"]]
    assert run("prompt", "approvals", "-o", "name").stdout == "carol\nbob\n"


def test_forcing_takes_a_reason_and_of_a_tokens_holder_the_role(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    written('[[policy]]\nprompt = "sentiment"\ngates.data = { rows = 1 }\n')
    silent = run("promote", "sentiment:2", "--force")
    assert (silent.exit_code, "--force needs a reason" in silent.stderr) == (2, True)
    secrets = {role: run("token", "create", role, "--role", role).stdout.strip() for role in ("trainer", "promoter")}
    for secret, said in ((secrets["trainer"], "token 'trainer' is a trainer's"), ("pc_unknown", "not one of this")):
        monkeypatch.setenv("PROMPTCTL_TOKEN", secret)
        for command in (("promote", "sentiment:2", "--force", "--reason", "r"), ("approve", "sentiment:2")):
            refused = run(*command)
            assert (refused.exit_code, said in refused.stderr, registry.epoch()) == (4, True, 0)
    monkeypatch.setenv("PROMPTCTL_TOKEN", secrets["promoter"])
    assert run("promote", "sentiment:2", "--force", "--reason", "r").exit_code == 0
    assert registry.aliases()[0].actor == "promoter"
    run("token", "revoke", "promoter")
    assert run("promote", "sentiment:1", "--force", "--reason", "r").exit_code == 4


def test_of_two_promoters_whose_gates_passed_one_moves(registry: Registry, home: Path) -> None:
    """The second one promotes while the first one says what its gates found, so its own transaction comes later."""
    written('[[policy]]\nprompt = "sentiment"\ngates.size = { bytes = 9 }\n')
    settings, quiet = Settings(actor="ada"), lambda _: None

    def say(_: str) -> None:
        promote(registry, settings, [Move("sentiment:2")], Wish(), quiet)

    with pytest.raises(Conflict, match="sentiment@production is at generation 1, not 0: somebody moved it"):
        promote(registry, settings, [Move("sentiment:3")], Wish(), say)
    assert [(event.generation, event.new) for event in registry.history("sentiment")] == [(1, 2)]
    assert [report.passed for version in "23" for report in registry.reviews.reports(
        registry.resolve(f"sentiment:{version}"))] == [True, True]  # fmt: skip


def test_what_an_alias_named_already_does_not_come_back_without_its_gates(registry: Registry, home: Path) -> None:
    """It is named as the command begins, so that no gate looks at it; then somebody moves on."""
    written('[[policy]]\nprompt = "s*"\ngates.size = { bytes = 9 }\n')
    registry.promote([Move("sentiment:1")], actor="ada")

    def say(_: str) -> None:
        registry.promote([Move("sentiment:2")], actor="bob")

    with pytest.raises(Conflict, match="at generation 2, not 1"):
        promote(registry, Settings(), [Move("sentiment:1"), Move("sentiment:3", "staging")], Wish(), say)
    assert registry.resolve("sentiment").number == 2


def test_a_policy_that_changes_while_gates_run_stops_the_move(registry: Registry, home: Path) -> None:
    written('[[policy]]\nprompt = "sentiment"\ngates.size = { bytes = 9 }\n')
    with pytest.raises(Conflict, match="the policy about sentiment@production was changed while its gates ran"):
        promote(registry, Settings(), [Move("sentiment:3")], Wish(), lambda _: written(PROTECTED))
    assert registry.aliases() == []


MISTAKES = (
    ("[[policy]]\ngates.floor = { at_leest = 1 }", "policy.toml: policy 1: gates.floor.at_least: Field required"),
    ("[[policy]]\ngates.speed = { ms = 1 }", "policy.toml: policy 1: gates.speed: Extra inputs are not permitted"),
    ("[[policy]]\n[[policy]]\naliass = 1", "policy.toml: policy 2: aliass: Extra inputs"),
    ("[[policy]]\napprovals = 2\napprovers = ['bob', 'bob']", "approvers: 1 cannot give 2 approvals"),
    ("[[polices]]\n", "policy.toml: no key 'polices'"),
    ("policy = 3", "policy.toml: policy is not a table"),
    ("[[policy]]\n[[policy]]", "two policies are equally about sentiment@production: *@* in policy.toml and *@*"),
    ("[[policy", "policy.toml is not TOML"),
)


def test_a_policy_that_cannot_be_meant_is_refused_by_its_key(run: Run, registry: Registry) -> None:
    for text, said in MISTAKES:
        written(text)
        refused = run("promote", "sentiment:1")
        assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr


def test_the_policy_that_says_it_most_exactly_is_the_one(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What refuses asks for training rows, of which the fixture's cards know nothing."""
    strict = "gates.data = { rows = 1 }"
    written(f'[[policy]]\n{strict}\n[[policy]]\nprompt = "sent*"\nalias = "production"\n', "promptctl.toml")
    assert run("promote", "sentiment:1").exit_code == 0  # the longer glob has no gate
    assert run("promote", "sentiment:1", "--to", "staging").exit_code == 6
    assert run("promote", "shared/default:1").exit_code == 0  # * stops at the /
    written(f'[policy]\nprompt = "sentiment"\n{strict}\n')
    assert run("promote", "sentiment:2").exit_code == 6
    monkeypatch.setenv("PROMPTCTL_POLICY", str(tmp_path / "elsewhere.toml"))
    assert run("promote", "sentiment:2").exit_code == 3
    (tmp_path / "elsewhere.toml").write_text("[[polices]]")
    assert run("promote", "sentiment:2").exit_code == 2
    (tmp_path / "elsewhere.toml").write_text('[[policy]]\nprompt = "topic"\n')
    assert run("promote", "sentiment:2").exit_code == 0
    assert run("prompt", "list").exit_code == 0  # a policy in promptctl.toml is no option of a command


def test_aliases_are_listed_with_their_last_move(run: Run, registry: Registry) -> None:
    registry.promote([Move("sentiment:1"), Move("sentiment:1", "staging")], actor="ada")
    registry.promote([Move("sentiment:2", percent=10)], actor="bob")
    rows = [line.split("\t") for line in run("alias", "list").stdout.splitlines()]
    assert [row[:6] + row[7:] for row in rows] == [
        ["sentiment", "production", "1", "2", "10", "2", "bob"],
        ["sentiment", "staging", "1", "", "", "1", "ada"],
    ]
    assert run("alias", "list", "sentiment", "-o", "name").stdout == "sentiment@production\nsentiment@staging\n"
    assert len(run("alias", "history", "sentiment").stdout.splitlines()) == 2
    assert len(run("alias", "history", "sentiment@staging").stdout.splitlines()) == 1
    assert run("alias", "history", "sentiment:1").exit_code == 2
    assert run("alias", "list", "nobody").exit_code == 3


def test_an_edited_row_ends_the_verification_with_8(run: Run, registry: Registry, home: Path) -> None:
    registry.reviews.approve(registry.resolve("sentiment:1"), "production", approver="bob")
    with closing(sqlite3.connect(home / "registry.db")) as connection, connection:
        connection.execute("DROP TRIGGER approval_frozen_update")
        connection.execute("UPDATE approval SET approver = 'carol'")
    verified = run("audit", "verify")
    assert (verified.exit_code, verified.stdout) == (8, "")
    assert "line 1 of the ledger wrote down (approve: sentiment:1 for production) was changed" in verified.stderr


def test_without_a_policy_nothing_heavy_is_imported(registry: Registry) -> None:
    code = "import sys\nfrom orchestrator.cli.main import cli\n"
    code += "cli(['promote', 'sentiment:1'], standalone_mode=False)\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": ":".join(sys.path)})
