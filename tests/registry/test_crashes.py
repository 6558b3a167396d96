"""A process may die at any step."""

from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Registry


def test_a_publisher_killed_at_any_step_leaves_no_ready_version_without_its_blob(
    database: str, store: str, work: Callable[..., list[str]]
) -> None:
    seen = [tuple(map(int, line.split())) for line in work("killed_publish", database, store)]
    codes, versions, ready = zip(*seen, strict=True)
    assert codes == (99,) * (len(codes) - 1) + (0,)
    assert len(codes) > 20
    assert sorted(versions) == list(versions)
    assert sorted(ready) == list(ready)
    assert {(0, 0), (1, 0), (1, 1)} == set(zip(versions, ready, strict=True))


@pytest.mark.parametrize(("what", "steps"), [("promote", 4), ("delete", 6), ("collect", 8)])
def test_a_process_killed_at_any_step_leaves_a_registry_that_is_whole(
    database: str, store: str, registry: Registry, what: str, steps: int, work: Callable[..., list[str]]
) -> None:
    codes = work("killed", what, database, store, of="keepers.py")
    assert set(codes[:-1]) == {"99"}
    assert codes[-1] == "0"
    assert len(codes) > steps
    registry.verify_history()
    states = [version.state for version in registry.versions("race", retired=True)[::-1]]
    match what:
        case "promote":
            assert registry.resolve("race").number == len(codes)
            assert set(states) == {"READY"}
        case "delete":
            assert states[-1] == "DELETED"
        case "collect":
            assert set(states) == {"DELETED"}
            assert not [path for path in Path(store).rglob("*") if path.is_file()]
