"""What every model shares: a class is a table, and its attributes are the columns.

    class Flag(Base):
        __tablename__ = "flags"

        key: Attribute[str]

`Flag` stands in statements where SQLAlchemy takes a table, and `Flag.key` where it takes a column.
No row becomes an object of such a class, and SQLAlchemy's ORM, which could do that, is not loaded:
each command would take a quarter longer.
"""

import datetime
import inspect
import types
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar, Final, TypeAlias, get_args

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnClause,
    DateTime,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import NullType, TypeEngine

# Each is a Column of the table. Of a class SQLAlchemy's types forbid that one, lest it be
# taken for a mapped one.
Attribute: TypeAlias = ColumnClause


# Python types map to one Postgres type each; a column that names its own keeps it.
_TYPES: Final[dict[Any, TypeEngine[Any]]] = {
    bool: Boolean(),
    int: BigInteger(),
    str: Text(),
    bytes: LargeBinary(),
    datetime.datetime: DateTime(timezone=True),
    uuid.UUID: UUID(),
    dict[str, Any]: JSONB(),
}


class Base:
    """Names of constraints are in the migrations, as are defaults."""

    metadata: ClassVar = MetaData(schema="flagctl")
    __tablename__: ClassVar[str]
    __table_args__: ClassVar[tuple[SchemaItem, ...]] = ()
    __table__: ClassVar[Table]

    def __init_subclass__(cls) -> None:
        columns = list(_columns(cls))
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *columns, *cls.__table_args__)
        for column in columns:
            setattr(cls, column.key, column)

    @classmethod
    def __clause_element__(cls) -> Table:
        """SQLAlchemy asks for it."""
        return cls.__table__


def _columns(model: type[Base]) -> Iterator[Column[Any]]:
    """`name: Attribute[int | None]`, and what `= Column(…)` adds to it."""
    for name, annotation in inspect.get_annotations(model).items():
        (kind,) = get_args(annotation)
        column: Column[Any] = vars(model).get(name, Column())
        column.name = column.key = name
        column.nullable = types.NoneType in get_args(kind)
        if isinstance(column.type, NullType):
            column.type = _TYPES[get_args(kind)[0] if column.nullable else kind]
        yield column
