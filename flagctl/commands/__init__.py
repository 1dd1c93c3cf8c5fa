"""One noun, one file. A command parses, calls one service or query, prints.

Imports of `core` that reach SQLAlchemy stand inside the commands: they take most of a second, and
`--help`, completion and typos need none of them.
"""
