"""The file: exact size, checked on the way in, bound to its backbone."""

import json
from dataclasses import replace

import pytest
import torch

from methods import Artifact, BackboneMismatch, Card, CorruptArtifact, Fingerprint, LinearHead, Prefix, SoftPrompt, Task

TASK = Task("mood", "classification", ("bad", "good"))
PRINT = Fingerprint("small", "c" * 64, "a" * 64, "t" * 64)
CARD = Card("mood", TASK, "prefix-tuning", {"length": 5}, PRINT, {"accuracy": 0.5}, {"rows": 3})
HEAD = LinearHead(torch.ones(2, 40), torch.zeros(2))


def artifact() -> Artifact:
    return Artifact(CARD, Prefix(torch.randn(3, 2, 4, 5, 10), (0, 1, 2)), HEAD)


def test_bytes_equal_the_formula() -> None:
    """L * 2 * N * P * D + C * H + C numbers of 4 bytes; factors are kept but not served."""
    one = replace(artifact(), factors={"u": torch.ones(5, 1)})
    assert one.nbytes == 4 * (3 * 2 * 4 * 5 * 10 + 2 * 40 + 2)
    assert Artifact.from_bytes(one.to_bytes()).factors["u"].tolist() == [[1.0]] * 5


def test_a_round_trip_keeps_everything() -> None:
    for one in (artifact(), Artifact(CARD, SoftPrompt(torch.randn(4, 40), "first"), HEAD), Artifact(CARD, None, HEAD)):
        again = Artifact.from_bytes(one.to_bytes())
        assert again.card == CARD
        assert again.to_bytes() == one.to_bytes()
        assert type(again.form) is type(one.form)


def test_a_wrong_backbone_is_refused_naming_both() -> None:
    other = replace(PRINT, name="large", weights="b" * 64)
    with pytest.raises(BackboneMismatch, match=r"small \(weights aaaaaaaaaaaa\).*large \(weights bbbbbbbbbbbb\)"):
        artifact().check_backbone(other)
    artifact().check_backbone(replace(PRINT, name="another path to it"))


@pytest.mark.parametrize("cut", [0, 7, 100, -1])
def test_bytes_that_are_not_whole_are_refused(cut: int) -> None:
    with pytest.raises(CorruptArtifact):
        Artifact.from_bytes(artifact().to_bytes()[:cut])


def test_a_number_that_is_not_finite_is_refused() -> None:
    broken = Artifact(CARD, SoftPrompt(torch.tensor([[float("nan")]])), HEAD)
    with pytest.raises(CorruptArtifact, match="not finite"):
        Artifact.from_bytes(broken.to_bytes())


def test_a_newer_format_is_refused() -> None:
    data = artifact().to_bytes().replace(b'\\"format\\":2', b'\\"format\\":9')
    with pytest.raises(CorruptArtifact, match="format 9"):
        Artifact.from_bytes(data)


def test_a_header_that_is_not_ours_is_refused() -> None:
    from safetensors.torch import save

    for metadata in ({}, {"promptctl": "x"}, {"promptctl": json.dumps({"format": 2, "shape": {}})}, {"promptctl": "1"}):
        with pytest.raises(CorruptArtifact):
            Artifact.from_bytes(save({"prompt": torch.ones(1)}, metadata))
