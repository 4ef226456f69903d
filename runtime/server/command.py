"""The command `dragoman serve`: load the models, listen, serve, and end when told to."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from types import FrameType

import uvicorn

from dragoman.runtime.errors import UserError
from dragoman.runtime.server.access import ApiKeys, Limits
from dragoman.runtime.server.app import Interface, Settings
from dragoman.runtime.server.http import Connection, listen, sweep, url_of
from dragoman.runtime.server.metrics import Metrics
from dragoman.runtime.server.models import Models
from dragoman.runtime.server.scheduler import Scheduler
from dragoman.runtime.server.service import Service
from dragoman.runtime.wording import counted

LOOK_SECONDS = 2  # between looks at the files of the models
GRACE_SECONDS = 30  # for requests that were accepted, when the server ends
MAX_WORKERS = 256
SWITCH_SECONDS = 0.0005  # after which a thread lets another one run Python code; Python's default is 0.005


def serve(a: argparse.Namespace) -> int:
    """Run `dragoman serve` and return its exit status."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the models are being loaded
    server = Server(a)
    sys.setswitchinterval(SWITCH_SECONDS)
    server.run_until_told()
    if server.service.is_busy:  # Python would wait for the threads
        sys.stderr.flush()
        os._exit(0)
    return 0


class Server(uvicorn.Server):
    """A uvicorn server that looks after slow clients and changed models, and ends with status 0 when told to.

    Attributes:
        url: Its URL.
        service: The translation of requests.
        interface: Its HTTP interface.
        metrics: Its metrics.
    """

    def __init__(self, a: argparse.Namespace) -> None:
        """Load the models and begin to listen, by the arguments of `dragoman serve`. Raises UserError."""
        limits = Limits(a.rate, a.char_limit)
        keys = ApiKeys.read(a.api_keys, limits) if a.api_keys else None
        models = Models(a.models)
        if a.beam is not None:
            for model in models:
                model.translator.check_beam(a.beam)
        self._listener = listen(a.host, a.port)
        self.url = url_of(self._listener)
        self.metrics = Metrics()
        n_workers = a.workers or available_cores()
        if n_workers > MAX_WORKERS:
            self._listener.close()
            raise UserError(f"--workers is {n_workers:,}; give at most {MAX_WORKERS}, best one for each core")
        scheduler = Scheduler(n_workers, a.batch_size, on_batch=self.metrics.count_batch)
        settings = Settings(limits, a.file_limit << 20, keys, tuple(a.cors), a.log, a.url or "")
        self.service = Service(models, scheduler, beam=a.beam, capacity=max(a.queue, settings.most_characters))
        self.metrics.watch(lambda: self.service.capacity.used, lambda: scheduler.n_waiting)
        pairs = ", ".join(model.pair for model in models)
        self._message = f"serving {pairs} on {self.url} with {counted(n_workers, 'worker')}; Ctrl-C ends it"
        self.interface = Interface(self.service, settings, self.metrics)
        app = self.interface.app(self._around)
        super().__init__(
            uvicorn.Config(
                app, interface="asgi3", http=Connection, ws="none", log_config=None, access_log=False,
                server_header=False, proxy_headers=False, timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )  # fmt: skip

    def run_until_told(self) -> None:
        """Answer requests until a signal comes, or `should_exit` is set."""
        with contextlib.closing(self._listener), contextlib.closing(self.service):
            self.run(sockets=[self._listener])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the server after the requests that it has accepted; at the second signal, without waiting for them."""
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer requests."""
        await super().startup(sockets)
        print(f"dragoman: {self._message}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM end the server. Unlike uvicorn's own, do not send the signal again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.asynccontextmanager
    async def _around(self, _: object) -> AsyncIterator[None]:
        """Look after slow clients and changed models while the server runs."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(sweep(self)), loop.create_task(self._look())]
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGHUP, lambda: tasks.append(loop.create_task(self._reload(all_files=True))))
        yield
        for task in tasks:
            task.cancel()

    async def _look(self) -> None:
        """Load models again whose files have changed."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._reload(all_files=False)

    async def _reload(self, *, all_files: bool) -> None:
        for message in await asyncio.to_thread(self.service.models.reload, all_files=all_files):
            self.metrics.loads.inc()
            print(f"dragoman: {message}", file=sys.stderr, flush=True)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
