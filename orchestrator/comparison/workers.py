"""Where cells run: one after the other in this process, or as Ray tasks, each on a core of its own."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any

from ..cluster import started
from ..progress import Show
from ..settings import Settings
from .specs import Cell, Comparison


def lines(
    comparison: Comparison, cells: Sequence[Cell], workers: int, settings: Settings, show: Show
) -> Generator[dict[str, Any], None, None]:
    """The lines of the cells, as they are finished; no worker means this very process."""
    if not workers or not cells:
        yield from _here(comparison, cells)
        return
    workers = min(workers, len(cells))
    show.say(f"starting Ray with {workers} worker{'s' if workers > 1 else ''}")
    with started(settings.home, workers):
        yield from _on_ray(comparison, cells)


def _here(comparison: Comparison, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    from .cell import attempt

    planned = comparison.model_dump_json()
    for cell in cells:
        yield attempt(planned, cell.model_dump_json())


def _on_ray(comparison: Comparison, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    import ray
    from ray.exceptions import RayError

    from .cell import attempt, line

    remote = ray.remote(num_cpus=1, max_retries=1)(attempt)
    planned = comparison.model_dump_json()
    running = {remote.remote(planned, cell.model_dump_json()): cell for cell in cells}
    while running:
        (ready,), _ = ray.wait(list(running))
        cell = running.pop(ready)
        try:
            yield ray.get(ready)
        except RayError as error:
            yield line(cell, {"failed": f"its worker died twice ({type(error).__name__})"})
