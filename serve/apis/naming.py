"""How an answer of these protocols names the version that it came from."""

from registry import Version

HEADER = "X-Promptctl-Version"


def named(version: Version) -> str:
    """The version's reference and its digest."""
    return f"{version.reference} {version.digest}"
