"""The schema's history, run by `flagctl db upgrade`."""
