"""The read server: applications read flags and configs from it, cache first."""
