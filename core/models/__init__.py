"""The tables as SQLAlchemy classes. The migrations are the authority; a test proves them equal."""

from core.models.api_key import ApiKey
from core.models.audit_event import AuditEvent, AuditEventRevision
from core.models.base import Base
from core.models.config import Config, ConfigValue
from core.models.environment import Environment
from core.models.flag import Flag
from core.models.installation import Installation, SnapshotKey
from core.models.issuer import Issuer, IssuerKey
from core.models.member import Member
from core.models.organization import Organization
from core.models.override import Override
from core.models.token import Token

__all__ = [
    "ApiKey",
    "AuditEvent",
    "AuditEventRevision",
    "Base",
    "Config",
    "ConfigValue",
    "Environment",
    "Flag",
    "Installation",
    "Issuer",
    "IssuerKey",
    "Member",
    "Organization",
    "Override",
    "SnapshotKey",
    "Token",
]
