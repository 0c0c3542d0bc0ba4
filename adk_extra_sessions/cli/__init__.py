"""The command line `adk-sessions`: each command is in its own file, a thin layer over public functions."""
