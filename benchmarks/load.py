"""An open-loop load: requests leave when they are due, whether or not earlier ones were answered.

So a service that falls behind is seen to: latency counts from the moment a request was due (G. Tene's "coordinated
omission" does not arise).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import numpy as np

__all__ = ["Load", "Outcome", "capacity", "offered", "statuses_told"]


@dataclass(frozen=True)
class Load:
    """What is asked.

    Attributes:
        address: of the endpoint.
        body: of each request.
        content_type: of the body.
        rate: requests a second.
        seconds: for how long.
    """

    address: str
    body: bytes
    content_type: str
    rate: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What came of a load.

    Attributes:
        statuses: how many answers of each status; ``failed`` where there was none.
        latency: seconds from when each request was due to its answer, of those answered with 200, shape (n,).
        seconds: from the first request to the last answer.
    """

    statuses: Counter[str]
    latency: np.ndarray
    seconds: float

    def percentile(self, share: float) -> float:
        """Milliseconds; nan where nothing was answered."""
        return float(np.quantile(self.latency, share)) * 1000 if len(self.latency) else float("nan")


def offered(load: Load, patience: float = 30.0) -> Outcome:
    """Offer a load and wait for all answers; a request is given up after ``patience`` seconds."""
    return asyncio.run(_offered(load, patience))


def capacity(load: Load, clients: int = 32) -> float:
    """Answers a second when some clients ask again as soon as they are answered."""

    async def ask() -> float:
        headers = {"Content-Type": load.content_type}
        answered = 0
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60.0)) as session:
            begun = time.perf_counter()

            async def again() -> None:
                nonlocal answered
                while time.perf_counter() - begun < load.seconds:
                    async with session.post(load.address, data=load.body, headers=headers) as response:
                        await response.read()
                        answered += response.status == 200

            await asyncio.gather(*(again() for _ in range(clients)))
            return answered / (time.perf_counter() - begun)

    return asyncio.run(ask())


async def _offered(load: Load, patience: float) -> Outcome:
    statuses: Counter[str] = Counter()
    latency: list[float] = []
    headers = {"Content-Type": load.content_type}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=patience)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def ask(due: float) -> None:
            try:
                async with session.post(load.address, data=load.body, headers=headers) as response:
                    await response.read()
            except (aiohttp.ClientError, TimeoutError):
                statuses["failed"] += 1
                return
            statuses[str(response.status)] += 1
            if response.status == 200:
                latency.append(time.perf_counter() - due)

        begun = time.perf_counter()
        tasks: list[asyncio.Task[None]] = []
        for due in (begun + np.arange(round(load.rate * load.seconds)) / load.rate).tolist():
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(ask(due)))
        await asyncio.gather(*tasks)
        return Outcome(statuses, np.array(latency), time.perf_counter() - begun)


def statuses_told(statuses: Counter[str], order: Sequence[str] = ("200",)) -> str:
    """``18,000 × 200, 3 × 503``."""
    names = [*order, *sorted(name for name in statuses if name not in order)]
    return ", ".join(f"{statuses[name]:,} × {name}" for name in names if statuses[name])
