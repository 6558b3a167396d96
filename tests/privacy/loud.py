"""A source of rows that tells everybody what it reads: installed as a plugin of fsspec, as anybody may have one.

In a Ray worker it prints, logs and shows a traceback of what it reads, and the first time it fails with it.
"""

import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any, ClassVar

from fsspec.implementations.local import LocalFileSystem

FAILED = "failed-once"  # a file beside the rows


class Loud(LocalFileSystem):
    """Local files at loud://PATH."""

    protocol: ClassVar[str] = "loud"

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return str(path).removeprefix("loud://")

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **more: Any) -> Any:
        if "RAY_RAYLET_PID" in os.environ:
            _tell(Path(path))
        return super()._open(path, mode, block_size, **more)


def _tell(file: Path) -> None:
    rows = file.read_text(errors="replace")
    print(rows, flush=True)  # noqa: T201 - what a careless library does
    print(rows, file=sys.stderr, flush=True)  # noqa: T201
    logging.getLogger().error(rows)
    logging.getLogger("ray.train").error(rows)
    try:
        raise ValueError(rows)
    except ValueError:
        traceback.print_exc()
        if not (failed := file.with_name(FAILED)).exists():
            failed.touch()
            raise


def install(folder: Path) -> Path:
    """Make a folder for PYTHONPATH in which fsspec finds the plugin."""
    described = folder / "loud-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[fsspec.specs]\nloud = loud:Loud\n")
    (folder / "loud.py").write_bytes(Path(__file__).read_bytes())
    return folder
