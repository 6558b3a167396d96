"""Core dumps: a crashed process would leave its whole memory, and every row in it, on disk."""

import resource

# The kernel writes no file that small; and where dumps go to a handler, which knows no limit, it takes just this
# number for a refusal (Linux, fs/coredump.c).
_REFUSED = 1


def forbid() -> None:
    """Have this process, and those that it starts, leave no core dump."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard != 0:
        resource.setrlimit(resource.RLIMIT_CORE, (_REFUSED, hard))


def forbidden() -> bool:
    """Whether a crash of this process would leave none."""
    return resource.getrlimit(resource.RLIMIT_CORE)[0] in (0, _REFUSED)
