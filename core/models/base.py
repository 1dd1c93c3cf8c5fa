"""What every model shares."""

import datetime
import uuid
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, Dialect, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine


class Moment(TypeDecorator[datetime.datetime]):
    """A timestamptz, in UTC whatever the session's zone is: it is printed, and part of tags."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(
        self,
        value: datetime.datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy hands it over
    ) -> datetime.datetime | None:
        return None if value is None else value.astimezone(datetime.UTC)


class Base(DeclarativeBase):
    """Python types map to one Postgres type each; names of constraints are in the migrations."""

    metadata = MetaData(schema="flagctl")
    type_annotation_map: ClassVar[dict[Any, TypeEngine[Any]]] = {
        int: BigInteger(),
        str: Text(),
        datetime.datetime: Moment(),
        uuid.UUID: UUID(),
        dict[str, Any]: JSONB(),
    }
