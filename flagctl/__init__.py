"""The command line: operators and pipelines write with it."""
