"""Nothing that users write is on disk afterwards: after success, failure, kill -9 and retry, wherever one looks.

Names of labels are stored, by design: a version's card lists them. Canaries stand in labels of refused rows alone.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.privacy import loud, shapes
from tests.privacy.canaries import CORRECTIONS, TEST, TRAIN, VALIDATION, Canaries
from tests.privacy.leaks import database, leaks
from tests.privacy.scenario import STEPS
from tests.privacy.search import Hit, search
from tests.privacy.stage import Stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def played() -> Iterator[Stage]:
    """The stage after every step; what a step leaves for a while only is looked at as well."""
    since = time.time() - 1
    home, data, plugins = (Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("pctl", "rows", "plug"))
    canaries = Canaries.new()
    canaries.write_rows(data)
    stage = Stage(home, data, loud.install(plugins), canaries, canaries.patterns(), since)
    for step in STEPS:
        step(stage)
        assert stage.left() == [], step.__name__
    yield stage
    for folder in (home, data, plugins):
        shutil.rmtree(folder)


def test_no_file_on_the_disk_holds_what_users_wrote(played: Stage) -> None:
    """The same walk finds every leak that is planted, so it would have found another."""
    planted = Canaries.new()
    known = {pattern: f"planted {name}" for pattern, name in planted.patterns().items()}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        expected = plant(Path(folder), planted)
        hits = search({**played.patterns, **known}, played.since, but=[played.data])
    assert [hit for hit in hits if "planted" not in hit.pattern] == []
    found = {Hit(hit.file, hit.pattern.replace("planted ", "")) for hit in hits}
    assert expected <= found
    assert {hit.file for hit in found} == {hit.file for hit in expected}


def plant(folder: Path, canaries: Canaries) -> set[Hit]:
    """One file for each way to leak each word, and what the search must say of it."""
    expected = set()
    for word, ids in zip(canaries.words, canaries.ids(), strict=True):
        for number, (name, content) in enumerate(leaks(word, ids).items()):
            file = folder / f"{word.isascii()}-{number}"
            file.write_bytes(content)
            same = word.isascii() and name in ("JSON", "percent")
            expected.add(Hit(str(file), "UTF-8" if same else name))
    database(folder / "registry.db", canaries.words[1]).close()
    return expected | {Hit(str(folder / "registry.db"), "SQLite: UTF-8")}


def test_no_tensor_on_disk_has_a_part_for_each_row(played: Stage) -> None:
    found = list(shapes.tensors(played.home))
    places = {file.relative_to(played.home).parts[0] for file, _, _ in found}
    assert places == {"runs", "store", "known"}, "checkpoints, artifacts, and those that were served last"
    stored = [name for file, name, _ in found if file.is_relative_to(played.home / "store")]
    assert sum(name.endswith("sums") for name in stored) == 3, "of two sessions, and of the corrections"
    rows = {TRAIN, VALIDATION, TEST, CORRECTIONS}
    assert [(file, name, shape) for file, name, shape in found if rows & {*shape}] == []


def test_a_tensor_with_a_part_for_each_row_would_be_found(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"queries": torch.zeros(TRAIN, 384), "head": torch.zeros(2, 384)}, tmp_path / "blob")
    assert [shape for _, _, shape in shapes.tensors(tmp_path) if TRAIN in shape] == [(TRAIN, 384)]
