"""Command line of the benchmarks."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from servers import MongoServer, RedisServer, initiate

from benchmarks.budgets import Result, save, table
from benchmarks.mongo_bench import MongoBench
from benchmarks.redis_bench import RedisBench


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
    parser.add_argument("--json", type=Path, help="write the results here too")
    return parser.parse_args()


def main() -> int:
    """Measures, prints a table, and returns 1 when a budget is missed."""
    given = arguments()
    results: list[Result] = []
    for backend in given.backend:
        bench = {"redis": RedisBench, "mongodb": MongoBench}[backend]
        with started(backend) as url:
            results += bench(url, given.peers, given.rounds).counts()
        if not given.counts:
            with started(backend) as url:
                results += asyncio.run(bench(url, given.peers, given.rounds).speeds())
    print(table(results))
    if given.json:
        save(given.json, results, {"python": platform.python_version(), "machine": platform.machine()})
    missed = [one for one in results if not one.held]
    print(f"\n{len(results) - len(missed)} of {len(results)} budgets held.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
