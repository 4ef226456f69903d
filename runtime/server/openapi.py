"""The OpenAPI description of the HTTP interface, and a page that shows it."""

from __future__ import annotations

import html
import json
from typing import Any

import dragoman
from dragoman.runtime.documents.names import ENDINGS
from dragoman.runtime.server.parameters import MAX_NUMBER
from dragoman.runtime.server.service import MAX_ALTERNATIVES

_KEY = {"type": "string", "description": "The API key, if the server needs one."}
_TEXT = {"type": "string", "example": "Open the file."}
_ERROR = {"$ref": "#/components/schemas/Error"}
_MEANINGS = {
    "400": "The request is not valid.",
    "401": "The server needs an API key.",
    "403": "The API key is unknown, or the function is not enabled.",
    "404": "There is nothing at this path.",
    "405": "The path does not take this method.",
    "408": "The request came too slowly.",
    "413": "The text, the body or the file is too large.",
    "415": "The body or the file is in another format.",
    "429": "Too many requests. Retry-After says when to try again.",
    "431": "The head of the request is too large.",
    "500": "An unforeseen error.",
    "503": "The server has too much to do. Retry-After says when to try again.",
}


def description(url: str, characters: int) -> dict[str, Any]:
    """Return the OpenAPI 3.0 description.

    Args:
        url: URL of the server, without a slash at its end.
        characters: Largest number of characters in a request.
    """
    language = {"type": "string", "example": "en", "description": "A language code from /languages."}
    detected = {"$ref": "#/components/schemas/Detected"}
    q = {
        "oneOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": 1000}],
        "description": f"A text, or texts, of at most {characters:,} characters together.",
    }
    translate = {
        "q": q,
        "source": {**language, "description": "Language of the text, or auto to find it."},
        "target": {**language, "example": "de", "description": "Language to translate to."},
        "format": {"type": "string", "enum": ["text", "html", ""], "default": "text"},
        "alternatives": {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER},
                {"type": "string", "pattern": "^[0-9]{0,9}$"},
            ],
            "default": 0,
            "description": f"Number of further translations, up to {MAX_ALTERNATIVES}.",
        },
        "details": {
            "anyOf": [
                {"type": "boolean"},
                {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|0|1|)$"},
            ],
            "default": False,
            "description": "Also return which source word each word comes from, and how sure the model is of it.",
        },
        "api_key": _KEY,
    }  # fmt: skip
    langpair = {
        "type": "string",
        "pattern": "^[^|]+[|][^|]+$",
        "example": "en|de",
        "description": "Source and target, separated by |.",
    }
    endings = ", ".join(ending for endings in ENDINGS.values() for ending in endings[:1])
    upload = {
        "file": {"type": "string", "format": "binary", "description": f"A document: {endings}."},
        "source": translate["source"],
        "target": translate["target"],
        "api_key": _KEY,
    }
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Dragoman",
            "version": dragoman.__version__,
            "description": "Translation with models that you train. Compatible with clients of LibreTranslate.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "paths": {
            "/translate": {
                "post": _operation(
                    "Translate text or HTML",
                    ["q", "source", "target"],
                    translate,
                    "Translated",
                    "400 401 403 408 413 415 429 503",
                ),
                "get": {
                    **_operation(
                        "Translate a text, in the form of Apertium APy",
                        [],
                        None,
                        "ApyTranslated",
                        "400 401 403 405 413 415 429 503",
                    ),
                    "parameters": [
                        {"name": "langpair", "in": "query", "required": True, "schema": langpair},
                        {"name": "q", "in": "query", "required": True, "schema": _TEXT},
                    ],
                },
            },
            "/detect": {
                "post": _operation(
                    "Find the language of a text",
                    ["q"],
                    {"q": q, "api_key": _KEY},
                    "DetectedList",
                    "400 401 403 408 413 415 429 503",
                ),
            },
            "/translate_file": {
                "post": _operation(
                    "Translate a document",
                    ["file", "source", "target"],
                    upload,
                    "TranslatedFile",
                    "400 401 403 408 413 415 429 503",
                    only="multipart/form-data",
                ),
            },
            "/download_file/{name}": {
                "get": {
                    "summary": "Get a translated document, within ten minutes",
                    "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "responses": {
                        "200": {
                            "description": "The document.",
                            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
                        },
                        **_errors("400 404"),
                    },
                },
            },
            "/suggest": {
                "post": {
                    **_operation(
                        "Suggest a better translation, which is not enabled", [], {}, None, "400 403 408 413 415"
                    ),
                },
            },
            "/languages": {
                "get": _operation("List the languages", [], None, "Languages", "400"),
                "post": _operation("List the languages, for older clients", [], None, "Languages", "400"),
            },
            "/frontend/settings": {
                "get": _operation("Settings for a page", [], None, "Settings", "400"),
                "post": _operation(
                    "Settings for a page, with the limit of an API key",
                    [],
                    {"api_key": _KEY},
                    "Settings",
                    "400 408 413 415",
                ),
            },
            "/health": {"get": _operation("Tell whether the server works", [], None, "Health", "400")},
            "/metrics": {"get": _content("Show metrics for Prometheus", "text/plain", "The metrics.")},
            "/docs": {"get": _content("Show a page about the interface", "text/html", "The page.")},
            "/spec": {"get": _content("Show this description", "application/json", "The description.", "object")},
        },
        "components": {
            "schemas": {
                "Error": _object({"error": {"type": "string"}}),
                "Detected": _object(
                    {"confidence": {"type": "integer", "minimum": 0, "maximum": 100}, "language": language}
                ),
                "DetectedList": {
                    "description": "Languages, the most likely first; of several texts a list for each.",
                    "anyOf": [
                        {"type": "array", "items": detected},
                        {"type": "array", "items": {"type": "array", "items": detected}},
                    ],
                },
                "Translated": _object(
                    {
                        "translatedText": {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]},
                        "detectedLanguage": {"oneOf": [detected, {"type": "array", "items": detected}]},
                        "alternatives": {"type": "array", "items": {}},
                        "details": {
                            "oneOf": [
                                {"$ref": "#/components/schemas/Details"},
                                {"type": "array", "items": {"$ref": "#/components/schemas/Details"}},
                            ]
                        },
                    },
                    ["translatedText"],
                ),
                "Details": {
                    **_object(
                        {
                            "alignment": {
                                "type": "array",
                                "items": {"type": "array", "items": {"type": "integer"}},
                                "description": "Pairs of source word and target word, counted from 0.",
                            },
                            "confidence": {
                                "type": "array",
                                "items": {"type": "number"},
                                "description": "For each word of the translation, from 0 to 1.",
                            },
                            "complete": {"type": "boolean", "description": "False if the end may be missing."},
                            "untranslated": {
                                "type": "array",
                                "items": {"type": "string"},
                                "description": "Parts that stay in the source language.",
                            },
                        }
                    ),
                    "nullable": True,
                },
                "ApyTranslated": _object(
                    {
                        "responseData": _object({"translatedText": _TEXT}),
                        "responseDetails": {"nullable": True},
                        "responseStatus": {"type": "integer", "example": 200},
                    }
                ),
                "TranslatedFile": _object(
                    {
                        "translatedFileUrl": {"type": "string", "format": "uri"},
                        "listed": {
                            "type": "array",
                            "description": "Segments that a person should look at.",
                            "items": _object(
                                {"place": {"type": "string"}, "problems": {"type": "array", "items": _TEXT}}
                            ),
                        },
                    },
                    ["translatedFileUrl"],
                ),
                "Languages": {
                    "type": "array",
                    "items": _object(
                        {
                            "code": language,
                            "name": {"type": "string", "example": "English"},
                            "targets": {"type": "array", "items": {"type": "string"}},
                        }
                    ),
                },
                "Settings": {"type": "object", "additionalProperties": {}},
                "Health": _object({"status": {"type": "string", "example": "ok"}}),
            }
        },
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or [*properties]}


