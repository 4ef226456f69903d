"""Measure `dragoman serve` on loopback: batches over clients, the overhead of HTTP, a soak, and an overload.

- throughput: answers a second to 8 clients that always have a request open, with batches of up to 32 sentences against
  batches of one, for greedy search and beam 5. One worker. The two servers take turns.
- overhead: the time of a single request less that of `Translator.translate` in this process, in turns; medians.
- soak: 64 clients with texts of all lengths, of whom some go away before their answer. Every answer is compared with
  what the model file gives here. Memory of the server in the second and in the last quarter (medians).
- processes: answers a second to 8 clients of one server with a worker for each core, against as many servers with one
  worker each, among which the clients are divided.
- peer: answers a second to 8 clients, the time of a single request, and the memory, against LibreTranslate with a
  Transformer "tiny" of random weights, which `make .venv-libretranslate/installed` makes possible. Beam 5, and
  LibreTranslate's own beam of 4.
- overload: requests at twice the rate that the server can answer. Answers of 503, the time of accepted requests, and
  memory before, after a quarter of the time, and at the end.

Without a model, it measures one of random weights with the shape of a configuration, 4,000 subwords and vocabulary
selection, on sentences of 14 invented words, 15 ids in and 15 out.

Run it in the folder of the repository, with nothing else running: python -m bench.server, or python -m bench.server
MODEL.onnx --corpus data/libreoffice. It prints one JSON object per line. With --record the rows go to a file, in place
of this machine's older rows of the same figures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from bench.invented import sentences
from bench.speed import Row, exit_status, quartiles
from bench.vocabulary import SHARED, Subwords, build_files, random_selection
from dragoman.runtime.server.command import available_cores
from dragoman.runtime.translator import Translator
from dragoman.translate.config import load
from dragoman.translate.corpus.folder import Corpus, check_model_languages

VOCABULARY = 4_000  # of the random model
RANDOM_MODEL = f"random, {VOCABULARY:,} subwords"
CLIENTS = 8
SOAK_CLIENTS = 64
OVERLOAD_CLIENTS = 950  # a server takes 1,000
OVERLOAD_QUEUE = 20_000  # characters, so few that the clients can fill it
MAX_WORDS = 20  # of the texts of throughput and overhead
GONE = 0.05  # share of requests whose client goes away
LENGTH = 14  # ids of a translation of LibreTranslate, without the end of the sentence
PEER = 'LibreTranslate 1.9.6, random int8 Transformer "tiny"'
PEER_BEAM = 4  # LibreTranslate's own
SECONDS_TO_START = 120
IDLE = 2  # seconds after which a client opens a new connection
WARM_UP = 0.25  # share of a soak before memory is measured first
SAMPLES = 60  # of memory in a soak, since it depends on the batches of the moment


@dataclass
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    address: tuple[str, int]

    def memory(self) -> float:
        """Return the resident memory in MiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            (kib,) = re.findall(r"VmRSS:\s+(\d+) kB", file.read())
        return int(kib) / 1024


@contextmanager
def serving(model: str, *options: str) -> Iterator[Server]:
    """Yield a server of Dragoman, whose end must be clean."""
    command = [sys.executable, "-m", "dragoman", "serve", model, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            found = re.search(r" on (http://\S+) with ", line)
            assert found, line
            url = urlsplit(found[1])
            assert url.hostname
            assert url.port
            yield Server(process, (url.hostname, url.port))
        finally:
            process.terminate()
            status = process.wait()
        assert status == 0


@contextmanager
def serving_libretranslate(python: Path, tokenizer: bytes, folder: Path, beam: int) -> Iterator[Server]:
    """Yield a server of LibreTranslate with a model of random weights, which translates every text to LENGTH ids.

    Args:
        python: The Python of its environment.
        tokenizer: The SentencePiece model.
        folder: An empty folder for what it reads and writes.
        beam: Beam size.
    """
    subwords = folder / "tokenizer.model"
    subwords.write_bytes(tokenizer)
    packages = folder / "share/argos-translate/packages"
    subprocess.run(
        [python, "-m", "bench.libretranslate", str(subwords), str(packages), str(LENGTH)], check=True
    )  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    environment = {
        **os.environ, "XDG_DATA_HOME": str(folder / "share"), "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"), "ARGOS_CHUNK_TYPE": "SPACY", "ARGOS_BEAM_SIZE": str(beam),
        "ARGOS_COMPUTE_TYPE": "int8", "ARGOS_INTER_THREADS": str(available_cores()), "ARGOS_INTRA_THREADS": "1",
    }  # fmt: skip
    command = [python.parent.absolute() / "libretranslate", "--host", address[0], "--port", str(address[1])]
    with (
        open(folder / "log", "w") as log,
        subprocess.Popen(
            [*command, "--threads", str(CLIENTS)], stdout=log, stderr=log, text=True, env=environment, cwd=folder
        ) as process,
    ):
        try:
            for _ in range(SECONDS_TO_START):
                time.sleep(1)
                with suppress(OSError), urlopen(f"http://{address[0]}:{address[1]}/languages", timeout=5):
                    break
            else:
                raise RuntimeError(f"LibreTranslate does not answer: {(folder / 'log').read_text()}")
            yield Server(process, address)
        finally:
            process.terminate()


