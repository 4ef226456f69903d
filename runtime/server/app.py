"""The HTTP interface: LibreTranslate's, Apertium APy's form of a translation, and the page.

It was written from the public descriptions of both interfaces.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.runtime.documents.files import Progress, TranslatedDocument
from dragoman.runtime.documents.names import ENDINGS, format_by_ending
from dragoman.runtime.errors import UserError
from dragoman.runtime.server.access import ApiKeys, Limits, RateLimiter, client_network
from dragoman.runtime.server.downloads import KEPT_SECONDS, Downloads
from dragoman.runtime.server.errors import RequestError, shown
from dragoman.runtime.server.metrics import Metrics
from dragoman.runtime.server.openapi import description, page_of
from dragoman.runtime.server.parameters import Parameters, read_parameters
from dragoman.runtime.server.scheduler import Cancelled
from dragoman.runtime.server.service import MAX_ALTERNATIVES, Answer, Capacity, Service

MAX_TEXTS = 1000  # in one request
MAX_UPLOADS = 16  # documents of the largest size that are in memory at once
BODY_MARGIN = 64 << 10  # bytes of a body beside its text
BYTES_PER_CHARACTER = 12  # at most, as \ud83d\ude00 in JSON
FRONTEND_TIMEOUT = 500  # ms, as in LibreTranslate's settings: the page waits so long for the next key

PAGE = Path(__file__).parent / "page"
mimetypes.add_type("text/javascript", ".js")  # Windows may have another type in its registry
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
NDJSON = "application/x-ndjson"
Endpoint = Callable[[Request], Awaitable[Response]]
MAX_LISTED = 100  # segments of a document that a person should look at, in an answer


@dataclass(frozen=True)
class Settings:
    """Settings of the HTTP interface.

    Attributes:
        limits: Limits of a client.
        file_size: Largest size of a document in bytes.
        keys: API keys that requests need, or None.
        cors: Origins whose pages may use the server; `*` for all.
        url: The URL that clients use, without a slash at its end; empty to take it from each request.
        log: `errors`, `requests` or `texts`: what is written to standard error.
    """

    limits: Limits
    file_size: int
    keys: ApiKeys | None = None
    cors: tuple[str, ...] = ()
    log: str = "errors"
    url: str = ""

    @property
    def most_characters(self) -> int:
        """The largest number of characters in a request of any client."""
        return self.keys.most_characters if self.keys else self.limits.characters


class Interface:
    """The HTTP interface of a service."""

    def __init__(self, service: Service, settings: Settings, metrics: Metrics) -> None:
        self.service, self.settings, self.metrics = service, settings, metrics
        self.downloads, self._rates = Downloads(), RateLimiter()
        self._received = Capacity(MAX_UPLOADS * settings.file_size)  # bytes of bodies
        self._max_body = BYTES_PER_CHARACTER * settings.most_characters + BODY_MARGIN

    def app(self, lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]]) -> ASGIApp:
        """Return the ASGI application.

        lifespan: Returns a context that is entered before the first request and left after the last.
        """
        methods: list[tuple[str, str, Endpoint]] = [
            ("/translate", "GET POST", self.translate),
            ("/detect", "POST", self.detect),
            ("/suggest", "POST", self.suggest),
            ("/translate_file", "POST", self.translate_file),
            ("/download_file/{name}", "GET", self.download_file),
            ("/languages", "GET POST", self.languages),  # old clients send POST
            ("/frontend/settings", "GET POST", self.frontend_settings),
            ("/health", "GET", self.health),
            ("/metrics", "GET", self.show_metrics),
            ("/spec", "GET", self.spec),
            ("/docs", "GET", self.docs),
        ]
        routes = [Route(path, _only(verbs.split(), endpoint)) for path, verbs, endpoint in methods]
        for route in routes:
            route.methods = set()  # any: a method that Starlette refuses goes on to the page's files
        app = Starlette(
            routes=[*routes, Mount("/", StaticFiles(directory=PAGE, html=True))],
            exception_handlers={
                RequestError: _request_error,
                HTTPException: _http_exception,
                UserError: _user_error,
                Cancelled: self._cancelled,
                ClientDisconnect: self._cancelled,
            },
            lifespan=lifespan,
        )
        wrapped: ASGIApp = partial(self._answer, app)
        if self.settings.cors:
            wrapped = _Cors(wrapped, allow_origins=self.settings.cors, allow_methods=["*"], allow_headers=["*"])
        return wrapped

    # Requests

    async def translate(self, request: Request) -> Response:
        """Translate texts or HTML."""
        parameters = await self._read(request)
        if "langpair" in parameters:
            return await self._translate_like_apy(request, parameters)
        if request.method == "GET" and "q" not in parameters:
            raise RequestError(405, "GET /translate needs q and langpair; use POST", {"Allow": "POST"})
        limits = self._authorise(request, parameters)
        texts, is_array = parameters.texts("q")
        self._check_size(texts, limits)
        source, target = parameters.text("source"), parameters.text("target")
        form = parameters.text("format", "text") or "text"
        if form not in ("text", "html"):
            raise RequestError(400, f"format is {shown(form)}; it must be text or html")
        wants_alternatives = "alternatives" in parameters
        answers = await self.service.translate(
            texts, source, target, is_html=form == "html",
            n_alternatives=min(parameters.number("alternatives", 0), MAX_ALTERNATIVES),
            details=parameters.flag("details"), gone=partial(_gone, request),
        )  # fmt: skip
        self._log_texts(texts, answers)

        def values(of: Callable[[Answer], Any]) -> Any:  # noqa: ANN401 (a value of JSON)
            found = [of(answer) for answer in answers]
            return found if is_array else found[0]

        answer = {"translatedText": values(lambda a: a.text)}
        if source.lower() == "auto":
            answer["detectedLanguage"] = values(lambda a: a.detected.answer() if a.detected else None)
        if wants_alternatives:
            answer["alternatives"] = values(lambda a: list(a.alternatives))
        if parameters.flag("details"):
            answer["details"] = values(lambda a: a.details)
        return _json(answer)

    async def _translate_like_apy(self, request: Request, parameters: Parameters) -> Response:
        """Translate a text for a client of Apertium APy, such as OmegaT."""
        limits = self._authorise(request, parameters)
        text = parameters.text("q")
        self._check_size([text], limits)
        pair = parameters.text("langpair")
        source, separator, target = pair.partition("|")
        if not separator:
            raise RequestError(400, f"langpair is {shown(pair)}; it must be two languages, such as en|de")
        is_html = parameters.text("format", "text") == "html"
        answers = await self.service.translate([text], source, target, is_html=is_html, gone=partial(_gone, request))
        self._log_texts([text], answers)
        return _json(
            {"responseData": {"translatedText": answers[0].text}, "responseDetails": None, "responseStatus": 200}
        )

    async def detect(self, request: Request) -> Response:
        """Find the language of a text."""
        parameters = await self._read(request)
        limits = self._authorise(request, parameters)
        texts, is_array = parameters.texts("q")
        self._check_size(texts, limits)
        found = await self.service.detect(texts)
        answers = [[language.answer() for language in languages[:3]] for languages in found]
        return _json(answers if is_array else answers[0])

    async def suggest(self, request: Request) -> Response:
        """Refuse a better translation, since the server does not store any."""
        await self._read(request)
        raise RequestError(403, "suggestions are not enabled on this server")

    async def translate_file(self, request: Request) -> Response:
        """Translate a document, and return the URL of its translation.

        A client that accepts JSON Lines gets the number of translated and of all segments while it waits.
        """
        with self._received.growing() as reserve:
            return await self._translate_file(request, reserve)

    async def _translate_file(self, request: Request, reserve: Callable[[int], None]) -> Response:
        parameters = await read_parameters(request, self.settings.file_size + BODY_MARGIN, reserve)
        self._authorise(request, parameters)
        if not parameters.file:
            raise RequestError(400, "the file is missing; send it as `file` in a multipart form")
        name, data = parameters.file
        form = format_by_ending(name)
        if not form:
            endings = " ".join(sorted(sum(ENDINGS.values(), ())))
            raise RequestError(415, f"the file {shown(name)} has none of the endings {endings}")
        if len(data) > self.settings.file_size:
            raise RequestError(413, f"the file has {len(data):,} bytes, and at most {self.settings.file_size:,} may be")
        source, target = parameters.text("source"), parameters.text("target")
        if source.lower() == "auto":
            source = (await self.service.source_of_document(data, form, target)).language
        model = self.service.models.find(source, target)
        if model is None:
            raise RequestError(400, f"source and target are both {shown(target)}; give two languages")
        work = partial(self.service.translate_document, model, data, form, name)

        def answer(translated: TranslatedDocument) -> dict[str, Any]:
            path = Path(name)
            key = self.downloads.add(f"{path.stem}_{model.target}{path.suffix}", translated.data)
            listed = [
                {"place": row.place, "problems": [problem.message for problem in row.problems]}
                for row in translated.report.listed[:MAX_LISTED]
            ]
            return {"translatedFileUrl": f"{self._url(request)}/download_file/{quote(key)}", "listed": listed}

        if NDJSON in request.headers.get("accept", ""):
            return await _with_progress(work, answer, partial(_gone, request))
        return _json(answer(await work(lambda *_: None, partial(_gone, request))))

    async def download_file(self, request: Request) -> Response:
        """Return a translated document."""
        found = self.downloads.find(request.path_params["name"])
        if not found:
            minutes = KEPT_SECONDS // 60
            raise RequestError(404, f"there is no such file; a translated one is kept for {minutes} minutes")
        disposition = f"attachment; filename*=UTF-8''{quote(found.name)}"
        return Response(found.data, media_type="application/octet-stream", headers={"content-disposition": disposition})

    async def languages(self, _: Request) -> Response:
        """Return the languages of the models."""
        return _json(self.service.models.languages())

    async def frontend_settings(self, request: Request) -> Response:
        """Return what a page needs to know, with the limit of the client's API key."""
        key = _key_of(await self._read(request))
        limits = (self.settings.keys.limits(key) if self.settings.keys else None) or self.settings.limits
        first = next(iter(self.service.models))
        names = {row["code"]: row["name"] for row in self.service.models.languages()}
        source, target = ({"code": code, "name": names[code]} for code in (first.source, first.target))
        return _json(
            {
                "apiKeys": self.settings.keys is not None,
                "charLimit": limits.characters,
                "fileSizeLimit": self.settings.file_size,
                "frontendTimeout": FRONTEND_TIMEOUT,
                "keyRequired": self.settings.keys is not None,
                "language": {"source": source, "target": target},
                "suggestions": False,
                "supportedFilesFormat": sorted(sum(ENDINGS.values(), ())),
            }
        )

    async def health(self, _: Request) -> Response:
        """Return that the server works."""
        return _json({"status": "ok"})

    async def show_metrics(self, _: Request) -> Response:
        """Return metrics for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def spec(self, request: Request) -> Response:
        """Return the OpenAPI description of the interface."""
        return _json(self._description(request))

    async def docs(self, request: Request) -> Response:
        """Return a page that explains the interface."""
        return Response(page_of(self._description(request)), media_type="text/html")

    def _description(self, request: Request) -> dict[str, Any]:
        return description(self._url(request), self.settings.limits.characters)

    def _url(self, request: Request) -> str:
        """Return the URL of the server for a client, without a slash at its end."""
        return self.settings.url or str(request.base_url).rstrip("/")

    # Checks

    async def _read(self, request: Request) -> Parameters:
        with self._received.growing() as reserve:
            return await read_parameters(request, self._max_body, reserve)

    def _authorise(self, request: Request, parameters: Parameters) -> Limits:
        """Return the limits of a client, and count its request. Raises RequestError if it may not make one."""
        key = _key_of(parameters)
        limits: Limits | None = self.settings.limits
        client = client_network(request.client.host) if request.client else ""
        if self.settings.keys:
            if not key:
                raise RequestError(401, "this server needs an API key; give it as api_key")
            limits = self.settings.keys.limits(key)
            if limits is None:
                raise RequestError(403, "the API key is unknown")
            client = f"key {key}"
        assert limits is not None
        self._rates.take(client, limits.rate)
        return limits

    def _check_size(self, texts: list[str], limits: Limits) -> None:
        """Raise RequestError for more text than a request may have."""
        n_characters = sum(map(len, texts))
        if n_characters > limits.characters:
            raise RequestError(
                413, f"the text has {n_characters:,} characters, and a request at most {limits.characters:,}; split it"
            )
        if len(texts) > MAX_TEXTS:
            raise RequestError(413, f"q has {len(texts):,} texts, and a request at most {MAX_TEXTS:,}; split it")
        self.metrics.characters.inc(n_characters)

    def _log_texts(self, texts: list[str], answers: list[Answer]) -> None:
        if self.settings.log == "texts":
            for text, answer in zip(texts, answers, strict=True):
                print(json.dumps({"q": text, "translatedText": answer.text}, ensure_ascii=False), file=sys.stderr)

    async def _cancelled(self, _: Request, error: Exception) -> Response:
        """Answer a client that went away, which does not see the answer, or one that the server leaves."""
        self.metrics.gone.inc()
        return _error(503, f"{error}" or "the client went away")

    async def _answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application. Add headers to its answers, count them, and answer an unforeseen error."""
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _HEADERS if pair[0] not in given)]
            await send(message)

        try:
            await app(scope, receive, with_headers)
        except asyncio.CancelledError:  # the server ends, and has waited for this request long enough
            if not status:
                await _error(503, "the server stops")(scope, receive, with_headers)
        except Exception:
            traceback.print_exc()
            if not status:
                await _error(500, "the server has met an unforeseen error, and its log says which")(
                    scope, receive, with_headers
                )
        finally:
            seconds = time.perf_counter() - started
            path = scope["path"] if scope["path"] in PATHS else _kind_of_path(scope["path"])
            self.metrics.requests.labels(path, scope["method"], status).inc()
            self.metrics.seconds.labels(path).observe(seconds)
            if self.settings.log != "errors":
                path = scope["raw_path"].decode("ascii", "backslashreplace")  # without line feeds, unlike scope["path"]
                print(f"{scope['method']} {path} {status} {1000 * seconds:.1f} ms", file=sys.stderr)


