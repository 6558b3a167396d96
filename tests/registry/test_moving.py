"""A registry in a file, and in another registry again."""

import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import registry as package
from orchestrator.cli.output import plain
from registry import Clearance, Conflict, IntegrityError, Invalid, Move, NotFound, Parent, Registry
from registry.keeping.keeper import Keeper
from registry.moving.unpacking import Unpacked
from registry.review.reports import Findings

ADA: dict[str, Any] = {"actor": "ada"}
NOTHING = Unpacked(0, 0, 0, 0, 0, 0)
Work = Callable[..., list[str]]


def fill(registry: Registry) -> None:
    """Two prompts and what they were made from, versions in every state, candidates, a task, runs."""
    registry.put_task("sentiment", {"kind": "classification", "labels": ["bad", "gööd"]}, **ADA)
    registry.start_run("r1", {"epochs": 2, "rate": 1e-05}, **ADA)
    registry.finish_run("r1", attempt=1, status="SUCCEEDED")
    registry.start_run("r2", {}, **ADA)
    base = registry.publish("shared/base", b"base", {}, idempotency_key="b", **ADA)
    for number in (1, 2, 3, 4, 5):
        card = {"metrics": {"accuracy": 0.5 + number / 10}, "z": None, "a": [1, 2.0, "ü"]}
        made_from = {"parents": [Parent(base.id, "shared")], "run_id": "r1"} if number == 3 else {}
        blob = b"same" if number in (1, 4) else b"%d" % number
        registry.publish("sentiment", blob, card, idempotency_key=f"k{number}", message="m", **made_from, **ADA)
    registry.publish("topic", b"topic", {}, idempotency_key="t", **ADA)
    for move in (Move("sentiment:1"), Move("sentiment:3"), Move("topic:1"), Move("sentiment:4", percent=10)):
        registry.promote([move], reason="because", **ADA)
    registry.rollback("sentiment", **ADA)
    registry.promote([Move("sentiment:1", "staging"), Move("topic:1", "staging")], **ADA)
    registry.retire(["sentiment:2", "sentiment:5"], "archive", reason="old", **ADA)
    registry.retire(["sentiment:2"], "restore", **ADA)
    registry.retire(["sentiment:4"], "delete", **ADA)


def everything(registry: Registry) -> str:
    """All that the command line prints of a registry, as JSON."""
    names = [prompt.name for prompt in registry.prompts()]
    state = registry.serving_state()
    return json.dumps(
        plain(
            {
                "prompts": registry.prompts(),
                "versions": {name: registry.versions(name, retired=True) for name in names},
                "events": {name: registry.history(name) for name in names},
                "tasks": registry.tasks(),
                "runs": registry.runs(),
                "epoch": (state.epoch, state.head),
                "times": [version.created_at.isoformat() for name in names for version in registry.versions(name)],
            }
        ),
        indent=1,
    )


@pytest.fixture
def other(empty_database: str, tmp_path: Path) -> Iterator[tuple[Registry, Keeper]]:
    """An empty registry in a database and a store of its own."""
    package.upgrade(empty_database)
    places = empty_database, str(tmp_path / "other-store")
    with closing(Registry.open(*places)) as registry, closing(Keeper.open(*places)) as keeper:
        yield registry, keeper


@pytest.fixture
def source(tmp_path: Path, sqlite_head: Path) -> Iterator[tuple[Registry, Keeper]]:
    places = f"sqlite:///{tmp_path}/source/registry.db", str(tmp_path / "source" / "store")
    with closing(Registry.open(*places)) as registry, closing(Keeper.open(*places)) as keeper:
        fill(registry)
        yield registry, keeper


Side = tuple[Registry, Keeper]


def test_an_empty_registry_becomes_what_the_other_one_was(source: Side, other: Side, tmp_path: Path) -> None:
    """From SQLite into either database: the same JSON to the byte, the same digests, the same hashes of events."""
    packed = source[1].pack(tmp_path / "all.tar")
    assert (packed.prompts, packed.versions, packed.blobs) == (3, 7, 6)
    planned = other[1].unpack(tmp_path / "all.tar", dry_run=True)
    assert planned == Unpacked(prompts=3, versions=7, events=7, tasks=1, runs=2, blobs=6)
    assert (other[0].prompts(), other[0].tasks(), list(other[1].store.digests())) == ([], [], [])
    assert other[1].unpack(tmp_path / "all.tar") == planned
    assert everything(other[0]) == everything(source[0])
    assert other[1].check().problems == ()
    assert other[0].verify_history() == 7
    for name in ("sentiment", "topic"):
        for version in other[0].versions(name):
            assert other[0].fetch(version) == source[0].fetch(version)
    other[1].pack(tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "all.tar").read_bytes()


