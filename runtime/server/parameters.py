"""Parameters of a request, read alike from its query string and from a body of JSON, urlencoded or multipart.

A parameter of the body replaces one of the query string with the same name. Unknown ones are ignored, and so is `null`.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from dragoman.runtime.server.errors import RequestError, shown, too_large

MAX_FIELDS = 20_000  # of a form or a query string
MAX_NUMBER = 999_999_999

# A lone surrogate, which JSON can spell and no encoding can represent. Normalisation makes it U+FFFD, too.
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Repeated(list[str]):
    """The values of a field that a form or a query string has several times."""


class Parameters:
    """Parameters of a request.

    Attributes:
        file: The uploaded file's name and content, if there is one.
    """

    def __init__(self, values: dict[str, Any], file: tuple[str, bytes] | None = None) -> None:
        self._values, self.file = values, file

    def __contains__(self, name: str) -> bool:
        """Return whether a parameter is given, and is not null."""
        return self._values.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a parameter that is a string. Without a default it must be given. Raises RequestError."""
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise RequestError(400, f"the parameter {name} is missing")
            return default
        if isinstance(value, _Repeated):
            value = value[-1]
        if not isinstance(value, str):
            raise RequestError(400, f"{name} is {_kind(value)}; it must be a string")
        return _SURROGATE.sub("\ufffd", value)

    def texts(self, name: str) -> tuple[list[str], bool]:
        """Return a parameter that is a string or an array of them, as a list, and whether it is an array.

        Raises RequestError if it is missing or something else.
        """
        value = self._values.get(name)
        if value is None:
            raise RequestError(400, f"the parameter {name} is missing")
        is_array = isinstance(value, list)
        texts = value if is_array else [value]
        for number, text in enumerate(texts, 1):
            if not isinstance(text, str):
                which = f"element {number} of {name}" if is_array else name
                rule = "a string" if is_array else "a string or an array of strings"
                raise RequestError(400, f"{which} is {_kind(text)}; it must be {rule}")
        return [_SURROGATE.sub("\ufffd", text) for text in texts], is_array

    def number(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number from 0. Raises RequestError for another value."""
        value = self._values.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
            raise RequestError(400, f"{name} is {shown(value)}; it must be a whole number from 0 to {MAX_NUMBER}")
        return value

    def flag(self, name: str) -> bool:
        """Return a parameter that is true or false. Raises RequestError for another value."""
        value = self._values.get(name)
        if value is None:
            return False
        if isinstance(value, str):
            value = {"true": True, "1": True, "false": False, "0": False, "": False}.get(value.lower(), value)
        if not isinstance(value, bool):
            raise RequestError(400, f"{name} is {shown(value)}; it must be true or false")
        return value


def _kind(value: object) -> str:
    """Return what a value of JSON is."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return {dict: "an object", list: "an array", str: "a string", type(None): "null"}.get(type(value), "repeated")


async def read_parameters(request: Request, max_size: int, reserve: Callable[[int], None]) -> Parameters:
    """Return the parameters of a request.

    Args:
        request: The request.
        max_size: Largest size of the body in bytes. A larger one is refused before it is read, or, where its size is
            not known before, when it becomes larger.
        reserve: Takes the number of further bytes that will be in memory. It may raise RequestError.

    Raises:
        RequestError: The body or the query string is damaged, too large, or in another format, or there are too many.
    """
    values = _from_pairs(_pairs(request.scope["query_string"], "the query string"))
    body = await _read_body(request, max_size, reserve)
    if not body:
        return Parameters(values)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    file = None
    if content_type == "application/json" or content_type.endswith("+json"):
        given = _from_json(body)
    elif content_type == "application/x-www-form-urlencoded":
        given = _from_pairs(_pairs(body, "the body"))
    elif content_type == "multipart/form-data":
        given, file = await _from_multipart(request.headers, body)
    else:
        raise RequestError(
            415,
            f"the body's Content-Type is {shown(content_type)}; it must be application/json, "
            "application/x-www-form-urlencoded or multipart/form-data",
        )
    return Parameters({**values, **{name: value for name, value in given.items() if value is not None}}, file)


async def _read_body(request: Request, max_size: int, reserve: Callable[[int], None]) -> bytes:
    message = f"the body has more than {max_size:,} bytes, which is the limit"
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_size:
        raise too_large(message)
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_size:
            raise too_large(message)
        reserve(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def _from_json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise RequestError(400, "the body is not valid UTF-8, which JSON must be") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RequestError(400, f"the body is not valid JSON: {error.msg} at {where}") from None
    except (ValueError, RecursionError):
        raise RequestError(400, "the body has a number that is too long, or is nested too deep") from None
    if not isinstance(value, dict):
        raise RequestError(400, f"the body is {_kind(value)}; it must be a JSON object")
    return value


def _pairs(encoded: bytes, name: str) -> list[tuple[str, str]]:
    """Return the names and values of an urlencoded string. Raises RequestError."""
    try:
        return parse_qsl(
            encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS, separator="&"
        )
    except UnicodeError:
        raise RequestError(400, f"{name} is not valid UTF-8 in percent-encoding") from None
    except ValueError:
        raise RequestError(413, f"{name} has more than {MAX_FIELDS:,} fields") from None


def _from_pairs(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return values by name: the value of a name that is there once, else a list."""
    values: dict[str, _Repeated] = {}
    for name, value in pairs:
        values.setdefault(name, _Repeated()).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


async def _from_multipart(headers: Headers, body: bytes) -> tuple[dict[str, Any], tuple[str, bytes] | None]:
    """Return the values of a form, and its file. Raises RequestError."""
    _, options = parse_options_header(headers["content-type"])
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if not boundary or '"' in boundary or "\\" in boundary:
        raise RequestError(400, "the Content-Type of the multipart form has no boundary")

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    # Starlette reads what is not valid in the form's encoding as Latin-1. So it reads all as Latin-1 here.
    content_type = f'multipart/form-data; boundary="{boundary}"; charset=latin-1'
    parser = MultiPartParser(
        Headers({"content-type": content_type}), stream(), max_files=1, max_fields=MAX_FIELDS, max_part_size=len(body)
    )
    parser.spool_max_size = len(body) + 1  # nothing is written to the disk
    values = []
    file = None
    try:
        form = await parser.parse()
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                file = (_utf8(value.filename or ""), value.file.read())
            else:
                values.append((_utf8(name), _utf8(value)))
        await form.close()
    except UnicodeDecodeError:
        raise RequestError(400, "the multipart form is not valid UTF-8") from None
    except (MultiPartException, FormParserError, KeyError) as error:
        reason = getattr(error, "message", "") or "it is damaged"
        raise RequestError(400, f"the body is no valid multipart form: {reason}") from None
    return _from_pairs(values), file


def _utf8(text: str) -> str:
    """Return a text in UTF-8 that was read as Latin-1."""
    return text.encode("latin-1").decode("utf-8")
