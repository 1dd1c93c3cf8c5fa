"""`flagctl dev`: a whole installation in one folder, started by one command."""