def test_the_same_file_again_changes_nothing_and_life_goes_on(source: Side, other: Side, tmp_path: Path) -> None:
    source[1].pack(tmp_path / "all.tar")
    other[1].unpack(tmp_path / "all.tar")
    before = everything(other[0])
    assert other[1].unpack(tmp_path / "all.tar") == NOTHING
    assert everything(other[0]) == before
    version = other[0].publish("sentiment", b"new", {}, idempotency_key="new", **ADA)
    assert version.number == 6
    other[0].promote([Move("sentiment:6")], **ADA)
    other[0].publish("brand-new", b"new", {}, idempotency_key="new", **ADA)
    other[0].retire(["sentiment:3"], "archive", **ADA)
    assert other[1].unpack(tmp_path / "all.tar") == NOTHING, "what is here has gone on"
    assert other[0].resolve("sentiment").number == 6
    assert (other[1].check().problems, other[0].verify_history()) == ((), 8)


def test_some_prompts_come_with_what_they_were_made_from_into_a_registry_in_use(
    source: Side, other: Side, tmp_path: Path
) -> None:
    other[0].publish("mine", b"mine", {}, idempotency_key="mine", **ADA)
    other[0].promote([Move("mine:1")], **ADA)
    epoch = other[0].epoch()
    assert source[1].pack(tmp_path / "some.tar", ["sentiment"]).prompts == 2
    assert other[1].unpack(tmp_path / "some.tar") == Unpacked(2, 6, 5, 1, 1, 5)
    assert [prompt.name for prompt in other[0].prompts()] == ["mine", "sentiment", "shared/base"]
    assert other[0].prompts()[1].aliases == source[0].prompts()[0].aliases
    here, there = other[0].resolve("sentiment:3"), source[0].resolve("sentiment:3")
    assert replace(here, id=0) == replace(there, id=0)
    events, originals = other[0].history("sentiment"), source[0].history("sentiment")
    assert [replace(one, id=0, hash="") for one in events] == [replace(one, id=0, hash="") for one in originals]
    assert other[0].verify_history() == 6
    assert other[0].epoch() == epoch + 1
    assert other[1].check().problems == ()
    assert other[1].unpack(tmp_path / "some.tar") == NOTHING


def test_history_goes_on_from_what_is_here_or_is_refused(source: Side, other: Side, tmp_path: Path) -> None:
    source[1].pack(tmp_path / "one.tar")
    other[1].unpack(tmp_path / "one.tar")
    source[0].promote([Move("sentiment:2")], **ADA)
    source[1].pack(tmp_path / "two.tar")
    assert other[1].unpack(tmp_path / "two.tar").events == 1
    assert other[0].resolve("sentiment").number == 2
    source[0].promote([Move("sentiment:1")], **ADA)
    source[1].pack(tmp_path / "three.tar")
    other[0].promote([Move("sentiment:3")], **ADA)
    before = everything(other[0])
    with pytest.raises(Conflict, match="sentiment@production went another way here, from its step 6 on"):
        other[1].unpack(tmp_path / "three.tar")
    assert everything(other[0]) == before


def test_another_version_task_or_run_under_a_name_that_is_taken_is_refused(
    source: Side, other: Side, tmp_path: Path
) -> None:
    source[1].pack(tmp_path / "all.tar")
    other[0].publish("topic", b"another", {}, idempotency_key="x", **ADA)
    with pytest.raises(Conflict, match="topic:1 is another version here, sha256:"):
        other[1].unpack(tmp_path / "all.tar")
    assert list(other[1].store.digests()) == [other[0].resolve("topic:1").digest], "nothing came in"
    assert [prompt.name for prompt in other[0].prompts()] == ["topic"]


def test_a_version_with_the_key_of_another_and_another_task_are_refused(
    source: Side, other: Side, tmp_path: Path
) -> None:
    source[1].pack(tmp_path / "all.tar", ["topic"])
    source[1].pack(tmp_path / "tasks.tar", ["sentiment"])
    other[0].put_task("sentiment", {"kind": "pair"}, **ADA)
    with pytest.raises(Conflict, match="task 'sentiment' has another spec here"):
        other[1].unpack(tmp_path / "tasks.tar")
    source[0].publish("solo", b"1", {}, idempotency_key="a", **ADA)
    source[0].publish("solo", b"2", {}, idempotency_key="b", **ADA)
    source[1].pack(tmp_path / "solo.tar", ["solo"])
    other[0].publish("solo", b"1", {}, idempotency_key="b", **ADA)
    with pytest.raises(Conflict, match="solo:1"):
        other[1].unpack(tmp_path / "solo.tar")
    assert other[0].versions("solo")[0].number == 1


