"""Tags, the changes of them, and what of a version's card is searched for."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ..columns import Base


class TagRow(Base):
    """What a version is tagged with now; each change is a `TagEventRow`."""

    __tablename__ = "tag"
    __table_args__ = (Index(None, "key", "value"),)

    version_id: Mapped[int] = mapped_column(ForeignKey("prompt_version.id"), primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class TagEventRow(Base):
    """A tag that was set, changed or taken away, by whom and when; append-only."""

    __tablename__ = "tag_event"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("prompt_version.id"), index=True)
    key: Mapped[str]
    old: Mapped[str | None]
    new: Mapped[str | None]
    actor: Mapped[str]
    at: Mapped[datetime]


class FacetRow(Base):
    """The `method`, `task` or `kind` of a version's card, where an index finds it.

    A trigger writes it when the version becomes ready, whoever makes it that.
    """

    __tablename__ = "version_facet"
    __table_args__ = (Index(None, "key", "value"),)

    version_id: Mapped[int] = mapped_column(ForeignKey("prompt_version.id"), primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
