"""Where cells run: one after the other in this process, or as Ray tasks, each on a core of its own."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ..cluster import started
from ..progress import Show
from ..settings import Settings
from .specs import Cell, Comparison

Starts: TypeAlias = Mapping[str, tuple[bytes, ...]]  # the artifacts of each start, by what a cell calls it


def lines(
    comparison: Comparison, cells: Sequence[Cell], starts: Starts, workers: int, settings: Settings, show: Show
) -> Generator[dict[str, Any], None, None]:
    """The lines of the cells, as they are finished; no worker means this very process."""
    if not workers or not cells:
        yield from _here(comparison, cells, starts)
        return
    workers = min(workers, len(cells))
    show.say(f"starting Ray with {workers} worker{'s' if workers > 1 else ''}")
    with started(settings.home, workers):
        yield from _on_ray(comparison, cells, starts)


def _here(comparison: Comparison, cells: Sequence[Cell], starts: Starts) -> Iterator[dict[str, Any]]:
    from .cell import attempt

    planned = comparison.model_dump_json()
    for cell in cells:
        yield attempt(planned, cell.model_dump_json(), starts[cell.start] if cell.start else ())


def _on_ray(comparison: Comparison, cells: Sequence[Cell], starts: Starts) -> Iterator[dict[str, Any]]:
    import ray
    from ray.exceptions import RayError

    from .cell import attempt, line

    remote = ray.remote(num_cpus=1, max_retries=1)(attempt)
    planned = comparison.model_dump_json()
    shared = {name: ray.put(blobs) for name, blobs in starts.items()}
    running = {
        remote.remote(planned, cell.model_dump_json(), shared[cell.start] if cell.start else ()): cell for cell in cells
    }
    while running:
        (ready,), _ = ray.wait(list(running))
        cell = running.pop(ready)
        try:
            yield ray.get(ready)
        except RayError as error:
            yield line(cell, {"failed": f"its worker died twice ({type(error).__name__})"})
