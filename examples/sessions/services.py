"""Registers the URLs of Redis and MongoDB with ADK.

ADK reads this file when it is started with the folder:

    adk web examples/sessions --session_service_uri "redis://localhost:6379?ttl=30d"
    adk api_server examples/sessions --session_service_uri "mongodb://localhost:27017/adk"
"""

from adk_extra_sessions.adk.registry import register

register()
