"""The agent that ADK's command line runs."""

from uppercase_agent import make_agent

root_agent = make_agent()