def request_of(text: str, languages: tuple[str, str]) -> bytes:
    """Return an HTTP request to translate a text."""
    body = json.dumps({"q": text, "source": languages[0], "target": languages[1]}).encode()
    head = (
        f"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Client:
    """A connection that has at most one request open."""

    address: tuple[str, int]
    connection: socket.socket | None = None
    number: int | None = None  # of the open request
    started: float = 0.0
    used: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def send(self, number: int, request: bytes) -> socket.socket:
        """Send a request, and return the connection. The server closes one that nobody uses."""
        if self.connection and time.perf_counter() - self.used > IDLE:
            self.close()
        if self.connection is None:
            self.connection = socket.create_connection(self.address)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number, self.started = number, time.perf_counter()
        self.connection.sendall(request)
        return self.connection

    def receive(self) -> tuple[int, bytes] | None:
        """Return the status and the body of the answer; None if it is not complete."""
        assert self.connection
        data = self.connection.recv(1 << 16)
        self.received += data
        head, separator, body = bytes(self.received).partition(b"\r\n\r\n")
        if not separator:
            if data:
                return None
            return 0, b""  # the server has closed the connection
        (length,) = re.findall(rb"content-length: (\d+)", head.lower())
        if len(body) < int(length):
            return None
        self.received.clear()
        self.used = time.perf_counter()
        if b"connection: close" in head.lower():
            self.close()
        return int(head.split()[1]), body

    def close(self) -> None:
        """Close the connection, and give its request up."""
        if self.connection:
            self.connection.close()
        self.connection = self.number = None
        self.received.clear()


Answered = Callable[[int, float, int, bytes], None]  # number, seconds, status, body


def drive(
    clients: Sequence[Client], requests: Sequence[bytes], numbers: Iterator[int], answered: Answered, *,
    next_time: Callable[[], float | None] | None = None, goes_away: Callable[[], bool] = lambda: False,
) -> None:  # fmt: skip
    """Send requests until `numbers` ends, and wait for the last answers.

    Args:
        clients: Clients.
        requests: Requests by number.
        numbers: The numbers of the requests to send.
        answered: Takes the number, the seconds, the status and the body of each answer.
        next_time: Returns when the next request is due; by default, at once. None while no more are due.
        goes_away: Returns whether a client goes away from the request that it has just sent.
    """
    with selectors.DefaultSelector() as selector:
        idle = [*clients]
        n_open = 0
        is_over = False
        while True:
            while idle and not is_over:
                if next_time and (due := next_time()) is not None and due > time.perf_counter():
                    break
                number = next(numbers, None)
                if number is None:
                    is_over = True
                    break
                client = idle.pop()
                connection = client.send(number, requests[number])
                if goes_away():
                    client.close()
                    idle.insert(0, client)
                    continue
                selector.register(connection, selectors.EVENT_READ, client)
                n_open += 1
            if is_over and not n_open:
                return
            timeout = None
            if next_time and not is_over and idle and (due := next_time()) is not None:
                timeout = max(0.0, due - time.perf_counter())
            for key, _ in selector.select(timeout):
                client = key.data
                number, connection = client.number, client.connection
                answer = client.receive()
                if answer is None:
                    continue
                selector.unregister(connection)
                n_open -= 1
                idle.append(client)
                answered(number, time.perf_counter() - client.started, *answer)
                if answer[0] == 0:
                    client.close()


def rate(requests: Sequence[bytes], *servers: Server) -> float:
    """Return answers a second to clients that always have a request open, and are divided among servers."""

    def check(number: int, seconds: float, status: int, body: bytes) -> None:
        assert status == 200, body

    clients = [Client(server.address) for server, _ in zip(cycle(servers), range(CLIENTS), strict=False)]
    start = time.perf_counter()
    drive(clients, requests, iter(range(len(requests))), check)
    seconds = time.perf_counter() - start
    for client in clients:
        client.close()
    return len(requests) / seconds


def throughput(model: str, requests: Sequence[bytes], beam: int, turns: int) -> Row:
    """Return answers a second with batches against batches of one."""
    with ExitStack() as stack:
        options = "--workers", "1", "--beam", str(beam), "--batch-size"
        batched, single = (stack.enter_context(serving(model, *options, size)) for size in ("32", "1"))
        pairs = [(rate(requests, batched), rate(requests, single)) for _ in range(turns + 1)][1:]
    low, middle, high = quartiles([with_batches / one for with_batches, one in pairs])
    return {
        "figure": "throughput", "beam": beam, "clients": CLIENTS, "workers": 1,
        "batched_per_second": round(statistics.median(a for a, _ in pairs), 1),
        "single_per_second": round(statistics.median(b for _, b in pairs), 1),
        "ratio": round(middle, 3), "spread": [round(low, 3), round(high, 3)],
    }  # fmt: skip


def single(client: Client, requests: Sequence[bytes]) -> float:
    """Return the median of the milliseconds that a request takes, one after the other."""
    times: list[float] = []

    def note(number: int, seconds: float, status: int, body: bytes) -> None:
        assert status == 200, body
        times.append(1000 * seconds)

    drive([client], requests, iter(range(len(requests))), note)
    return statistics.median(times)


def processes(model: str, requests: Sequence[bytes], turns: int) -> Row:
    """Return answers a second of workers in one process against those of a process for each worker."""
    n_workers = available_cores()
    with ExitStack() as stack:
        threads = stack.enter_context(serving(model, "--workers", str(n_workers)))
        separate = [stack.enter_context(serving(model, "--workers", "1")) for _ in range(n_workers)]
        pairs = [(rate(requests, threads), rate(requests, *separate)) for _ in range(turns + 1)][1:]
        memory = [threads.memory(), sum(server.memory() for server in separate)]
    low, middle, high = quartiles([a / b for a, b in pairs])
    return {
        "figure": "processes", "clients": CLIENTS, "workers": n_workers,
        "threads_per_second": round(statistics.median(a for a, _ in pairs), 1),
        "processes_per_second": round(statistics.median(b for _, b in pairs), 1),
        "ratio": round(middle, 3), "spread": [round(low, 3), round(high, 3)],
        "memory_mib": [round(each, 1) for each in memory],
    }  # fmt: skip


def peer(
    model: str, requests: Sequence[bytes], beam: int, turns: int, python: Path, folder: Path
) -> Row:  # fmt: skip
    """Return answers a second, the time of a single request and memory, against LibreTranslate."""
    peer_beam = PEER_BEAM if beam > 1 else 1
    tokenizer = Translator.load(model).source_tokenizer.model
    with (
        serving(model, "--beam", str(beam)) as ours,
        serving_libretranslate(python, tokenizer, folder, peer_beam) as theirs,
    ):
        rates = [(rate(requests, ours), rate(requests, theirs)) for _ in range(turns + 1)][1:]
        clients = [Client(server.address) for server in (ours, theirs)]
        times = [[single(client, requests) for client in clients] for _ in range(turns + 1)][1:]
        memory = [server.memory() for server in (ours, theirs)]
        for client in clients:
            client.close()
    found: Row = {"figure": "peer", "beam": beam, "peer": PEER, "peer_beam": peer_beam, "clients": CLIENTS}
    for name, (a, b) in {"per_second": zip(*rates, strict=True), "single_ms": zip(*times, strict=True)}.items():
        low, middle, high = quartiles([x / y for x, y in zip(a, b, strict=True)])
        found[f"ours_{name}"], found[f"peer_{name}"] = round(statistics.median(a), 2), round(statistics.median(b), 2)
        found[f"ratio_{name}"], found[f"spread_{name}"] = round(middle, 3), [round(low, 3), round(high, 3)]
    return {**found, "memory_mib": [round(each, 1) for each in memory]}


def overhead(model: str, texts: Sequence[str], requests: Sequence[bytes], beam: int, turns: int) -> Row:
    """Return the time of a single request, and that of the same translation in this process."""
    translator = Translator.load(model)
    with serving(model, "--workers", "1", "--beam", str(beam)) as server:
        client = Client(server.address)
        pairs = []
        for turn in range(turns + 1):
            http = single(client, requests)
            local = []
            for text in texts:
                start = time.perf_counter()
                translator.translate(text, beam=beam)
                local.append(time.perf_counter() - start)
            if turn:
                pairs.append((http, 1000 * statistics.median(local)))
        client.close()
    low, middle, high = quartiles([a - b for a, b in pairs])
    return {
        "figure": "overhead", "beam": beam,
        "http_ms": round(statistics.median(a for a, _ in pairs), 3),
        "local_ms": round(statistics.median(b for _, b in pairs), 3),
        "overhead_ms": round(middle, 3), "spread": [round(low, 3), round(high, 3)],
    }  # fmt: skip


def soak(model: str, texts: Sequence[str], languages: tuple[str, str], seconds: float) -> Row:
    """Return what happens while many clients with texts of all lengths come, and some go away."""
    generator = random.Random(1)
    mixed = [" ".join(generator.choices(texts, k=generator.choice((1, 1, 1, 2, 5, 20)))) for _ in range(500)]
    expected = [translation.text for translation in Translator.load(model).translate(mixed)]
    requests = [request_of(text, languages) for text in mixed]
    counts: Counter[str] = Counter()
    samples: list[tuple[float, float]] = []  # of the time that has passed, from 0 to 1, and of memory
    with serving(model) as server:
        clients = [Client(server.address) for _ in range(SOAK_CLIENTS)]
        start = time.perf_counter()

        def check(number: int, _: float, status: int, body: bytes) -> None:
            if status == 200:
                is_right = json.loads(body) == {"translatedText": expected[number]}
                counts["right" if is_right else "wrong"] += 1
            else:
                counts["refused" if status == 503 else "lost"] += 1
            passed = (time.perf_counter() - start) / seconds
            if not samples or passed > samples[-1][0] + 1 / SAMPLES:
                samples.append((passed, server.memory()))

        def numbers() -> Iterator[int]:
            while time.perf_counter() - start < seconds:
                yield generator.randrange(len(mixed))

        drive(clients, requests, numbers(), check, goes_away=lambda: generator.random() < GONE)
        quarters = [[mib for passed, mib in samples if a < passed <= a + 0.25] for a in (WARM_UP, 0.75)]
        for client in clients:
            client.close()
    return {
        "figure": "soak", "clients": SOAK_CLIENTS, "seconds": seconds, **counts,
        "memory_mib": [round(statistics.median(quarter), 1) for quarter in quarters],
    }  # fmt: skip


def overload(model: str, texts: Sequence[str], languages: tuple[str, str], seconds: float) -> Row:
    """Return what happens at twice the rate that a server can answer."""
    requests = [request_of(text, languages) for text in texts]
    counts: Counter[int] = Counter()
    accepted: list[float] = []
    with serving(model, "--queue", str(OVERLOAD_QUEUE)) as server:
        capacity = rate(requests, server)
        memory = [server.memory()]
        clients = [Client(server.address) for _ in range(OVERLOAD_CLIENTS)]
        interval = 1 / (2 * capacity)
        start = time.perf_counter()
        n_sent = 0

        def due() -> float:
            return start + n_sent * interval

        def numbers() -> Iterator[int]:
            nonlocal n_sent
            for number in cycle(range(len(requests))):
                passed = (time.perf_counter() - start) / seconds
                if passed > WARM_UP and len(memory) == 1:
                    memory.append(server.memory())
                if passed > 1:
                    return
                n_sent += 1
                yield number

        def note(number: int, seconds: float, status: int, body: bytes) -> None:
            counts[status] += 1
            if status == 200:
                accepted.append(seconds)

        drive(clients, requests, numbers(), note, next_time=due)
        memory.append(server.memory())
        for client in clients:
            client.close()
    percentiles = statistics.quantiles(accepted, n=100)
    return {
        "figure": "overload", "seconds": seconds, "capacity_per_second": round(capacity, 1),
        "sent_per_second": round(n_sent / seconds, 1), "statuses": {str(k): v for k, v in sorted(counts.items())},
        "p50_ms": round(1000 * percentiles[49], 1), "p99_ms": round(1000 * percentiles[98], 1),
        "longest_ms": round(1000 * max(accepted), 1), "memory_mib": [round(each, 1) for each in memory],
    }  # fmt: skip


FIGURES = ("throughput", "overhead", "processes", "peer", "soak", "overload")


def standard_model(config: str, folder: Path, count: int) -> tuple[str, list[str]]:
    """Return the path of a model of random weights, and sentences for it."""
    subwords = Subwords.train(VOCABULARY)
    shape = load(config).model
    selection = random_selection(subwords, SHARED[0], shape.width)
    model = build_files(shape, "portable", subwords, selection, folder)[True]
    return str(model.path), [*islice(sentences(subwords.words), count)]


def texts_of(model: str, folder: str, count: int) -> tuple[list[str], list[str]]:
    """Return short lines of a corpus's test set, and all lines. Raises UserError."""
    corpus = Corpus(folder)
    check_model_languages(model, Translator.load(model), folder, corpus.languages)
    lines = [pair.source for pair in corpus.read("test")]
    return [line for line in lines if len(line.split()) <= MAX_WORDS][:count], lines


def model_and_texts(options: argparse.Namespace, folder: Path) -> tuple[str, list[str], list[str]]:
    """Return the path of the model to measure, short texts for it, and texts of all lengths. Raises UserError.

    Args:
        options: Those of `parse`.
        folder: A folder for the random model.
    """
    if options.model:
        return options.model, *texts_of(options.model, options.corpus, options.texts)
    model, texts = standard_model(options.config, folder, options.texts)
    return model, texts, texts


def measure(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Yield the rows of the figures that are asked for. Raises UserError."""
    model, texts, lines = model_and_texts(options, folder)
    metadata = Translator.load(model).metadata
    languages = metadata.source_language, metadata.target_language
    requests = [request_of(text, languages) for text in texts]
    about = {"model": options.model or RANDOM_MODEL}
    for beam in (1, 5):
        if "throughput" in options.figures:
            yield {**throughput(model, requests, beam, options.turns), **about}
        if "overhead" in options.figures:
            yield {**overhead(model, texts, requests, beam, options.turns), **about}
        if "peer" in options.figures:
            peer_folder = folder / f"peer-{beam}"
            peer_folder.mkdir()
            yield {**peer(model, requests, beam, options.turns, Path(options.peer), peer_folder), **about}
    if "processes" in options.figures:
        yield {**processes(model, requests, options.turns), **about}
    if "soak" in options.figures:
        yield {**soak(model, lines, languages, options.soak), **about}
    if "overload" in options.figures:
        yield {**overload(model, texts, languages, options.overload), **about}


def parse(parser: argparse.ArgumentParser, figures: Sequence[str], n_texts: int) -> argparse.Namespace:
    """Return the options, with those of every measurement of a model in a host.

    Args:
        parser: A parser with further options.
        figures: Names of the figures.
        n_texts: The default of --texts.
    """
    parser.add_argument("model", nargs="?", metavar="MODEL.onnx", help="model file (default: random weights)")
    parser.add_argument("--corpus", metavar="FOLDER", help="corpus folder with texts for MODEL.onnx")
    parser.add_argument("--config", default="configs/multi30k-en-de.toml", help="shape of the random model")
    parser.add_argument("--figures", nargs="+", choices=figures, default=figures, help="figures (default: all)")
    parser.add_argument("--turns", type=int, default=15, metavar="N", help="turns, at least 2 (default: 15)")
    parser.add_argument(
        "--texts", type=int, default=n_texts, metavar="N", help="texts of a turn (default: %(default)s)"
    )
    parser.add_argument("--record", metavar="FILE", help="also write the rows to this file")
    options = parser.parse_args()
    if options.turns < 2:
        parser.error(f"--turns is {options.turns}; quartiles need at least 2")
    if bool(options.model) != bool(options.corpus):
        parser.error("give both MODEL.onnx and --corpus, or neither")
    return options


def main() -> int:
    """Measure, print the rows, and record them if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer", default=".venv-libretranslate/bin/python", help="Python with LibreTranslate installed"
    )
    parser.add_argument("--soak", type=float, default=60, metavar="S", help="seconds of the soak (default: 60)")
    parser.add_argument("--overload", type=float, default=600, metavar="S", help="seconds of overload (default: 600)")
    options = parse(parser, FIGURES, n_texts=400)
    if "peer" in options.figures and (options.model or not Path(options.peer).exists()):
        why = "needs the random model" if options.model else "needs `make .venv-libretranslate/installed`"
        print(f"without the figure peer, which {why}", file=sys.stderr)
        options.figures = [figure for figure in options.figures if figure != "peer"]
    return exit_status(measure, options, ("machine", "figure"))


if __name__ == "__main__":
    sys.exit(main())
