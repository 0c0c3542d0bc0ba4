"""The command line `adk-sessions`: one command a file, each a thin layer over public functions."""
