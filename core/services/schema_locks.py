"""Which tables an SQL script locks, and how: read off its text, so that nothing has to be run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# From weak to strong, as far as scripts take them.
MODES: Final = (
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
_PIECE: Final = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|(?P<text>'(?:[^']|'')*'|(?P<quote>\$\w*\$).*?(?P=quote)|\bBEGIN ATOMIC\b.*?\bEND\b(?=\s*;))"
    r"|(?P<end>;)|\w+|.",
    re.DOTALL | re.IGNORECASE,
)
_NAME: Final = r'((?:"?\w+"?\.)?"?\w+"?)'
_PATTERNS: Final = [
    (re.compile(pattern.replace("NAME", _NAME), re.IGNORECASE), mode)
    for pattern, mode in (
        (r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY .*?\bON (?:ONLY )?NAME", "SHARE UPDATE EXCLUSIVE"),
        (r"CREATE (?:UNIQUE )?INDEX .*?\bON (?:ONLY )?NAME", "SHARE"),
        (r"CREATE (?:OR REPLACE |CONSTRAINT )*TRIGGER .*?\bON NAME", "SHARE ROW EXCLUSIVE"),
        (r"(?:CREATE|ALTER|DROP) POLICY .*?\bON NAME", "ACCESS EXCLUSIVE"),
        (r"DROP TRIGGER .*?\bON NAME", "ACCESS EXCLUSIVE"),
        (r"TRUNCATE (?:TABLE )?(?:ONLY )?NAME", "ACCESS EXCLUSIVE"),
        (r"(?:INSERT INTO|UPDATE|DELETE FROM) (?:ONLY )?NAME", "ROW EXCLUSIVE"),
        (r"COMMENT ON TABLE NAME", "SHARE UPDATE EXCLUSIVE"),
    )
]
_ALTER: Final = re.compile(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?{_NAME} (.*)", re.IGNORECASE)
_DROP: Final = re.compile(r"DROP TABLE (?:IF EXISTS )?(.*?)(?: CASCADE| RESTRICT)?", re.IGNORECASE)
_LOCK: Final = re.compile(rf"LOCK (?:TABLE )?{_NAME} IN ([A-Z ]+) MODE", re.IGNORECASE)
_REFERENCES: Final = re.compile(rf"\bREFERENCES {_NAME}", re.IGNORECASE)
_MILD: Final = [
    (re.compile(pattern, re.IGNORECASE), mode)
    for pattern, mode in (
        (r"VALIDATE CONSTRAINT |ALTER (?:COLUMN )?\S+ SET STATISTICS ", "SHARE UPDATE EXCLUSIVE"),
        (r"(?:ENABLE|DISABLE) TRIGGER |ADD CONSTRAINT \S+ FOREIGN KEY", "SHARE ROW EXCLUSIVE"),
    )
]
# What names no table, or runs a text that is made while it runs.
_OBSCURE: Final = re.compile(
    r"DO\b|(?:DROP|ALTER|REINDEX) INDEX|REINDEX|WITH\b|CLUSTER|VACUUM", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Statement:
    """As written, and `bare`: in one line, without comments, literals and bodies of functions."""

    text: str
    bare: str

    @property
    def is_obscure(self) -> bool:
        """Whether its locks cannot be read off its text."""
        return _OBSCURE.match(self.bare) is not None


def statements(script: str) -> list[Statement]:
    """A script's statements, in order."""
    found, text, bare = [], "", ""
    for piece in _PIECE.finditer(script + ";"):
        if piece["end"]:
            if bare.strip():
                found.append(Statement(text.strip(), " ".join(bare.split())))
            text = bare = ""
            continue
        if piece["comment"] is None:
            bare += "''" if piece["text"] else piece[0]
        elif not bare.strip():
            continue  # it stands before the statement
        text += piece[0]
    return found


def locks(statement: Statement) -> Iterator[tuple[str, str]]:
    """Each (table, mode) that it takes, tables without their schema."""
    bare = statement.bare
    if match := _ALTER.fullmatch(bare):
        yield _table(match[1]), _strongest(_altering(action) for action in _split(match[2]))
    elif match := _DROP.fullmatch(bare):
        for name in match[1].split(","):
            yield _table(name), "ACCESS EXCLUSIVE"
    elif match := _LOCK.match(bare):
        yield _table(match[1]), match[2].upper()
    else:
        for pattern, mode in _PATTERNS:
            if match := pattern.match(bare):
                yield _table(match[1]), mode
                break
    if bare.upper().startswith(("CREATE TABLE", "ALTER TABLE")):
        for match in _REFERENCES.finditer(bare):
            yield _table(match[1]), "SHARE ROW EXCLUSIVE"


def strongest_by_table(found: list[Statement]) -> dict[str, str]:
    """The strongest lock on each table that these statements take together."""
    modes: dict[str, list[str]] = {}
    for statement in found:
        for table, mode in locks(statement):
            modes.setdefault(table, []).append(mode)
    return {table: _strongest(iter(taken)) for table, taken in sorted(modes.items())}


def blocks(mode: str) -> str:
    """Whom a lock of this mode keeps waiting."""
    if mode == MODES[-1]:
        return "reads and writes"
    return "writes" if MODES.index(mode) >= MODES.index("SHARE") else "nothing"


def _altering(action: str) -> str:
    return next((mode for pattern, mode in _MILD if pattern.match(action)), "ACCESS EXCLUSIVE")


def _split(actions: str) -> list[str]:
    """At commas that stand in no parentheses."""
    parts, depth = [""], 0
    for character in actions:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _strongest(modes: Iterator[str]) -> str:
    return max(modes, key=MODES.index)


def _table(name: str) -> str:
    return name.strip().rpartition(".")[2].strip('"')
