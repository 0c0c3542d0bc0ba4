"""What touches ADK beyond its session interface: its storage marker, its registry of services, a plugin."""