@pytest.fixture
def tar(source: Side, tmp_path: Path) -> Path:
    source[1].pack(tmp_path / "all.tar")
    return tmp_path / "all.tar"


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened.getmembers()}  # pyright: ignore[reportOptionalMemberAccess]


def write(path: Path, content: dict[str, bytes], *more: tarfile.TarInfo) -> None:
    with tarfile.open(path, "w") as opened:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, BytesIO(data))
        for info in more:
            opened.addfile(info)


def retold(content: dict[str, bytes], change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """The lines changed, and the index made to name them again."""
    index = json.loads(content["index.json"])
    old = index["manifests"][0]["digest"].removeprefix("sha256:")
    data = change(content[f"blobs/sha256/{old}"])
    new = sha256(data).hexdigest()
    index["manifests"][0] |= {"digest": f"sha256:{new}", "size": len(data)}
    kept = {name: blob for name, blob in content.items() if old not in name}
    return kept | {"index.json": json.dumps(index).encode(), f"blobs/sha256/{new}": data}


def link(kind: bytes, name: str = "blobs/sha256/" + "0" * 64) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_a_tar_that_holds_anything_else_is_refused_before_anything_is_written(
    tar: Path, other: Side, tmp_path: Path
) -> None:
    content = members(tar)
    huge = link(tarfile.REGTYPE)
    huge.size = 1 << 50
    hostile: dict[str, tuple[Callable[[], object], str]] = {
        "above": (lambda: write(tar, {"../../evil": b"x", **content}), "it holds '../../evil'"),
        "absolute": (lambda: write(tar, {**content, "/etc/evil": b"x"}), "it holds"),
        "symlink": (lambda: write(tar, content, link(tarfile.SYMTYPE)), "is no plain file"),
        "hard link": (lambda: write(tar, content, link(tarfile.LNKTYPE)), "is no plain file"),
        "device": (lambda: write(tar, content, link(tarfile.CHRTYPE)), "is no plain file"),
        "sparse": (lambda: write(tar, content, link(tarfile.GNUTYPE_SPARSE)), "is no plain file"),
        "long name": (lambda: write(tar, {**content, "x" * 300: b""}), "is no plain file"),
        "cut": (lambda: tar.write_bytes(tar.read_bytes()[:-11000]), "refused|missing"),
        "twice": (lambda: tar.write_bytes(doubled(tar)), "twice"),
        "no index": (lambda: write(tar, {"oci-layout": content["oci-layout"]}), "no index"),
        "fat index": (lambda: write(tar, {**content, "index.json": b" " * 70_000}), "it holds 'index.json', of 70000"),
        "no tar": (lambda: tar.write_bytes(b"something else entirely" * 100), "begins no member"),
        "empty": (lambda: tar.write_bytes(b""), "in the middle"),
    }
    whole = tar.read_bytes()
    for name, (spoil, said) in hostile.items():
        tar.write_bytes(whole)
        spoil()
        with pytest.raises((Invalid, IntegrityError), match=said):
            other[1].unpack(tar)
        assert (other[0].prompts(), list(other[1].store.digests())) == ([], []), name
    start = whole.index(b"blobs/sha256/")
    tar.write_bytes(whole[:start] + huge.tobuf(tarfile.GNU_FORMAT) + whole[start + 512 :])
    with pytest.raises(Invalid, match="goes beyond its end"):
        other[1].unpack(tar)
    with pytest.raises(NotFound, match="there is no file"):
        other[1].unpack(tmp_path / "none.tar")
    assert not (tmp_path.parent / "evil").exists()


def doubled(path: Path) -> bytes:
    whole = path.read_bytes()
    start = whole.index(b"blobs/sha256/")
    size = int(whole[start + 124 : start + 135], 8)
    member = whole[start : start + 512 + -(-size // 512) * 512]
    return whole[:start] + member + whole[start:]


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_lines_that_do_not_fit_are_refused_before_anything_is_written(tar: Path, other: Side) -> None:
    content = members(tar)
    blob = f"blobs/sha256/{sha256(b'topic').hexdigest()}"
    spoiled: list[tuple[dict[str, bytes], str]] = [
        ({**content, blob: b"Topic"}, "has digest sha256:"),
        ({name: data for name, data in content.items() if name != blob}, "the file has no blob sha256:.* for topic:1"),
        ({**content, f"blobs/sha256/{sha256(b'x').hexdigest()}": b"x"}, "blobs that no version needs"),
        (retold(content, lambda lines: lines.replace(b'"reason":"because"', b'"reason":"forged"')), "is broken at"),
        (retold(content, lambda lines: lines.replace(b'"reason":"old"', b'"reason":"new"', 1)), "is broken at archive"),
        (retold(content, lambda lines: b"\n".join(lines.split(b"\n")[:-2]) + b"\n"), "was cut off after 6 events"),
        (retold(content, lambda lines: lines.replace(b'"name":"topic"', b'"name":"../topic"')), "is no prompt name"),
        (retold(content, lambda lines: lines.replace(b'"state":"DELETED"', b'"state":"READY"')), "no blob|not DELETED"),
        (retold(content, lambda lines: lines.replace(b'"z":null', b'"z":NaN', 1)), "is none of a registry|not JSON"),
        (retold(content, lambda lines: lines.replace(b'"kind":"task"', b'"kind":"other"')), "none of a registry"),
        (retold(content, lambda lines: lines + b"{}\n"), "is none of a registry"),
        (retold(content, lambda lines: lines + lines.split(b"\n")[0] + b"\n"), "not once what it is"),
    ]
    for files, said in spoiled:
        write(tar, files)
        with pytest.raises((Invalid, IntegrityError), match=said):
            other[1].unpack(tar)
        assert (other[0].prompts(), list(other[1].store.digests())) == ([], []), said


def test_an_export_that_cannot_be_whole_leaves_no_file(source: Side, tmp_path: Path) -> None:
    registry, keeper = source
    digest = registry.resolve("topic:1").digest
    keeper.store.put(digest, b"damaged")
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(IntegrityError, match="it is damaged"):
        keeper.pack(folder / "all.tar")
    with pytest.raises(NotFound, match="unknown prompt 'tipoc'"):
        keeper.pack(folder / "all.tar", ["tipoc"])
    assert os.listdir(folder) == []
    keeper.store.put(digest, b"topic")
    keeper.pack(folder / "all.tar")
    with pytest.raises(Conflict, match="exists"):
        keeper.pack(folder / "all.tar")


def test_an_import_killed_at_any_step_leaves_the_registry_whole_and_can_be_given_again(
    source: Side, other: Side, empty_database: str, tmp_path: Path, work: Work
) -> None:
    source[0].publish("solo", b"1", {}, idempotency_key="a", **ADA)
    source[0].promote([Move("solo:1")], **ADA)
    source[1].pack(tmp_path / "solo.tar", ["solo"])
    places = empty_database, tmp_path / "other-store", tmp_path / "solo.tar"
    seen = [line.split() for line in work("killed_import", *places, of="keepers.py")]
    codes, versions = zip(*seen, strict=True)
    assert set(codes[:-1]) == {"99"}
    assert codes[-1] == "0"
    assert len(codes) > 10
    assert list(versions) == sorted(versions)
    assert (versions[0], versions[-1]) == ("0", "1")
    assert other[0].resolve("solo").number == 1


def test_reviews_travel_and_the_audit_of_the_copy_is_whole(source: Side, other: Side, tmp_path: Path) -> None:
    version = source[0].resolve("topic:1")
    found = Findings(version, "live", "p" * 64, None, passed=False, details={"floor": {"value": 0.5}})
    report = source[0].reviews.record(found, actor="ada")
    source[0].reviews.approve(version, "live", approver="ben", reason="seen")
    cleared = Clearance(policy="p" * 64, baseline=None, report=report.hash, forced=True, approvals=1)
    source[0].promote([Move("topic:1", "live", clearance=cleared)], **ADA)
    source[1].pack(tmp_path / "all.tar")
    other[1].unpack(tmp_path / "all.tar")
    there = other[0].resolve("topic@live")
    assert other[0].reviews.reports(there) == [report]
    assert other[0].reviews.approvals(there) == source[0].reviews.approvals(version)
    assert other[0].history("topic", "live") == source[0].history("topic", "live")
    assert (other[0].reviews.verify().lines, other[0].reviews.verify().moves) == (2, source[0].reviews.verify().moves)
    assert other[1].unpack(tmp_path / "all.tar") == NOTHING
    assert other[0].reviews.verify().lines == 2
