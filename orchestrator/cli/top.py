"""`promptctl top`: a running server, live."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from serve.client import Client

PATIENCE_S = 5.0  # for an answer; a process that has not been heard of for so long is forgotten
Status = Mapping[str, Any]


@click.command()
@click.option("--server", metavar="URL", help="The server; else PROMPTCTL_SERVER's.")
@click.option("--every", "every_s", type=click.FloatRange(0.2, 60), default=1.0, show_default=True,
              metavar="SECONDS", help="How often to look.")  # fmt: skip
@click.option("--once", is_flag=True, help="Print what there is now, and leave.")
def top(server: str | None, every_s: float, once: bool) -> None:
    """Watch a running server: rows, latency, queue, bank, aliases.

    Ctrl-C leaves. Of several replicas each look meets one; what they do is added up.

    \b
    promptctl top
    promptctl top --once
    """
    from rich.console import Console
    from rich.live import Live

    from serve.client import Client

    from ..settings import Settings

    url, console = server or Settings().server, Console()
    with Client(url, retries=0, timeout=PATIENCE_S) as client:
        watch = Watch(url, client)
        watch.look()
        if once or not console.is_terminal:
            console.print(watch.frame())
            return
        with suppress(KeyboardInterrupt), Live(watch.frame(), console=console, screen=True, auto_refresh=False) as live:
            _follow(watch, live, every_s)


class Watch:
    """What was last heard of each process that answers at an address."""

    def __init__(self, url: str, client: "Client") -> None:
        self._url, self._client = url, client
        self._heard: dict[str, tuple[float, Status]] = {}
        self._silent = ""

    def look(self) -> None:
        """Ask one of them.

        Raises:
            ServeError: none answers, or the token is not let in.
        """
        status, now = self._client.status(), time.monotonic()
        self._heard = {one: heard for one, heard in self._heard.items() if now - heard[0] < PATIENCE_S}
        self._heard[status["traffic"]["process"]] = now, status
        self._tasks = self._client.tasks()
        self._silent = ""

    def silent(self, reason: str) -> None:
        """Say in the next frame that none answered."""
        self._silent = reason

    def frame(self) -> "RenderableType":
        """What to show."""
        from rich.console import Group
        from rich.text import Text

        every = [status for _, status in self._heard.values()]
        newest = max(every, key=lambda status: status["epoch"])
        lines = [
            Text(f"{self._url}  epoch {newest['epoch']}  {newest['backbone']['name']}  processes {len(every)}", "bold"),
            Text(_numbers(every)),
            _aliases(self._tasks, newest["splits"]),
            *(Text(line, "red") for line in _troubles(every, self._silent)),
        ]
        return Group(*lines)


def _follow(watch: Watch, live: Any, every_s: float) -> None:
    from serve.errors import Unavailable

    while True:
        time.sleep(every_s)
        try:
            watch.look()
        except Unavailable as error:
            watch.silent(str(error))
        live.update(watch.frame(), refresh=True)


def _numbers(every: Iterable[Status]) -> str:
    traffic = [status["traffic"] for status in every]
    slow = {name: [one[name] for one in traffic if one[name] is not None] for name in ("p50_s", "p99_s")}
    latency = "  ".join(f"{name[:3]} {max(found) * 1000:.1f} ms" for name, found in slow.items() if found)
    return "  ".join(
        part
        for part in (
            f"rows/s {sum(one['rows_per_s'] for one in traffic):.1f}",
            latency,
            f"rows {sum(one['rows'] for one in traffic):,}",
            f"queue {sum(status['waiting_tokens'] for status in every):,} tokens",
            f"bank {sum(status['resident_bytes'] for status in every) / 2**20:.1f} MiB",
            f"rejected {sum(one['rejected'] for one in traffic):,}",
        )
        if part
    )


def _aliases(tasks: Iterable[Status], splits: Iterable[Status]) -> "RenderableType":
    from rich.table import Table

    beside = {(split["prompt"], split["alias"]): split for split in splits}
    table = Table("PROMPT", "KIND", "ALIAS", "VERSION", "CANDIDATE", "SHARE", "AGREES", box=None, pad_edge=False)
    for task in tasks:
        for alias, version in task["aliases"].items():
            split = beside.get((task["prompt"], alias))
            more = _split(split) if split else ()
            table.add_row(*(_text(part) for part in (task["prompt"], task["kind"], alias, version, *more)))
    return table


def _split(split: Status) -> tuple[str, str, str]:
    agreement = split["agreement"]
    share = f"{split['percent']} %" if split["percent"] else "shadow"
    return split["candidate"], share, "" if agreement is None else f"{agreement:.1%} of {split['compared']:,}"


def _troubles(every: Iterable[Status], silent: str) -> Iterable[str]:
    refused = {
        (one["prompt"], one["alias"], one["version"], one["reason"]) for status in every for one in status["refused"]
    }
    for prompt, alias, version, reason in sorted(refused):
        yield f"refused {prompt}@{alias} {version}: {reason}"
    yield from sorted({f"registry: {status['stale_reason']}" for status in every if status["stale_since"]})
    if silent:
        yield silent


def _text(text: str) -> "Text":
    from rich.text import Text

    from .output import cell

    return Text(cell(text))
