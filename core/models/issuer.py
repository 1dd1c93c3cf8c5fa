from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Identity, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class Issuer(Base):
    """Who may sign admin tokens. The built-in one is flagctl itself."""

    __tablename__ = "issuers"
    __table_args__ = (UniqueConstraint("issuer", name="issuers_issuer_unique"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    issuer: Mapped[str]
    audience: Mapped[str]
    built_in: Mapped[bool]
    max_lifetime_seconds: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]


class IssuerKey(Base):
    """A public key of an issuer: RSA, SubjectPublicKeyInfo in PEM."""

    __tablename__ = "issuer_keys"
    __table_args__ = (
        ForeignKeyConstraint(["issuer_id"], ["flagctl.issuers.id"], name="issuer_keys_issuer_fkey"),
        UniqueConstraint("issuer_id", "key_id", name="issuer_keys_key_id_unique"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    issuer_id: Mapped[int]
    key_id: Mapped[str]
    public_key: Mapped[str]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
