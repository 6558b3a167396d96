import json
from collections.abc import Callable

import pytest
from click.testing import Result

from registry import Move, Registry

Run = Callable[..., Result]


def test_tags_are_set_and_taken_away_and_who_did_so_is_kept(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTCTL_ACTOR", "bob")
    planned = run("prompt", "tag", "sentiment:2", "team=search", "note=a=b", "--dry-run")
    assert (planned.exit_code, registry.tags.of("sentiment:2")) == (0, {})
    changed = run("prompt", "tag", "sentiment:2", "team=search", "note=a=b")
    assert [line.split("\t")[:5] for line in changed.stdout.splitlines()] == [
        ["sentiment:2", "team", "", "search", "bob"],
        ["sentiment:2", "note", "", "a=b", "bob"],
    ]
    assert run("prompt", "tag", "sentiment:2", "team=").exit_code == 0
    shown = json.loads(run("prompt", "show", "sentiment:2", "-o", "json").stdout)["version"]
    assert shown["tags"] == {"note": "a=b"}
    log = json.loads(run("prompt", "tag", "sentiment:2", "-o", "json").stdout)["tags"]
    assert [(event["key"], event["old"], event["new"]) for event in log] == [
        ("team", "search", None),
        ("note", None, "a=b"),
        ("team", None, "search"),
    ]
    assert run("prompt", "tag", "sentiment:1").stdout == ""


@pytest.mark.parametrize("arguments", [("sentiment:2", "team"), ("sentiment:2", "=x"), ("sentiment:2", "Team=x")])
def test_what_is_no_tag_is_usage(run: Run, registry: Registry, arguments: tuple[str, ...]) -> None:
    assert run("prompt", "tag", *arguments).exit_code == 2


def test_prompts_are_listed_by_what_their_versions_are(run: Run, registry: Registry) -> None:
    registry.promote([Move("sentiment:2")], actor="ada")
    registry.tags.set("sentiment:2", {"team": "search"}, actor="ada")
    for options, names in (
        ((), ["sentiment", "shared/default"]),
        (("--name", "sent*"), ["sentiment"]),
        (("--method", "mpt", "--alias", "production", "--tag", "team=search"), ["sentiment"]),
        (("--method", "coda"), []),
        (("--kind", "shared"), ["shared/default"]),
        (("--since", "1h", "--limit", "1"), ["sentiment"]),
        (("--since", "2999-01-01"), []),
        (("--task", "qa"), []),
    ):
        assert run("prompt", "list", *options, "-o", "name").stdout.split() == names, options
    assert (
        run("prompt", "list", "--task", "qa", "-o", "json").stdout == '{\n  "schema_version": 1,\n  "prompts": []\n}\n'
    )


def test_what_is_listed_with_a_filter_has_the_form_of_what_is_listed_without(run: Run, registry: Registry) -> None:
    whole = json.loads(run("prompt", "list", "-o", "json").stdout)["prompts"]
    assert whole[0].keys() == {"name", "kind", "latest", "aliases", "created_at"}
    assert json.loads(run("prompt", "list", "--name", "sentiment", "-o", "json").stdout)["prompts"] == whole[:1]


@pytest.mark.parametrize("options", [("--tag", "team"), ("--since", "soon"), ("--limit", "0")])
def test_a_filter_that_says_nothing_is_usage(run: Run, options: tuple[str, ...]) -> None:
    assert run("prompt", "list", *options).exit_code == 2
