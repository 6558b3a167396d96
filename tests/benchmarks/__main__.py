"""`make bench [ONLY=name]`: every module here with a `measure`, one JSON line each."""

import importlib
import json
import sys
from pathlib import Path


def main(only: str = "") -> None:
    """Run the benchmarks whose file name is `only`, or all."""
    names = sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith("_"))
    chosen = [name for name in names if only in ("", name)]
    if not chosen:
        sys.exit(f"no benchmark {only!r}; there are {', '.join(names)}")
    for name in chosen:
        measured = importlib.import_module(f"tests.benchmarks.{name}").measure()
        for line in measured if isinstance(measured, list) else [measured]:
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


main(*sys.argv[1:2])
