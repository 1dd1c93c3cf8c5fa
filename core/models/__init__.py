"""The tables as SQLAlchemy classes. The migrations are the authority; a test proves them equal.

Each class is imported when it is first asked for: no command needs them all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from core.models.base import Base

if TYPE_CHECKING:
    from core.models.api_key import ApiKey
    from core.models.audit_event import AuditEvent, AuditEventRevision
    from core.models.config import Config, ConfigValue
    from core.models.environment import Environment
    from core.models.flag import Flag
    from core.models.installation import ChangeKey, Installation, SnapshotKey
    from core.models.issuer import Issuer, IssuerKey
    from core.models.member import Member
    from core.models.organization import Organization
    from core.models.override import Override
    from core.models.segment import Segment
    from core.models.token import Token, VerifiedToken

__all__ = [
    "ApiKey",
    "AuditEvent",
    "AuditEventRevision",
    "Base",
    "ChangeKey",
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
    "Segment",
    "SnapshotKey",
    "Token",
    "VerifiedToken",
    "load_all",
]

_MODULES = {
    "ApiKey": "api_key",
    "AuditEvent": "audit_event",
    "AuditEventRevision": "audit_event",
    "ChangeKey": "installation",
    "Config": "config",
    "ConfigValue": "config",
    "Environment": "environment",
    "Flag": "flag",
    "Installation": "installation",
    "Issuer": "issuer",
    "IssuerKey": "issuer",
    "Member": "member",
    "Organization": "organization",
    "Override": "override",
    "Segment": "segment",
    "SnapshotKey": "installation",
    "Token": "token",
    "VerifiedToken": "token",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(name)
    return getattr(import_module(f"core.models.{module}"), name)


def load_all() -> None:
    """Import every class, so that `Base.metadata` is the whole schema."""
    for module in _MODULES.values():
        import_module(f"core.models.{module}")
