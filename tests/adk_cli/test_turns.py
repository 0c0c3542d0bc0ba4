"""Many messages to one session at once, over HTTP, in two `adk api_server` processes behind one store."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.adk_server import AdkServer
from support.servers import wait_until

PLUGIN = ("--extra_plugins", "adk_extra_sessions.TurnPlugin")

CART_AGENT = '''
"""An agent that puts what it is told into the cart, without a model."""

import asyncio

from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.tools import ToolContext
from google.genai import types


async def put(item: str, tool_context: ToolContext) -> dict:
    """Puts an item into the cart."""
    cart = list(tool_context.state.get("cart", []))
    await asyncio.sleep(0.02)
    tool_context.state["cart"] = [*cart, item]
    return {"items": len(cart) + 1}


class Model(BaseLlm):
    model: str = "scripted"

    async def generate_content_async(self, llm_request, stream=False):
        last = llm_request.contents[-1].parts[-1]
        if last.function_response:
            part = types.Part(text=f"{last.function_response.response['items']} items")
        else:
            part = types.Part.from_function_call(name="put", args={"item": last.text})
        yield LlmResponse(content=types.ModelContent(part))


root_agent = LlmAgent(name="cart", model=Model(), tools=[put])
'''


@pytest.fixture
def shop(agents: Path) -> Path:
    """An agents folder with an agent that fills a cart."""
    (agents / "cart").mkdir()
    (agents / "cart" / "agent.py").write_text(CART_AGENT, "utf-8")
    (agents / "cart" / "__init__.py").write_text("from . import agent\n", "utf-8")
    return agents


class Cart:
    """One session of the agent."""

    path = "/apps/cart/users/ada/sessions/s1"

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def create(self) -> None:
        assert self.client.post(self.path, json={}).is_success

    def put(self, item: str) -> httpx.Response:
        message = {"role": "user", "parts": [{"text": item}]}
        names = {"appName": "cart", "userId": "ada", "sessionId": "s1"}
        return self.client.post("/run", json={**names, "newMessage": message})

    def get(self) -> Any:
        return self.client.get(self.path).json()


@pytest.mark.parametrize("backend", ["redis", "mongod"])
def test_40_messages_in_two_processes(shop: Path, uri: str) -> None:
    with (
        AdkServer("api_server", shop, uri, *PLUGIN) as one,
        AdkServer("api_server", shop, uri, *PLUGIN) as other,
        one.client() as first,
        other.client() as second,
        ThreadPoolExecutor(8) as clients,
    ):
        Cart(first).create()
        items = [f"item {number}" for number in range(40)]
        answers = list(clients.map(lambda at: Cart((first, second)[at % 2]).put(items[at]), range(40)))
        assert Counter(answer.status_code for answer in answers) == {200: 40}
        session = Cart(first).get()
    assert sorted(session["state"]["cart"]) == sorted(items)
    said = [event["author"] for event in session["events"]]
    assert said == ["user", "cart", "cart", "cart"] * 40  # one run after the other


@pytest.mark.parametrize("backend", ["redis", "mongod"])
def test_one_process_is_killed_and_the_other_goes_on(shop: Path, uri: str) -> None:
    with (
        AdkServer("api_server", shop, uri, *PLUGIN) as one,
        AdkServer("api_server", shop, uri, *PLUGIN) as other,
        one.client() as first,
        other.client() as second,
        ThreadPoolExecutor(8) as clients,
    ):
        Cart(first).create()
        stop = threading.Event()

        def keep_busy(number: int) -> int:
            done = 0
            while not stop.is_set():
                try:
                    done += Cart(first).put(f"doomed {number} {done}").is_success
                except httpx.TransportError:
                    break
            return done

        busy = [clients.submit(keep_busy, number) for number in range(4)]
        wait_until(lambda: "cart" in Cart(second).get()["state"], "no message was answered")
        one.kill()
        stop.set()
        assert Cart(second).put("the first after it").is_success  # it does not wait for ever, but `WAIT` at most
        answered = sum(future.result() for future in busy)
        cart = Cart(second).get()["state"]["cart"]
    assert len(cart) >= answered + 1
    assert cart[-1] == "the first after it"
