"""Good and bad tokens: one table for whoever verifies them."""
