"""Ray, started quietly and privately: no dashboard, no log, nothing outside promptctl's home."""

import contextlib
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from . import core_dumps, ray_privacy
from .errors import InvalidSpec

# The longest path that Ray appends to its folder, and the longest that a Unix socket may have.
_SOCKET = "/s/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST = 107

QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "GLOG_minloglevel": "3",
}


@contextlib.contextmanager
def started(home: Path, cpus: int) -> Iterator[None]:
    """A local Ray cluster for the time of the block; its files lie under `home`.

    Raises:
        InvalidSpec: the folder's path is too long for Ray's sockets.
        NotPrivate: Ray was started and would keep what users wrote.
    """
    folder = fitting(home)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    sessions = folder / "s"  # Ray opens it to everybody, again with every process it starts
    os.environ.update(QUIET)
    ray_privacy.apply()
    core_dumps.forbid()
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(_token(home))
    import ray  # heavy, and it reads the environment when imported

    for name in ("ray", "ray.train", "ray.serve", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with ray_privacy.unheard():
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            object_store_memory=ray_privacy.OBJECT_STORE,
            _temp_dir=str(sessions),
            _system_config=dict(ray_privacy.SYSTEM),
        )
    session = ray.get_runtime_context().get_session_name()
    try:
        ray_privacy.check(folder, sessions / session)
        with contextlib.redirect_stdout(sys.stderr):  # where Ray prints that a worker died; stdout is for data
            yield
    finally:
        ray.shutdown()
        shutil.rmtree(sessions / session, ignore_errors=True)


def fitting(home: Path) -> Path:
    """Ray's folder under `home`.

    Raises:
        InvalidSpec: its path is too long for Ray's sockets.
    """
    folder = home / "ray"
    if len(str(folder) + _SOCKET) > _LONGEST:
        raise InvalidSpec(
            f"the path {str(folder)!r} is {len(str(folder))} characters long; Ray's sockets leave room for"
            f" {_LONGEST - len(_SOCKET)}",
            hint="set PROMPTCTL_HOME to a shorter folder",
        )
    return folder


def _token(home: Path) -> Path:
    """The cluster's secret, readable by its owner alone."""
    path = home / "ray_token"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path
