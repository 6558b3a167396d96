import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


def epochs(run: Run) -> tuple[int, str]:
    options = json.loads(run("config", "list", "--show-origin", "-o", "json").stdout)["options"]
    return next((o["value"], o["origin"]) for o in options if o["option"] == "train --epochs")


def test_an_option_comes_from_the_strongest_place_that_names_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert epochs(run) == (5, "default")
    user = tmp_path / "config" / "promptctl" / "config.toml"
    user.parent.mkdir()
    user.write_text("[train]\nepochs = 4\nbatch-size = 8\n")
    assert epochs(run) == (4, str(user))
    Path("promptctl.toml").write_text("[train]\nepochs = 5\n")
    assert epochs(run) == (5, "promptctl.toml")
    monkeypatch.setenv("PROMPTCTL_TRAIN_EPOCHS", "6")
    assert epochs(run) == (6, "environment")
    assert "train --batch-size\t8\n" in run("config", "list").stdout


def test_a_flag_is_stronger_than_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("promptctl.toml").write_text('[prompt.list]\noutput = "yaml"\n')
    assert run("prompt", "list").stdout == "schema_version: 1\nprompts: []\n"
    monkeypatch.setenv("PROMPTCTL_PROMPT_LIST_OUTPUT", "json")
    assert json.loads(run("prompt", "list").stdout)["prompts"] == []
    assert run("prompt", "list", "-o", "name").stdout == ""


def test_a_configured_format_is_also_that_of_errors(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTCTL_PROMPT_SHOW_OUTPUT", "json")
    assert json.loads(run("prompt", "show", "gone").stderr)["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[trian]\nepochs = 1", "no command named trian"),
        ("[prompt]\nepochs = 1", "[prompt] in the configuration has no option 'epochs'"),
        ("[prompt.list]\ncolour = 1", "[prompt.list] in the configuration has no option 'colour'"),
        ("[prompt]\nlist = 1", "[prompt.list] in the configuration is not a table"),
        ("prompt = 1", "[prompt] in the configuration is not a table"),
        ("[prompt", "promptctl.toml is not TOML"),
    ],
)
def test_a_configuration_that_nobody_reads_is_refused(run: Run, text: str, words: str) -> None:
    Path("promptctl.toml").write_text(text)
    result = run("prompt", "list")
    assert result.exit_code == 2
    assert words in result.stderr


def test_help_works_beside_a_broken_configuration(run: Run) -> None:
    Path("promptctl.toml").write_text("[")
    assert run("--help").exit_code == 0
