"""Whole files by key: in a local folder, or in any object store that fsspec reaches."""

from .bucket import Bucket
from .folder import Folder
from .kinds import CHUNK, Files, Leftover

__all__ = ["CHUNK", "Bucket", "Files", "Folder", "Leftover"]
