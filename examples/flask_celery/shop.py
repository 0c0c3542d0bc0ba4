"""A Flask view that shows a conversation, and hands what takes long to Celery.

    flask --app examples/flask_celery/shop.py run
    curl -X POST localhost:5000/orders/ada/s1 -d item=book
    curl localhost:5000/orders/ada/s1

There is no event loop: views use the blocking store.
"""

from __future__ import annotations

import os

from flask import Flask, Response, jsonify, request
from worker import APP, ship

from adk_extra_sessions import RedisSessionStore

app = Flask(__name__)
# Shared by all threads of the process; with several processes, each makes its own when it imports this module.
store = RedisSessionStore(os.environ.get("SESSIONS_URL", "redis://localhost:6379"))


@app.post("/orders/<user_id>/<session_id>")
def order(user_id: str, session_id: str) -> tuple[Response, int]:
    """Makes sure that there is a session, and queues the shipping."""
    names = {"app_name": APP, "user_id": user_id, "session_id": session_id}
    with store.turn(**names):
        if store.get_session(**names) is None:
            store.create_session(**names)
    ship.delay(user_id, session_id, request.form["item"])
    return jsonify(queued=True), 202


@app.get("/orders/<user_id>/<session_id>")
def orders(user_id: str, session_id: str) -> Response | tuple[Response, int]:
    """Shows what has been shipped."""
    session = store.get_session(app_name=APP, user_id=user_id, session_id=session_id)
    if session is None:
        return jsonify(error="no such session"), 404
    return jsonify(shipped=session.state.get("shipped", []), events=len(session.events))


@app.get("/health")
def health() -> Response:
    """Tells whether the session store answers."""
    store.ping()
    return jsonify(sessions="ok")
