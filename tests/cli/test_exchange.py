import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file, save_file

from orchestrator.cli.exchange import EXPORTED, IMPORTED
from registry import Registry

Run = Callable[..., Result]
P, H, C = 6, 40, 2


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def bring(run: Run, tiny_folder: Path) -> Run:
    """Import for the tiny BERT."""

    def invoke(path: Path, *arguments: str) -> Result:
        return run("prompt", "import", str(path), "--backbone", str(tiny_folder), *arguments)

    return invoke


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return saved(tmp_path / "adapter", {})


@pytest.fixture
def several(tmp_path: Path) -> Path:
    factors = {"prefix_task_cols": noise(3, P, 2, seed=1), "prefix_task_rows": noise(3, 2, H, seed=2)}
    return saved(tmp_path / "several", factors, peft_type="MULTITASK_PROMPT_TUNING", num_tasks=3, num_ranks=2)


def saved(folder: Path, more: dict[str, torch.Tensor], **changes: Any) -> Path:
    folder.mkdir()
    config: dict[str, Any] = {"peft_type": "PROMPT_TUNING", "task_type": "SEQ_CLS", "num_virtual_tokens": P}
    config |= {"token_dim": H, "num_layers": 3, "num_attention_heads": 4} | changes
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/home/ada/bert"}))
    classifier = {"base_model.classifier.weight": noise(C, H), "base_model.classifier.bias": noise(C)}
    save_file({"prompt_embeddings": noise(P, H)} | classifier | more, folder / "adapter_model.safetensors")
    return folder


def test_the_formats_offered_are_those_there_are() -> None:
    from methods.exchange import EXPORTERS, IMPORTERS

    assert tuple(IMPORTERS) == IMPORTED
    assert set(EXPORTERS) == set(EXPORTED)


def test_an_adapter_becomes_a_version_and_the_same_one_when_it_comes_again(
    run: Run, bring: Run, adapter: Path, tiny_folder: Path
) -> None:
    first = bring(adapter, "--name", "mood", "--labels", "bad,good")
    assert first.exit_code == 0
    assert first.stdout.split("\t")[:4] == ["mood:1", "peft", "prompt-tuning", "classification"]
    assert "recognised as peft" in first.stderr
    assert "the files call their base bert" in first.stderr
    assert "do not identify their base's weights" in first.stderr
    assert "ada" not in first.stderr
    assert bring(adapter, "--name", "mood", "--labels", "bad,good", "-o", "name").stdout == "mood:1\n"
    card = json.loads(run("prompt", "show", "mood:1", "-o", "json").stdout)["version"]["card"]
    assert card["task"] == {"name": "mood", "kind": "classification", "labels": ["bad", "good"]}
    assert card["backbone"]["name"] == str(tiny_folder)
    assert "/home/ada" not in json.dumps(card)


def test_a_dry_run_says_what_would_come_and_makes_nothing(bring: Run, adapter: Path, home: Path) -> None:
    planned = bring(adapter, "--name", "mood", "--labels", "bad,good", "--dry-run")
    assert planned.stdout.split("\t")[:2] == ["mood", "peft"]
    assert "dry run" in planned.stderr
    assert list(home.iterdir()) == []


def test_several_tasks_become_several_versions_of_one_shared_prompt(run: Run, bring: Run, several: Path) -> None:
    names = bring(several, "--name", "mood", "--labels", "bad,good", "-o", "name").stdout.split()
    assert names == ["shared/mood:1", "mood-0:1", "mood-1:1", "mood-2:1"]
    parents = json.loads(run("prompt", "show", "mood-2:1", "-o", "json").stdout)["version"]["parents"]
    assert [(parent["name"], parent["role"]) for parent in parents] == [("shared/mood", "shared")]


def test_one_of_several_tasks_takes_the_name_itself(bring: Run, several: Path) -> None:
    result = bring(several, "--name", "mood", "--labels", "bad,good", "--task-id", "1", "-o", "name")
    assert result.stdout.split() == ["shared/mood:1", "mood:1"]


def test_what_came_goes_out_again(run: Run, bring: Run, several: Path, tmp_path: Path) -> None:
    bring(several, "--name", "mood", "--labels", "bad,good")
    out = tmp_path / "out"
    result = run("prompt", "export", "mood-0:1", "mood-1:1", "mood-2:1", "--as", "peft", "--out", str(out))
    assert result.exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    again, before = (load_file(folder / "adapter_model.safetensors") for folder in (out, several))
    assert again.keys() == before.keys()
    assert all(torch.equal(again[name], before[name]) for name in before)
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["num_tasks"], config["num_ranks"]) == ("bert", 3, 2)


