"""The agent of the other examples, where ADK's command line looks for one."""
