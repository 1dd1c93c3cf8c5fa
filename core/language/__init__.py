"""The condition language: what people type and read, to the model of core/evaluation and back."""
