"""The databases: `base` says what a backend does, each folder is one database."""
