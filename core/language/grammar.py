"""The grammar, for lark's LALR parser."""

from typing import Final

LONGEST: Final = 65_536  # characters
GRAMMAR: Final = r"""
?start: condition
?condition: conjunction ("or" conjunction)*
?conjunction: negation ("and" negation)*
?negation: "not" negation -> deny
    | "(" condition ")" -> group
    | "true" -> always
    | "all" "(" (condition ("," condition)*)? ")" -> all_of
    | "any" "(" (condition ("," condition)*)? ")" -> any_of
    | "segment" "(" STRING ")" -> segment
    | "exists" "(" attribute ")" -> exists
    | attribute EQUALITY literal -> compare
    | attribute ORDER literal -> compare
    | attribute WORD_OPERATOR STRING -> compare
    | attribute "contains" literal -> contains
    | attribute (EQUALITY | ORDER) "semver" "(" STRING ")" -> version
    | attribute "in" values -> among
    | attribute "not" "in" values -> not_among
    | attribute "in" "cidr" "(" STRING ("," STRING)* ")" -> within
attribute: NAME -> named
    | "attr" "(" STRING ")" -> quoted
values: "[" (literal ("," literal)*)? "]"
literal: STRING -> text
    | NUMBER -> number
    | "true" -> yes
    | "false" -> no
EQUALITY: "==" | "!="
ORDER: "<=" | ">=" | "<" | ">"
WORD_OPERATOR.2: /(starts_with|ends_with|matches|before|after)(?![A-Za-z0-9_.-])/
NAME: /[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*/
STRING: /"([^"\\\x00-\x1f]|\\(["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![A-Za-z0-9_.])/
%import common.WS
%ignore WS
"""
RESERVED: Final = frozenset(
    {
        *("and", "or", "not", "in", "true", "false", "all", "any", "segment", "exists", "attr"),
        *("semver", "cidr", "contains", "starts_with", "ends_with", "matches", "before", "after"),
    }
)
# operator of the model → how it is written
SYMBOLS: Final = {"eq": "==", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
WORDS: Final = ("contains", "starts_with", "ends_with", "matches", "before", "after")
# lark's terminal → what a person calls it, for "expected …"
TERMINALS: Final = {
    "NAME": "an attribute",
    "STRING": 'a text in "…"',
    "NUMBER": "a number",
    "EQUALITY": "== or !=",
    "ORDER": "<, <=, > or >=",
    "WORD_OPERATOR": "starts_with, ends_with, matches, before or after",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "COMMA": "a comma",
    "$END": "the end",
}
