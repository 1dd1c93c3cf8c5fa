from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class Installation(Base):
    """One row: this database's identity. `epoch_generation` rises with `flagctl db new-epoch`."""

    __tablename__ = "installation"

    singleton: Mapped[bool] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    epoch_generation: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]


class ChangeKey(Base):
    """One row: the two secrets that seal who acts in a transaction. Nobody is granted them."""

    __tablename__ = "change_key"

    singleton: Mapped[bool] = mapped_column(primary_key=True)
    inner_key: Mapped[bytes] = mapped_column(LargeBinary)
    outer_key: Mapped[bytes] = mapped_column(LargeBinary)


class SnapshotKey(Base):
    """One row: the secret that authenticates snapshots in Redis. Readers alone may read it."""

    __tablename__ = "snapshot_key"

    singleton: Mapped[bool] = mapped_column(primary_key=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
