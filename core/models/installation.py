from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Integer

from core.models.base import Attribute, Base


class Installation(Base):
    """One row: this database's identity. `epoch_generation` rises with `flagctl db new-epoch`."""

    __tablename__ = "installation"

    singleton: Attribute[bool] = Column(primary_key=True)
    id: Attribute[UUID]
    epoch_generation: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]


class ChangeKey(Base):
    """One row: the two secrets that seal who acts in a transaction. Nobody is granted them."""

    __tablename__ = "change_key"

    singleton: Attribute[bool] = Column(primary_key=True)
    inner_key: Attribute[bytes]
    outer_key: Attribute[bytes]


class SnapshotKey(Base):
    """One row: the secret that authenticates snapshots in Redis. Readers alone may read it."""

    __tablename__ = "snapshot_key"

    singleton: Attribute[bool] = Column(primary_key=True)
    secret: Attribute[bytes]
