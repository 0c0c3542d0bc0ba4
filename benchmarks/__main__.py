"""Command line of the benchmarks."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.servers import MongoServer, RedisServer, initiate

from adk_extra_sessions import MongoSessionService, MongoSessionStore, RedisSessionService, RedisSessionStore
from benchmarks.budgets import Result, save, table
from benchmarks.growth import growth, soak
from benchmarks.history import plot, svg
from benchmarks.managing import managing
from benchmarks.mongo_bench import MongoBench
from benchmarks.redis_bench import RedisBench
from benchmarks.storage_size import storage_size
from benchmarks.turns import LENGTHS, columns, growth_of_turns, turns, turns_with_cache
from benchmarks.turns import results as results_of_turns


@contextmanager
def started(backend: str) -> Iterator[str]:
    """Starts a server as the budgets want it, and yields its URL."""
    if backend == "redis":
        with RedisServer() as server:
            yield server.url
    else:
        with MongoServer(replica_set="bench") as mongo:
            initiate(mongo)
            yield mongo.url


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--backend", choices=["redis", "mongodb"], nargs="+", default=["redis", "mongodb"])
    parser.add_argument("--counts", action="store_true", help="only what does not depend on the machine's speed")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="ours alone")
    parser.add_argument("--rounds", type=int, default=40, help="how often each contender has its turn")
    parser.add_argument("--growth", action="store_true", help="instead: beside very many sessions of other users")
    parser.add_argument("--sessions", type=int, help="how many those are (1,000,000 on Redis, 200,000 on MongoDB)")
    parser.add_argument("--manage", action="store_true", help="instead: pages, pruning and erasure of 60,000 sessions")
    parser.add_argument("--size", action="store_true", help="instead: bytes that the server needs")
    parser.add_argument("--soak", type=int, metavar="APPENDS", help="instead: memory over so many appends")
    parser.add_argument("--history", type=Path, metavar="SVG", help="instead: plot cost against history length")
    parser.add_argument("--turns", type=Path, metavar="SVG", help="instead: plot a Runner's turns, and compare them")
    parser.add_argument("--json", type=Path, help="write the results here too")
    return parser.parse_args()


async def special(backend: str, url: str, given: argparse.Namespace) -> list[Result]:
    """Runs what is not in the table of budgets."""
    make = {"redis": lambda: RedisSessionService(url), "mongodb": lambda: MongoSessionService(url, "special")}[backend]
    async with make() as service:
        if given.growth:
            many = given.sessions or {"redis": 1_000_000, "mongodb": 200_000}[backend]
            return await growth(service, backend, many, given.rounds)
        return await soak(service, backend, given.soak)


def measured(backend: str, given: argparse.Namespace) -> list[Result]:
    """Measures one backend as the command line says."""
    if given.manage or given.size:
        with started(backend) as url:
            store = RedisSessionStore(url) if backend == "redis" else MongoSessionStore(url, "managing")
            with store:
                return storage_size(store, backend) if given.size else managing(store, backend)
    if given.growth or given.soak:
        with started(backend) as url:
            return asyncio.run(special(backend, url, given))
    bench = {"redis": RedisBench, "mongodb": MongoBench}[backend]
    with started(backend) as url:
        results = bench(url, given.peers, given.rounds).counts()
    if given.counts:
        return results
    with started(backend) as url:
        return results + asyncio.run(bench(url, given.peers, given.rounds).speeds())


def main() -> int:
    """Measures, prints a table, and returns 1 when a budget is missed."""
    given = arguments()
    if given.history:
        with started("redis") as redis_url, started("mongodb") as mongo_url:
            asyncio.run(plot(given.history, redis_url, mongo_url))
        return 0
    if given.turns:
        with started("redis") as redis_url, started("mongodb") as mongo_url, TemporaryDirectory() as folder:
            grown = asyncio.run(turns_with_cache(redis_url, mongo_url, given.rounds))
            grown += asyncio.run(growth_of_turns(redis_url, mongo_url, given.rounds))
            made = asyncio.run(turns(redis_url, mongo_url, Path(folder), given.rounds))
        drawn = {name: one for name, one in made.items() if "text" in name and "ours on MongoDB" not in name}
        texts = {name[:-6]: [taken * 1000 for taken in one.values()] for name, one in drawn.items()}
        title = "milliseconds a turn, by events in the session (both axes logarithmic)"
        given.turns.write_text(svg(title, LENGTHS, texts, 1))
        print(table([*grown, *results_of_turns(made)]))
        print(columns(made))
        return 0
    results = [one for backend in given.backend for one in measured(backend, given)]
    print(table(results))
    if given.json:
        save(given.json, results, {"python": platform.python_version(), "machine": platform.machine()})
    missed = [one for one in results if not one.held]
    print(f"\n{len(results) - len(missed)} of {len(results)} budgets held.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
