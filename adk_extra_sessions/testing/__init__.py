"""For tests: in-process fakes by URL, pytest fixtures on them, and the contract of a session service."""
