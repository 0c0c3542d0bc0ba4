"""The agent of these examples, in the folder where ADK's command line looks for it."""
