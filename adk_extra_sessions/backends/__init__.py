"""The blocking stores: `base` has ADK's rules, each folder one database's primitives."""