def _errors(statuses: str) -> dict[str, Any]:
    """Return the answers of errors. The head of any request may be too large."""
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in (*statuses.split(), "431")}


def _content(summary: str, media_type: str, meaning: str, kind: str = "string") -> dict[str, Any]:
    """Return the description of an operation that shows something to people or to other programs."""
    content = {media_type: {"schema": {"type": kind}}}
    return {"summary": summary, "responses": {"200": {"description": meaning, "content": content}, **_errors("400")}}


def _operation(
    summary: str, required: list[str], properties: dict[str, Any] | None, answer: str | None, errors: str, *,
    only: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Return the description of an operation.

    Args:
        summary: What it does.
        required: Names of the parameters that must be given.
        properties: Parameters of the body; None for no body.
        answer: Name of the answer's schema; None for an operation that is always refused.
        errors: Statuses of errors.
        only: The only type of body that it takes.
    """
    found: dict[str, Any] = {"summary": summary, "responses": _errors(errors)}
    if answer:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}}
        found["responses"] = {"200": {"description": "Success.", "content": content}, **found["responses"]}
    if properties is not None:
        types = [only] if only else ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
        found["requestBody"] = {
            "required": bool(required),
            "content": {each: {"schema": _body(properties, required, each)} for each in types},
        }
    return found


def _body(properties: dict[str, Any], required: list[str], content_type: str) -> dict[str, Any]:
    """Return the schema of a body. JSON may have null for what is not required, and only JSON has empty arrays."""
    of_type = {}
    for name, value in properties.items():
        schema = dict(value)
        if content_type == "application/json":
            if name not in required:
                schema["nullable"] = True
            if name not in required and "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        elif "oneOf" in schema:
            schema["oneOf"] = [{**o, "minItems": 1} if o["type"] == "array" else o for o in schema["oneOf"]]
        of_type[name] = schema
    return {"type": "object", "properties": of_type, **({"required": required} if required else {})}


def page_of(description: dict[str, Any]) -> str:
    """Return an HTML page that shows an OpenAPI description to people."""
    sections = []
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            schema = {}
            for body in operation.get("requestBody", {}).get("content", {}).values():
                schema = body["schema"]
            rows = [
                (name, "required" if name in schema.get("required", ()) else "", _type(value), value)
                for name, value in schema.get("properties", {}).items()
            ] + [(p["name"], "required", _type(p["schema"]), p["schema"]) for p in operation.get("parameters", ())]
            table = "".join(
                f"<tr><td><code>{name}</code></td><td>{kind}</td><td>{needed}</td>"
                f"<td>{html.escape(value.get('description', ''))}</td></tr>"
                for name, needed, kind, value in rows
            )
            if table:
                heads = "".join(f"<th scope=col>{head}</th>" for head in ("parameter", "type", "", "meaning"))
                table = f"<table><thead><tr>{heads}</tr></thead><tbody>{table}</tbody></table>"
            answers = "".join(
                f"<li><code>{status}</code> {html.escape(value['description'])}</li>"
                for status, value in operation["responses"].items()
            )
            sections.append(
                f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2>"
                f"<p>{html.escape(operation['summary'])}.</p>{table}<details><summary>Answers</summary>"
                f"<ul>{answers}</ul></details></section>"
            )
    server = description["servers"][0]["url"]
    body = json.dumps({"q": "Open the file.", "source": "auto", "target": "de"})
    example = f"curl {server}/translate -H 'Content-Type: application/json' \\\n  -d '{body}'"
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>Dragoman: HTTP interface</title>"
        '<meta name=viewport content="width=device-width, initial-scale=1"><link rel=icon href="icon.svg">'
        '<link rel=stylesheet href="style.css"><script src="theme.js"></script>'
        '</head><body class=docs><main><p><a href="./">Translate</a></p><h1>HTTP interface</h1>'
        f"<p>{html.escape(description['info']['description'])} "
        '<a href="spec">The OpenAPI description</a> is for programs.</p>'
        "<p>Parameters may stand in a JSON body, in a form or in the query string.</p>"
        f"<pre><code>{html.escape(example)}</code></pre>{''.join(sections)}</main></body></html>"
    )


def _type(schema: dict[str, Any]) -> str:
    """Return the type of a parameter for people."""
    if "oneOf" in schema:
        return " or ".join(_type(each) for each in schema["oneOf"])
    if "anyOf" in schema:
        return _type(schema["anyOf"][0])  # the others are what forms have in place of numbers
    if "enum" in schema:
        return " or ".join(filter(None, schema["enum"]))
    return f"array of {_type(schema['items'])}" if schema["type"] == "array" else str(schema["type"])
