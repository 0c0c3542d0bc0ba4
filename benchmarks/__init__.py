"""What the services cost beside ADK's own, on servers started for the purpose. `tox -e bench` runs it."""
