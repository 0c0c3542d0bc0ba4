"""The async services: each method is one blocking call of a store, made in a worker thread."""
