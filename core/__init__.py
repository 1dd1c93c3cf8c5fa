"""What flagctl and readserver share: models, evaluation, audit, snapshots, authentication."""

__version__ = "0.1.0"
