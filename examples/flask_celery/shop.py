"""Flask views that show a conversation, and leave slow work to a Celery task.

    flask --app examples/flask_celery/shop.py run
    curl -X POST localhost:5000/orders/ada/s1 -d item=book
    curl localhost:5000/orders/ada/s1

A Flask view has no event loop, so it uses the blocking store.
"""

from __future__ import annotations

import os

from flask import Flask, Response, jsonify, request
from worker import APP, ship

from adk_extra_sessions import RedisSessionStore

app = Flask(__name__)
# All threads of a process share it. Each process must import this module itself, after a fork.
store = RedisSessionStore(os.environ.get("SESSIONS_URL", "redis://localhost:6379"))


@app.post("/orders/<user_id>/<session_id>")
def order(user_id: str, session_id: str) -> tuple[Response, int]:
    """Creates the session if there is none, and queues the shipping."""
    store.get_or_create_session(app_name=APP, user_id=user_id, session_id=session_id)
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
    """Reports whether the database answers."""
    store.ping()
    return jsonify(sessions="ok")
