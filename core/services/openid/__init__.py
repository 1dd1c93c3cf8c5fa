"""Talking to OpenID issuers: their keys, and a person's login. Nothing here opens Postgres."""
