"""A process may die at any step."""

from collections.abc import Callable


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
