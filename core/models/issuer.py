from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Identity, Integer, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class Issuer(Base):
    """Who may sign admin tokens: the built-in one, flagctl itself, for every organization; any
    other for one."""

    __tablename__ = "issuers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id"], ["flagctl.organizations.id"], name="issuers_organization_fkey"
        ),
        UniqueConstraint(
            "organization_id",
            "issuer",
            name="issuers_issuer_unique",
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    organization_id: Mapped[int | None]
    issuer: Mapped[str]
    audience: Mapped[str]
    built_in: Mapped[bool]
    max_lifetime_seconds: Mapped[int] = mapped_column(Integer)
    jwks_url: Mapped[str | None]
    refreshed_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class IssuerKey(Base):
    """A public RSA key of an issuer, with the exponent 65537; `modulus` is big-endian."""

    __tablename__ = "issuer_keys"
    __table_args__ = (
        ForeignKeyConstraint(["issuer_id"], ["flagctl.issuers.id"], name="issuer_keys_issuer_fkey"),
        UniqueConstraint("issuer_id", "key_id", name="issuer_keys_key_id_unique"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    issuer_id: Mapped[int]
    key_id: Mapped[str]
    modulus: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
