"""Evaluation as a function: prepared flags in, a value and its reason out. No clock, no I/O."""
