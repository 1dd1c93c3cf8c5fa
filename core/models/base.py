"""What every model shares."""

import datetime
import uuid
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine


class Base(DeclarativeBase):
    """Python types map to one Postgres type each; names of constraints are in the migrations."""

    metadata = MetaData(schema="flagctl")
    type_annotation_map: ClassVar[dict[Any, TypeEngine[Any]]] = {
        int: BigInteger(),
        str: Text(),
        datetime.datetime: DateTime(timezone=True),
        uuid.UUID: UUID(),
        dict[str, Any]: JSONB(),
    }