def test_a_registered_task_gives_its_labels(run: Run, bring: Run, adapter: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a", "label": "sad"}\n{"text": "b", "label": "glad"}\n')
    run("task", "add", "feelings", "--train", str(rows), "--validation", str(rows))
    assert bring(adapter, "--name", "mood", "--task", "feelings").exit_code == 0
    task = json.loads(run("prompt", "show", "mood:1", "-o", "json").stdout)["version"]["card"]["task"]
    assert (task["name"], sorted(task["labels"])) == ("feelings", ["glad", "sad"])


def test_a_prompt_without_a_task_is_one_to_train_from(bring: Run, tmp_path: Path) -> None:
    save_file({"soft": noise(P, H)}, tmp_path / "prompt.safetensors")
    result = bring(tmp_path / "prompt.safetensors", "--name", "warm", "-o", "name")
    assert result.stdout == "shared/warm:1\n"


def test_files_that_are_there_stay_unless_forced(run: Run, bring: Run, adapter: Path, tmp_path: Path) -> None:
    bring(adapter, "--name", "mood", "--labels", "bad,good")
    out = tmp_path / "out"
    out.mkdir()
    (out / "adapter_config.json").write_text("mine")
    export = ("prompt", "export", "mood:1", "--as", "peft", "--out", str(out))
    refused = run(*export)
    assert refused.exit_code == 5
    assert [path.name for path in out.iterdir()] == ["adapter_config.json"]
    assert (out / "adapter_config.json").read_text() == "mine"
    assert run(*export, "--force").exit_code == 0
    assert (out / "adapter_config.json").read_text() != "mine"


def test_a_link_in_the_way_is_replaced_and_not_written_through(
    run: Run, bring: Run, adapter: Path, tmp_path: Path
) -> None:
    bring(adapter, "--name", "mood", "--labels", "bad,good")
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mood.safetensors").symlink_to(tmp_path / "victim")
    export = ("prompt", "export", "mood:1", "--as", "safetensors", "--out", str(tmp_path / "out"))
    assert run(*export).exit_code == 5
    assert run(*export, "--force").exit_code == 0
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["--name", "mood"], 2, "does not name its labels"),
        (["--name", "../mood", "--labels", "bad,good"], 2, "is no prompt name"),
        (["--name", "mood", "--labels", "bad,good,so"], 2, "tells 2 labels apart"),
        (["--name", "mood", "--labels", "bad,good", "--kind", "tagging"], 2, "not for tagging"),
        (["--name", "mood", "--labels", "bad,good", "--task-id", "1"], 6, "not one per task"),
        (["--name", "mood", "--labels", "bad,good", "--as", "tgis"], 6, "is an encoder"),
        (["--name", "mood", "--task", "nothing"], 3, "unknown task"),
    ],
)
def test_what_cannot_be_imported_is_refused_and_leaves_no_version(
    run: Run, bring: Run, adapter: Path, arguments: list[str], exit_code: int, words: str
) -> None:
    result = bring(adapter, *arguments)
    assert result.exit_code == exit_code
    assert words in result.stderr
    assert run("prompt", "list").stdout == ""


def test_another_width_is_refused_and_the_way_out_is_said(bring: Run, tmp_path: Path) -> None:
    folder = saved(tmp_path / "wide", {"prompt_embeddings": noise(P, H + 1)}, token_dim=H + 1)
    result = bring(folder, "--name", "mood", "--labels", "bad,good")
    assert result.exit_code == 8
    assert "has shape [6, 41], not [6, 40]" in result.stderr
    assert "--backbone" in result.stderr


def test_a_missing_path_is_not_found(bring: Run, tmp_path: Path) -> None:
    assert bring(tmp_path / "nothing", "--name", "mood").exit_code == 3


def test_a_pickle_needs_a_word(bring: Run, tmp_path: Path) -> None:
    torch.save(noise(P, H), tmp_path / "decoder.pt")
    result = bring(tmp_path / "decoder.pt", "--name", "mood", "--as", "ptuning-v2")
    assert result.exit_code == 8
    assert "--allow-pickle" in result.stderr


def test_a_version_that_peft_cannot_hold_stays(
    run: Run, bring: Run, adapter: Path, home: Path, tmp_path: Path, tiny_folder: Path
) -> None:
    from methods import Artifact, SoftPrompt

    bring(adapter, "--name", "mood", "--labels", "bad,good")
    with closing(Registry.open(f"sqlite:///{home}/registry.db", f"{home}/store")) as registry:
        old = Artifact.from_bytes(registry.fetch(registry.resolve("mood:1")))
        moved = Artifact(old.card, SoftPrompt(noise(P, H), "after-first"), old.head).to_bytes()
        registry.publish("mood", moved, old.card.to_json(), idempotency_key="2", actor="ada")
    result = run("prompt", "export", "mood:2", "--as", "peft", "--out", str(tmp_path / "out"))
    assert result.exit_code == 6
    assert "placed after-first and takes no positions" in result.stderr
    assert "--as safetensors" in result.stderr
    assert not (tmp_path / "out").exists()
