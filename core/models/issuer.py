from datetime import datetime

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Identity,
    Integer,
    UniqueConstraint,
)

from core.models.base import Attribute, Base


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

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int | None]
    issuer: Attribute[str]
    audience: Attribute[str]
    built_in: Attribute[bool]
    max_lifetime_seconds: Attribute[int] = Column(Integer)
    jwks_url: Attribute[str | None]
    refreshed_at: Attribute[datetime | None]
    created_at: Attribute[datetime]


class IssuerKey(Base):
    """A public RSA key of an issuer, with the exponent 65537; `modulus` is big-endian."""

    __tablename__ = "issuer_keys"
    __table_args__ = (
        ForeignKeyConstraint(["issuer_id"], ["flagctl.issuers.id"], name="issuer_keys_issuer_fkey"),
        UniqueConstraint("issuer_id", "key_id", name="issuer_keys_key_id_unique"),
    )

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    issuer_id: Attribute[int]
    key_id: Attribute[str]
    modulus: Attribute[bytes]
    expires_at: Attribute[datetime | None]
    revoked_at: Attribute[datetime | None]
    created_at: Attribute[datetime]