_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
PATHS = frozenset(
    "/translate /detect /suggest /translate_file /languages /frontend/settings /health /metrics /spec /docs".split()
)


def _kind_of_path(path: str) -> str:
    """Return a path for the metrics, which has few values."""
    return "/download_file" if path.startswith("/download_file/") else "/"


def _key_of(parameters: Parameters) -> str:
    """Return the API key of a client, or an empty text."""
    return parameters.text("api_key", "") or parameters.text("apiKey", "")  # one client has its own spelling


def _only(methods: list[str], endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that refuses other methods."""
    allowed = [*methods, "HEAD"] if "GET" in methods else methods

    async def checked(request: Request) -> Response:
        if request.method not in allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        return await endpoint(request)

    return checked


async def _gone(request: Request) -> None:
    """Return when the client of a request, whose body is read, has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _with_progress(
    work: Callable[[Progress, Callable[[], Any]], Awaitable[TranslatedDocument]],
    answer: Callable[[TranslatedDocument], dict[str, Any]],
    gone: Callable[[], Any],
) -> Response:
    """Return lines of JSON: `translated` and `segments` while a document is translated, then the answer or an error."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def progress(n_translated: int, n_segments: int) -> None:
        line = {"translated": n_translated, "segments": n_segments}
        loop.call_soon_threadsafe(lines.put_nowait, line)

    async def run() -> None:
        try:
            lines.put_nowait(answer(await work(progress, gone)))
        finally:
            lines.put_nowait(None)

    task = asyncio.create_task(run())
    first = await lines.get()
    if first is None:  # it failed before any progress, so that the status tells
        await task

    async def stream() -> AsyncIterator[bytes]:
        line = first
        try:
            while line is not None:
                yield json.dumps(line).encode() + b"\n"
                line = await lines.get()
            await task
        except (UserError, RequestError, Cancelled) as error:
            yield json.dumps({"error": str(error)}).encode() + b"\n"
        finally:
            task.cancel()

    return StreamingResponse(stream(), media_type=NDJSON)


class _Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:  # noqa: ANN401 (a value of JSON)
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:  # noqa: ANN401
    return _Json(content, status, headers)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return _json({"error": message}, status, headers)


async def _request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _error(error.status, error.message, error.headers)


async def _http_exception(request: Request, error: Exception) -> Response:
    """Answer Starlette's own errors: an unknown path, or a method that a path does not have."""
    assert isinstance(error, HTTPException)
    path = shown(request.scope["path"])
    messages = {
        404: f"there is nothing at {path}; /docs lists what there is",
        405: f"{path} does not take {request.method}",
    }
    headers = {"Allow": "GET, HEAD"} if error.status_code == 405 else {}
    return _error(
        error.status_code, messages.get(error.status_code, error.detail), {**headers, **(error.headers or {})}
    )


async def _user_error(_: Request, error: Exception) -> Response:
    return _error(400, str(error))


class _Cors(CORSMiddleware):
    """Cross-origin requests, with errors in JSON."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer the question whether a request from another origin may be made."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return _error(response.status_code, "this origin, method or header is not allowed; see --cors", headers)
