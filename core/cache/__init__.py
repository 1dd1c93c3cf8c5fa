"""The copy in Redis: its keys, its one script, and how a writer says that a copy is no longer good.

What lies in Redis is never trusted: a reader verifies it, and can always rebuild it from Postgres.
"""
