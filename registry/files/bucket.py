"""An object store that fsspec reaches, such as S3."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EIO
from typing import TYPE_CHECKING, Any, cast

from .kinds import CHUNK, Leftover

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PART = 16 << 20  # bytes; S3 takes 10,000 parts of one object
UPLOAD = "?uploadId="


@dataclass(frozen=True)
class Bucket:
    """An object store, whose single PUT is atomic; the key comes from the content, so writing again is harmless."""

    filesystem: "AbstractFileSystem"
    root: str

    def write(self, key: str, data: bytes) -> None:
        """PUT the object; a large one in parts, which become an object together."""
        with _answering():
            self.filesystem.pipe_file(f"{self.root}/{key}", data)

    def write_chunks(self, key: str, chunks: Iterable[bytes]) -> None:
        """PUT the object in parts, which become an object together or are taken back."""
        from fsspec.spec import AbstractBufferedFile

        with _answering():
            file: Any = self.filesystem.open(f"{self.root}/{key}", "wb", block_size=PART)
            try:
                for chunk in chunks:
                    file.write(chunk)
            except BaseException:
                if isinstance(file, AbstractBufferedFile):
                    file.discard()
                    file.closed = True  # closing, also by its finaliser, would make an object of the parts so far
                raise
            file.close()

    def read(self, key: str) -> bytes:
        """GET the object."""
        with _answering():
            return cast(bytes, self.filesystem.cat_file(f"{self.root}/{key}"))

    def chunks(self, key: str) -> Iterator[bytes]:
        """GET the object range by range."""
        with (
            _answering(),
            self.filesystem.open(f"{self.root}/{key}", "rb", block_size=CHUNK, cache_type="none") as file,
        ):
            while chunk := cast(bytes, file.read(CHUNK)):
                yield chunk

    def remove(self, key: str) -> None:
        """DELETE the object."""
        with _answering():
            try:
                self.filesystem.rm_file(f"{self.root}/{key}")
            except FileNotFoundError:  # an object store says nothing, others do
                return

    def keys(self, folder: str) -> Iterator[str]:
        """LIST the objects, anew."""
        with _answering():
            self.filesystem.invalidate_cache()
            found = cast(list[str], self.filesystem.find(f"{self.root}/{folder}"))
            self.filesystem.invalidate_cache()
        for path in found:
            yield path.lstrip("/").removeprefix(self.root.lstrip("/")).lstrip("/")

    def leftovers(self) -> list[Leftover]:
        """Uploads in parts that were never ended; S3 shows them in no listing, and keeps them for ever."""
        listing = getattr(self.filesystem, "list_multipart_uploads", None)
        if listing is None:
            return []
        bucket, prefix = self._place()
        with _answering():
            found: list[dict[str, Any]] = listing(bucket)
        return [
            Leftover(f"{upload['Key'].removeprefix(prefix)}{UPLOAD}{upload['UploadId']}", 0, upload["Initiated"])
            for upload in found
            if upload["Key"].startswith(prefix)
        ]

    def clear(self, leftover: Leftover) -> None:
        """Abort the upload."""
        bucket, prefix = self._place()
        key, _, upload = leftover.name.rpartition(UPLOAD)
        filesystem: Any = self.filesystem  # S3's, as it had leftovers
        with _answering():
            filesystem.abort_mpu(bucket, f"{prefix}{key}", upload)

    def _place(self) -> tuple[str, str]:
        """The bucket, and what every key in it begins with."""
        bucket, _, prefix = self.root.partition("/")
        return bucket, f"{prefix}/" if prefix else ""


@contextmanager
def _answering() -> Iterator[None]:
    """Say as an OSError what S3's client says in a way of its own: no connection, no credentials."""
    try:
        yield
    except Exception as error:
        client = sys.modules.get("botocore.exceptions")
        if client is None or not isinstance(error, client.BotoCoreError):
            raise
        raise OSError(EIO, type(error).__name__) from error
