import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from methods import Backbone, Prefix, SoftPrompt
from orchestrator.heat_map import draw
from registry import Move, Registry
from tests.backbones import tiny_bert
from tests.published import pool, published, soft

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Backbone:
    return Backbone.load(str(tiny_folder))


def words(backbone: Backbone, *several: str) -> SoftPrompt:
    return SoftPrompt(backbone.embed(torch.tensor(backbone.tokenizer.convert_tokens_to_ids(list(several)))))


@pytest.fixture
def registry(home: Path, tiny: Backbone) -> Iterator[Registry]:
    """mood and topic come from shared/default; alone comes from nothing, and deep is of another geometry."""
    with closing(Registry.open(f"sqlite:///{home}/registry.db", f"{home}/store")) as opened:
        shared = published(opened, tiny, "shared/default", words(tiny, "film", "book"))
        factors = {"u": torch.full((2, 1), 1.5), "v": torch.ones(1, 40)}
        published(opened, tiny, "mood", words(tiny, "good", "bad"), parents=[shared], factors=factors)
        published(opened, tiny, "topic", words(tiny, "river", "city"), parents=[shared])
        published(opened, tiny, "alone", words(tiny, "night", "day"))
        published(opened, tiny, "deep", Prefix(tiny.keys_and_values(torch.tensor([7]))[1:], (1, 2)))
        yield opened


def explanation(run: Run, *arguments: str) -> dict[str, Any]:
    result = run("prompt", "explain", *arguments, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["explanation"]


def relations(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["reference"], one["relation"]) for one in found["relatives"]]


def test_virtual_tokens_are_shown_beside_their_nearest_words(run: Run, registry: Registry, tiny: Backbone) -> None:
    result = run("prompt", "explain", "mood:1", "--nearest", "2")
    assert result.exit_code == 0, result.stderr
    tokens, ranks, relatives = (block.splitlines() for block in result.stdout.split("\n\n"))
    cells = [line.split("\t") for line in tokens]
    assert [(cell[0], cell[2].split()[:2], len(cell[2].split())) for cell in cells] == [
        ("P1", ["good", "1.00"], 4),
        ("P2", ["bad", "1.00"], 4),
    ]
    assert ranks == ["1\t0.5\t0"]
    assert [line.split("\t")[0] for line in relatives] == ["shared/default:1", "topic:1"]
    assert "soft prompt of length 2" in result.stderr
    assert "the input embeddings" in result.stderr


def test_of_a_prefix_it_is_said_what_its_keys_are_beside(run: Run, registry: Registry) -> None:
    result = run("prompt", "explain", "deep:1")
    assert "beside the keys that encoder layer 1 makes of each token by itself" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_a_version_has_its_shared_prompt_and_who_else_comes_from_it(
    run: Run, registry: Registry, tiny: Backbone
) -> None:
    found = explanation(run, "mood:1")
    assert relations(found) == [("shared/default:1", "shared prompt"), ("topic:1", "of the same shared prompt")]
    ours, shared = (words(tiny, *two).embeddings.flatten() for two in (("good", "bad"), ("film", "book")))
    cosine = float(ours @ shared / ours.norm() / shared.norm())
    assert found["relatives"][0]["cosine"] == pytest.approx(cosine, abs=1e-6)
    similarity = torch.tensor(found["similarity"])
    assert similarity.shape == (3, 3)
    torch.testing.assert_close(similarity, similarity.T)
    assert relations(explanation(run, "shared/default:1")) == [("mood:1", "made from it"), ("topic:1", "made from it")]


def test_a_version_by_itself_has_what_other_prompts_of_its_geometry_have_in_production(
    run: Run, registry: Registry, tiny: Backbone, tmp_path: Path
) -> None:
    published(registry, tiny, "mood", words(tiny, "dull", "slow"))
    published(registry, tiny, "topic", words(tiny, "tower", "phone"))
    registry.promote([Move("mood:1")], actor="ada")
    other = Backbone.load(str(tiny_bert(tmp_path / "other", seed=1)))
    published(registry, other, "foreign", words(other, "night", "day"))
    found = relations(explanation(run, "alone:1"))
    same = "of the same geometry"
    assert found == [("mood:1", same), ("shared/default:1", same), ("topic:2", same)]


def test_a_pool_is_like_no_prompt(run: Run, registry: Registry, tiny: Backbone) -> None:
    before = explanation(run, "alone:1")
    published(registry, tiny, "assistant", pool(3))
    assert explanation(run, "alone:1") == before


def test_a_plot_is_drawn(run: Run, registry: Registry, home: Path) -> None:
    for name in ("alike.svg", "alike.png"):
        assert run("prompt", "explain", "mood:1", "--plot", name).exit_code == 0
    assert Path("alike.svg").read_text().startswith("<?xml")
    assert Path("alike.png").read_bytes().startswith(b"\x89PNG")


def test_equal_numbers_give_equal_pictures_and_others_other_ones(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.svg" for number in range(3)]
    for file, cosine in zip(files, (0.5, 0.5, 0.25), strict=True):
        draw(["a", "b"], [[1, cosine], [cosine, 1]], file, tmp_path)
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


@pytest.mark.parametrize("count", [1, 30])
def test_one_version_and_many_can_be_drawn(tmp_path: Path, count: int) -> None:
    draw([f"t{place}" for place in range(count)], torch.eye(count).tolist(), tmp_path / "many.svg", tmp_path)
    assert b"<svg" in (tmp_path / "many.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["gone:1"], 3, "unknown prompt 'gone'"),
        (["mood:1", "--nearest", "0"], 2, "0 is not in the range"),
        (["mood:1", "--plot", "alike.pdf"], 2, "--plot 'alike.pdf' is no .png or .svg"),
        (["mood:1", "--plot", "gone/alike.png"], 2, "in a folder that is there"),
        (["bare:1"], 2, "bare:1 has no virtual tokens"),
        (["mood:1", "--backbone", "{other}"], 8, "was trained on"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    run: Run, registry: Registry, tiny: Backbone, tmp_path: Path, arguments: list[str], exit_code: int, words: str
) -> None:
    published(registry, tiny, "bare", None)
    other = str(tiny_bert(tmp_path / "other", seed=1))
    result = run("prompt", "explain", *(one.format(other=other) for one in arguments))
    assert result.exit_code == exit_code
    assert words in result.stderr


def test_two_lengths_are_two_geometries(run: Run, registry: Registry, tiny: Backbone) -> None:
    published(registry, tiny, "long", soft(1.0, 9))
    assert explanation(run, "long:1")["relatives"] == []
