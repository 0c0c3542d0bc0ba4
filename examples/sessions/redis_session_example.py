"""A conversation on Redis that continues after a restart.

    python examples/sessions/redis_session_example.py
    REDIS_URL=redis://localhost:6379 python examples/sessions/redis_session_example.py

Without a server it uses an in-process fake. With one, run it twice.
"""

from __future__ import annotations

import asyncio
import os

from dotenv import load_dotenv
from uppercase_agent import QUESTION, open_session, say

from adk_extra_sessions import RedisSessionService


async def main() -> None:
    """Sends a message with one service object, and continues with another one."""
    load_dotenv()
    url = os.environ.get("REDIS_URL") or "fakeredis://example"

    async with RedisSessionService(url) as service:
        print(service)
        session = await open_session(service)
        run = session.state.get("runs", 0) + 1
        print(f"Run {run} of this conversation; {len(session.events)} events so far.")
        await say(service, f"hello from run {run}", state={"runs": run})

    print("-- a new service object, as after a restart --")
    async with RedisSessionService(url) as service:
        await say(service, QUESTION)


if __name__ == "__main__":
    asyncio.run(main())
