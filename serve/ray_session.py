"""A local Ray for one server: private folder, token in a file of its owner's, nothing logged, nothing reported."""

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterator

from .config import ServeConfig
from .errors import Invalid

# What Ray appends to its folder, and the longest path that a Unix socket may have.
_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST = 107

PRIVATE = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_CLIENT_ADDRESS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "GLOG_minloglevel": "3",
}


@contextlib.contextmanager
def started(config: ServeConfig) -> Iterator[None]:
    """Ray for the time of the block; its files are gone afterwards.

    Raises:
        Invalid: the folder's path is too long for Ray's sockets.
    """
    folder = config.ray_dir
    if len(str(folder) + _SOCKET) > _LONGEST:
        raise Invalid(
            f"the path {str(folder)!r} has {len(str(folder))} characters; Ray's sockets leave room for"
            f" {_LONGEST - len(_SOCKET)}",
            hint="set PROMPTCTL_HOME to a shorter folder, or serve with --local",
        )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.environ.update(PRIVATE)
    os.environ["RAY_AUTH_TOKEN_PATH"] = _token(config)
    import ray  # reads the environment as it is imported

    for name in ("ray", "ray.serve"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        object_store_memory=100 * 2**20,
        _temp_dir=str(folder),
    )
    session = ray.get_runtime_context().get_session_name()
    try:
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder / session, ignore_errors=True)


def _token(config: ServeConfig) -> str:
    """The file with the cluster's secret, readable by its owner alone."""
    config.home.mkdir(parents=True, exist_ok=True)
    path = config.home / "ray_token"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return str(path)
