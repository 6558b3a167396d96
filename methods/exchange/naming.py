"""The name of somebody's base model, without the place where it lay on somebody's disk."""

import re
from pathlib import PurePosixPath, PureWindowsPath

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def public_name(base: object) -> str:
    """A name as a hub has it stays; of a path only the last part is left."""
    text = str(base or "")[:200]
    if _HUB.fullmatch(text) and ".." not in text:
        return text
    last = PureWindowsPath(text).name if "\\" in text else PurePosixPath(text).name
    return re.sub(r"[^\w.-]", "", last)
