"""Sessions on MongoDB."""
