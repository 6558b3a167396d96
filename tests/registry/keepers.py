"""Processes that archive, delete, collect and check beside others, or die on the way; run like workers.py."""

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

import workers
from workers import KILLED, fork, say, wait

from registry import Conflict, Move, Registry
from registry.database import Database, connect
from registry.keeping.keeper import Keeper
from registry.store import open_store

NOW = timedelta(0)


def race(url: str, store: str, versions: str) -> None:
    """For each version, one process points an alias at it and another archives it, both at the same moment."""
    together = multiprocessing.Barrier(2)

    def act(process: int) -> None:
        with closing(Registry.open(url, store)) as opened:
            for number in range(1, int(versions) + 1):
                together.wait(30)
                try:
                    if process:
                        opened.retire([f"race:{number}"], "archive", actor="eve")
                    else:
                        opened.promote([Move(f"race:{number}", f"line-{number}")], actor="ada")
                    say(number, "archived" if process else "promoted")
                except Conflict:
                    pass

    workers.at_once(2, act)


def collect_beside(url: str, store: str, publishers: str, rounds: str) -> None:
    """Processes publish and delete versions of the same few bytes while two others collect garbage without grace.

    They go on until that many blobs were taken away, and each leaves one version at the end.
    """
    done, taken = multiprocessing.Value("i", 0), multiprocessing.Value("i", 0)

    def publish(process: int) -> None:
        with closing(Registry.open(url, store)) as opened:
            for step in range(100 * int(rounds)):
                blob = b"blob %d" % (step % 4)
                version = opened.publish("race", blob, {}, idempotency_key=f"{process}-{step}", actor="ada")
                assert opened.fetch(version) == blob
                if step >= int(rounds) and taken.value >= int(rounds):
                    break
                opened.retire([version.reference], "delete", actor="ada")
        with done.get_lock():
            done.value += 1

    def collect() -> None:
        with closing(Keeper.open(url, store)) as keeper:
            while done.value < int(publishers):
                removed = len(keeper.collect(NOW))
                with taken.get_lock():
                    taken.value += removed
        say(taken.value)

    workers.at_once(int(publishers) + 2, lambda process: publish(process) if process < int(publishers) else collect())


def killed(what: str, url: str, store: str) -> None:
    """Do something in a process killed at its first step, then at its second, until one survives.

    After each death the registry is whole; each attempt finds a version of its own.
    """
    for step in count(1):
        with _kept(url, store) as keeper:
            problems = keeper.check().problems
            assert not problems, problems
            there = Registry(keeper.database, keeper.store)
            name = f"race:{step}"
            if what != "collect" or not keeper.collect(NOW, dry_run=True):
                name = there.publish("race", b"%d" % step, {}, idempotency_key=f"k{step}", actor="ada").reference
            if what == "collect" and there.versions("race"):
                there.retire([name], "delete", actor="ada")
        code = wait(fork(partial(_do, what, url, store, name, step)))
        say(code)
        if code != KILLED:
            return


def _do(what: str, url: str, store: str, reference: str, step: int) -> None:
    keeper = Keeper(Database(connect(url)), open_store(store))
    there = Registry(keeper.database, keeper.store)
    acts: dict[str, Callable[[], object]] = {
        "promote": lambda: there.promote([Move(reference)], actor="ada"),
        "delete": lambda: there.retire([reference], "delete", actor="ada"),
        "collect": lambda: keeper.collect(NOW),
    }
    workers.die_at(step, Path(store), acts[what])


def _kept(url: str, store: str) -> "closing[Keeper]":
    return closing(Keeper(Database(connect(url)), open_store(store)))


def killed_import(url: str, store: str, file: str) -> None:
    """Import in processes killed step after step; whole after each, and complete after the last."""
    for step in count(1):
        code = wait(fork(partial(_import, url, store, file, step)))
        with _kept(url, store) as keeper:
            health = keeper.check()
            assert not health.problems, health.problems
        say(code, health.versions)
        if code != KILLED:
            return


def _import(url: str, store: str, file: str, step: int) -> None:
    keeper = Keeper(Database(connect(url)), open_store(store))
    workers.die_at(step, Path(store), lambda: keeper.unpack(Path(file)))


def memory(folder: str, megabytes: str) -> None:
    """Check, export and import a version of so many MiB; the MiB by which each made its process larger.

    In the same process, the same with a small version comes before.
    """
    sizes = (1, int(megabytes))
    for size in sizes:
        assert wait(fork(partial(_publish_large, folder, size))) == 0
    for act in ("check", "pack", "unpack"):
        assert wait(fork(partial(_say_growth, act, folder, sizes))) == 0


def _publish_large(folder: str, size: int) -> None:
    with closing(Registry.open(*_places(folder, size))) as opened:
        opened.publish("large", os.urandom(1 << 20) * size, {}, idempotency_key="k", actor="ada")


def _say_growth(act: str, folder: str, sizes: tuple[int, int]) -> None:
    peaks = []
    for size in sizes:
        with closing(Keeper.open(*_places(folder, size))) as keeper:
            file = Path(folder, f"{size}.tar")
            match act:
                case "check":
                    assert keeper.check().bytes == size << 20
                case "pack":
                    assert keeper.pack(file).size > size << 20
                case _:
                    with closing(Keeper.open(*_places(f"{folder}/other", size))) as other:
                        assert other.unpack(file).blobs == 1
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
    say(act, peaks[1] - peaks[0])


def _places(folder: str, size: int) -> tuple[str, str]:
    return f"sqlite:///{folder}/{size}/registry.db", f"{folder}/{size}/store"


if __name__ == "__main__":
    jobs = [race, collect_beside, killed, killed_import, memory]
    {job.__name__: job for job in jobs}[sys.argv[1]](*sys.argv[2:])
