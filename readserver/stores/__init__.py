"""One store for each medium: memory, Redis, Postgres. `readserver.provider` composes them."""
