"""The HTTP interface: parameters in every form, answers, and errors in JSON."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dragoman
from dragoman.cli import parse
from dragoman.runtime.server import service
from dragoman.runtime.server.app import PATHS
from serving import Answer, Client, serving

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def translator(tiny_file: Path) -> dragoman.Translator:
    return dragoman.Translator.load(tiny_file)


def multipart(values: list[tuple[str, str]]) -> tuple[bytes, dict[str, str]]:
    parts = [f'--B\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in values]
    return b"".join(parts) + b"--B--\r\n", {"Content-Type": "multipart/form-data; boundary=B"}


def in_every_form(client: Client, path: str, values: list[tuple[str, str]]) -> list[Answer]:
    """Return the answers to the same parameters in JSON, urlencoded, multipart, and in the query string."""
    fields: dict[str, Any] = {}
    for name, value in values:
        fields[name] = value if name not in fields else [*([fields[name], value])]
    body, headers = multipart(values)
    return [
        client.send("POST", path, json.dumps(fields), JSON),
        client.send("POST", path, urlencode(values), FORM),
        client.send("POST", path, body, headers),
        client.send("POST", f"{path}?{urlencode(values)}"),
    ]


PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def test_one_text_in_every_form(client: Client, translator: dragoman.Translator) -> None:
    expected = translator.translate("12 345").text
    for answer in in_every_form(client, "/translate", [("q", "12 345"), ("source", "en"), ("target", "xx")]):
        assert (answer.status, answer.json) == (200, {"translatedText": expected})


def test_several_texts_in_every_form(client: Client, translator: dragoman.Translator) -> None:
    expected = [result.text for result in translator.translate(["12", "345"])]
    values = [("q", "12"), ("q", "345"), ("source", "en"), ("target", "xx")]
    for answer in in_every_form(client, "/translate", values):
        assert (answer.status, answer.json) == (200, {"translatedText": expected})


@given(text=PLAIN_TEXT)
def test_any_text_arrives_in_every_form(client: Client, translator: dragoman.Translator, text: str) -> None:
    expected = translator.translate(text).text
    values = [("q", text), ("source", "en"), ("target", "xx")]
    answers = in_every_form(client, "/translate", values)
    for number, answer in enumerate(answers):
        assert answer.status == 200, (number, answer.body)
        assert answer.json["translatedText"] == expected


@given(text=st.text(max_size=40))
def test_lone_surrogates_are_no_error(client: Client, text: str) -> None:
    for source in ("en", "xx"):  # the second one is the target: the text comes back
        answer = client.post("/translate", q=text, source=source, target="xx")
        assert answer.status == 200


def test_an_array_of_one_is_an_array_and_of_none_is_empty(client: Client) -> None:
    assert client.post("/translate", q=["12"], source="en", target="de").json == {"translatedText": ["12"]}
    assert client.post("/translate", q=[], source="en", target="de").json == {"translatedText": []}
    assert client.post("/translate", q="", source="en", target="de").json == {"translatedText": ""}


def test_the_body_replaces_the_query_string(client: Client) -> None:
    body = json.dumps({"q": "from the body", "target": None})
    answer = client.send("POST", "/translate?q=from+the+query&source=en&target=de", body, JSON)
    assert answer.json["translatedText"] == "from the body"


def test_unknown_and_empty_parameters_are_ignored(client: Client) -> None:
    for key in (None, ""):
        answer = client.post("/translate", q="a", source="en", target="de", api_key=key, format=key, unknown=[1, {}])
        assert answer.json == {"translatedText": "a"}


@pytest.mark.parametrize("source", ["en", "EN", "en-US", "en_gb", "eng", "En"])
@pytest.mark.parametrize("target", ["pt-BR", "pt", "PT_br", "pb", "por", "pt-PT"])
def test_languages_have_many_spellings(source: str, target: str, client: Client) -> None:
    assert client.post("/translate", q="a", source=source, target=target).json == {"translatedText": "a"}


def test_the_same_language_gives_the_text_back(client: Client) -> None:
    text = "unchanged \ufeff\u00a0 text\r\n"
    assert client.post("/translate", q=text, source="de", target="de-AT").json == {"translatedText": text}


def test_a_language_may_be_found(client: Client) -> None:
    texts = ["The weather is fine and we are walking along the river.", "Das Wetter ist schön und wir gehen spazieren."]
    answer = client.post("/translate", q=texts, source="auto", target="de").json
    assert [found["language"] for found in answer["detectedLanguage"]] == ["en", "de"]
    assert all(isinstance(found["confidence"], int) for found in answer["detectedLanguage"])
    assert answer["translatedText"] == texts
    answer = client.post("/translate", q=texts[1], source="AUTO", target="en").json
    assert answer["detectedLanguage"]["language"] == "de"
    assert answer["detectedLanguage"]["confidence"] > 90
    assert client.post("/translate", q="", source="auto", target="de").json["detectedLanguage"]["confidence"] == 0


def test_detection_lists_languages_by_confidence(client: Client) -> None:
    answers = in_every_form(client, "/detect", [("q", "Das ist ein Satz in deutscher Sprache.")])
    for answer in answers:
        assert answer.json[0]["language"] == "de"
        assert answer.json[0]["confidence"] > 90
        confidences = [found["confidence"] for found in answer.json]
        assert confidences == sorted(confidences, reverse=True)
    assert client.post("/detect").error(400) == "the parameter q is missing"


def test_alternatives_are_there_when_asked_for(client: Client, translator: dragoman.Translator) -> None:
    result = translator.translate("12 345", n_best=3)
    assert len(result.hypotheses) > 1
    answer = client.post("/translate", q="12 345", source="en", target="xx", alternatives=2).json
    assert answer["translatedText"] == result.text
    assert answer["alternatives"] == [hypothesis.text for hypothesis in result.hypotheses[1:]]
    answer = client.send("POST", "/translate?alternatives=2&q=12+345&source=en&target=xx").json
    assert answer["alternatives"] == [hypothesis.text for hypothesis in result.hypotheses[1:]]
    answer = client.post("/translate", q=["12"], source="en", target="xx", alternatives=999).json
    assert len(answer["alternatives"][0]) <= service.MAX_ALTERNATIVES
    assert client.post("/translate", q="12", source="en", target="xx", alternatives=0).json["alternatives"] == []


def test_details_have_words_and_do_not_change_the_translation(client: Client, translator: dragoman.Translator) -> None:
    text = "12 345. 67 8"
    result = translator.translate(text, alignments=True)
    answer = client.post("/translate", q=text, source="en", target="xx", details=True).json
    assert answer["translatedText"] == result.text
    assert answer["details"]["alignment"] == [list(pair) for pair in result.alignment]
    assert len(answer["details"]["confidence"]) == len(result.text.split())
    assert all(0 <= confidence <= 1 for confidence in answer["details"]["confidence"])
    assert answer["details"]["complete"] is result.complete


def test_html_keeps_its_markup(client: Client) -> None:
    page = '<p title="copy">copy &amp; <b>this</b> line</p>\r\n<script>let x = "copy";</script>'
    for answer in in_every_form(
        client, "/translate", [("q", page), ("source", "en"), ("target", "de"), ("format", "html")]
    ):
        assert answer.json == {"translatedText": page}
    pages = [f"<i>copy this line, number {i}</i>" for i in range(300)]
    assert client.post("/translate", q=pages, source="en", target="de", format="html").json["translatedText"] == pages


def test_html_equals_the_documents_module(client: Client, translator: dragoman.Translator) -> None:
    page = "<p>12 <b>345</b> 6</p><p>78</p>"
    expected = dragoman.documents.translate_bytes(translator, page.encode(), "html").data.decode()
    answer = client.post("/translate", q=page, source="en", target="xx", format="html")
    assert answer.json == {"translatedText": expected}


def test_languages_and_settings(client: Client) -> None:
    rows = client.get("/languages").json
    assert [row["name"] for row in rows] == ["English", "German", "Portuguese (Brazil)", "xx"]
    assert {row["code"]: row["targets"] for row in rows}["en"] == ["de", "en", "pt-BR", "xx"]
    settings = client.get("/frontend/settings").json
    assert settings["language"] == {
        "source": {"code": "en", "name": "English"},
        "target": {"code": "de", "name": "German"},
    }
    assert settings["charLimit"] == 20_000
    assert settings["keyRequired"] is settings["suggestions"] is False
    assert {".docx", ".html", ".srt"} <= {*settings["supportedFilesFormat"]}


@pytest.mark.parametrize(
    "query",
    ["langpair=en|de&q=copy+this", "q=copy%20this&langpair=eng%7Cdeu", "langpair=en-GB|DE&q=copy+this&markUnknown=no"],
)
def test_the_form_of_apertium(query: str, client: Client) -> None:
    answer = client.get(f"/translate?{query}")
    assert answer.json["responseData"] == {"translatedText": "copy this"}
    assert answer.json["responseStatus"] == 200


def test_errors_in_the_form_of_apertium(client: Client) -> None:
    assert "langpair is 'en-de'; it must be two languages" in client.get("/translate?langpair=en-de&q=a").error(400)
    assert "no model translates from de to pt-BR" in client.get("/translate?langpair=de|pt&q=a").error(400)
    assert client.get("/translate?langpair=en|de").error(400) == "the parameter q is missing"


def test_a_document_and_its_download(client: Client) -> None:
    data = b"# Copy this line\r\n\r\nAnd *that* one!\r\n"
    answer = client.upload("my lines ä.md", data, source="en", target="de").json
    assert answer["listed"] == []
    url = urlsplit(answer["translatedFileUrl"])
    assert client.server.url == f"{url.scheme}://{url.netloc}"
    download = client.get(url.path)
    assert download.body == data
    assert download.headers["content-disposition"] == f"attachment; filename*=UTF-8''{quote('my_lines_ä_de.md')}"
    assert client.get(url.path).body == data


@pytest.mark.parametrize("url", ["https://example.org", "https://example.org:8443/mt/", "http://[::1]/a/b"])
def test_the_url_of_a_proxy(url: str, copying_files: list[Path]) -> None:
    with serving(copying_files[0], "--url", url) as client:
        found = client.upload("a.txt", b"copy", source="en", target="de").json["translatedFileUrl"]
        assert found.startswith(f"{url.rstrip('/')}/download_file/")
        assert client.get(f"/download_file/{found.split('/')[-1]}").body == b"copy"
        assert client.get("/spec").json["servers"] == [{"url": url.rstrip("/")}]


@pytest.mark.parametrize(
    "url", ["example.org", "ftp://example.org", "https://", "https://a@b", "http://a/?b", "http://["]
)
def test_urls_that_are_none(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["serve", "a.onnx", "--url", url])
    assert ended.value.code == 2
    assert "is no URL of a server" in capsys.readouterr().err


def test_a_document_with_progress(client: Client) -> None:
    lines = "".join(f"copy this line, number {i}\n" for i in range(500))
    answer = client.upload("a.txt", lines.encode(), accept="application/x-ndjson", source="en", target="de")
    *progress, last = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["segments"] for line in progress] == [500] * len(progress)
    counts = [line["translated"] for line in progress]
    assert counts == sorted({*counts})
    assert counts[-1] == 500
    assert client.get(urlsplit(last["translatedFileUrl"]).path).body == lines.encode()


def test_the_language_of_a_document_may_be_found(client: Client) -> None:
    text = "Das ist ein Satz in deutscher Sprache.\nUnd noch einer, der etwas länger ist.\n"
    answer = client.upload("a.txt", text.encode(), source="auto", target="en").json
    assert ".a_en.txt" in answer["translatedFileUrl"]


@pytest.mark.parametrize("accept", ["*/*", "application/x-ndjson"])
@pytest.mark.parametrize(
    ("name", "data", "fields", "status", "message"),
    [
        ("a.pdf", b"x", {"source": "en", "target": "de"}, 415, "the file 'a.pdf' has none of the endings .arb"),
        ("a", b"x", {"source": "en", "target": "de"}, 415, "the file 'a' has none of the endings"),
        ("a.docx", b"x", {"source": "en", "target": "de"}, 400, "a.docx: "),
        ("a.json", b"{", {"source": "en", "target": "de"}, 400, "a.json: "),
        ("a.txt", b"x", {"source": "en"}, 400, "the parameter target is missing"),
        ("a.txt", b"x", {"source": "de", "target": "pt"}, 400, "no model translates from de to pt-BR"),
        ("a.txt", b"x", {"source": "de", "target": "de"}, 400, "give two languages"),
    ],
)
def test_errors_of_documents(
    accept: str, name: str, data: bytes, fields: dict[str, str], status: int, message: str, client: Client
) -> None:
    assert message in client.upload(name, data, accept, **fields).error(status)


def test_a_document_needs_a_file(client: Client) -> None:
    assert "the file is missing" in client.post("/translate_file", source="en", target="de").error(400)


@pytest.mark.parametrize(
    ("values", "status", "message"),
    [
        ({}, 400, "the parameter q is missing"),
        ({"q": "a"}, 400, "the parameter source is missing"),
        ({"q": "a", "source": "en"}, 400, "the parameter target is missing"),
        ({"q": None, "source": "en", "target": "de"}, 400, "the parameter q is missing"),
        ({"q": 5, "source": "en", "target": "de"}, 400, "q is a number; it must be a string or an array"),
        ({"q": True, "source": "en", "target": "de"}, 400, "q is true or false"),
        ({"q": {}, "source": "en", "target": "de"}, 400, "q is an object"),
        ({"q": ["a", None], "source": "en", "target": "de"}, 400, "element 2 of q is null; it must be a string"),
        ({"q": [["a"]], "source": "en", "target": "de"}, 400, "element 1 of q is an array"),
        ({"q": "a", "source": 1, "target": "de"}, 400, "source is a number; it must be a string"),
        ({"q": "a", "source": [], "target": "de"}, 400, "source is an array"),
        ({"q": "a", "source": ["en"], "target": "de"}, 400, "source is an array"),
        ({"q": "a", "source": "fr", "target": "de"}, 400, "source is 'fr', which no model has; choose from en, de"),
        ({"q": "a", "source": "en", "target": "fr"}, 400, "target is 'fr', which no model has"),
        ({"q": "a", "source": "auto", "target": "fr"}, 400, "target is 'fr', to which no model translates"),
        ({"q": "a", "source": "auto", "target": ""}, 400, "target is ''"),
        ({"q": "a", "source": "de", "target": "pt"}, 400, "no model translates from de to pt-BR; the pairs are en-de"),
        ({"q": "a", "source": "x" * 5000, "target": "de"}, 400, "source is 'xxxx"),
        ({"q": "a", "source": "en", "target": "de", "format": "pdf"}, 400, "format is 'pdf'; it must be text or html"),
        ({"q": "a", "source": "en", "target": "de", "alternatives": -1}, 400, "alternatives is -1; it must be"),
        ({"q": "a", "source": "en", "target": "de", "alternatives": "many"}, 400, "alternatives is 'many'"),
        ({"q": "a", "source": "en", "target": "de", "alternatives": 1.5}, 400, "alternatives is 1.5"),
        ({"q": "a", "source": "en", "target": "de", "alternatives": 10**9}, 400, "alternatives is 1000000000"),
        ({"q": "a", "source": "en", "target": "de", "details": 7}, 400, "details is 7; it must be true or false"),
        ({"q": "a" * 20_001, "source": "en", "target": "de"}, 413, "the text has 20,001 characters, and a request at"),
        ({"q": ["a"] * 1001, "source": "en", "target": "de"}, 413, "q has 1,001 texts, and a request at most 1,000"),
    ],
)
def test_errors_of_translations(values: dict[str, Any], status: int, message: str, client: Client) -> None:
    found = client.post("/translate", **values).error(status)
    assert message in found
    assert len(found) < 200


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b"{", "application/json", 400, "the body is not valid JSON: "),
        (b"[1]", "application/json", 400, "the body is an array; it must be a JSON object"),
        (b"null", "application/json", 400, "the body is null"),
        (b'"q"', "application/json", 400, "the body is a string"),
        (b'{"q": "\xff"}', "application/json", 400, "the body is not valid UTF-8"),
        (b"[" * 100_000, "application/json", 400, "nested too deep"),
        (b'{"q": ' + b"1" * 10_000 + b"}", "application/json", 400, "a number that is too long"),
        (b"q=%ff", "application/x-www-form-urlencoded", 400, "the body is not valid UTF-8 in percent-encoding"),
        (b"q=\xff", "application/x-www-form-urlencoded", 400, "the body is not valid UTF-8 in percent-encoding"),
        (b"a&" * 30_000, "application/x-www-form-urlencoded", 413, "the body has more than 20,000 fields"),
        (b"hello", "multipart/form-data", 400, "has no boundary"),
        (b"hello", "multipart/form-data; boundary=B", 400, "the body is no valid multipart form"),
        (
            b'--B\r\nContent-Disposition: form-data; name="q"\r\n\r\n\xff\r\n--B--\r\n',
            "multipart/form-data; boundary=B", 400, "the multipart form is not valid UTF-8",
        ),
        (b"--B\r\n\r\nx\r\n--B--\r\n", "multipart/form-data; boundary=B", 400, "the body is no valid multipart form"),
        (b"hello", "text/plain", 415, "the body's Content-Type is 'text/plain'; it must be application/json"),
        (b"hello", "", 415, "the body's Content-Type is ''"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/translate", "/detect", "/translate_file"])
def test_damaged_bodies(path: str, body: bytes, content_type: str, status: int, message: str, client: Client) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert message in client.send("POST", path, body, headers).error(status)


def test_a_damaged_query_string(client: Client) -> None:
    assert "the query string is not valid UTF-8" in client.send("POST", "/translate?q=%ff&source=en").error(400)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 405),  # of the page's files
        ("PUT", "/translate", 405),
        ("GET", "/detect", 405),
        ("GET", "/translate", 405),
        ("DELETE", "/languages", 405),
        ("POST", "/suggest", 403),
        ("GET", "/download_file/", 404),
        ("GET", "/download_file/nothing", 404),
        ("GET", "/download_file/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/download_file/../../../../etc/passwd", 404),
        ("GET", "/../../../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/app.py", 404),
        ("GET", "/..%5capp.py", 404),
        ("GET", "/app.py%00", 404),
        ("GET", "/" + "a" * 5000, 404),
        ("FETCH", "/translate", 400),  # no method of HTTP
    ],
)
def test_other_paths_and_methods(method: str, path: str, status: int, client: Client) -> None:
    answer = client.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode()
    assert list(json.loads(body)) == ["error"]


def test_every_answer_has_the_security_headers(client: Client) -> None:
    for answer in (client.get("/"), client.get("/languages"), client.get("/nothing"), client.post("/translate")):
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
        assert "server" not in answer.headers


def test_metrics_have_no_text(client: Client) -> None:
    client.post("/translate", q="secretive", source="en", target="de")
    client.get("/secretive")
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = metrics.body.decode()
    assert 'dragoman_requests_total{method="POST",path="/translate",status="200"}' in text
    assert "dragoman_batch_parts_count" in text
    assert "secretive" not in text
    assert "127.0.0.1" not in text


def test_the_description_and_its_page(client: Client) -> None:
    description = client.get("/spec").json
    assert description["servers"] == [{"url": client.server.url}]
    assert {path.partition("/{")[0] for path in description["paths"]} == {*PATHS, "/download_file"}
    assert description["openapi"].startswith("3.")
    assert {*description["paths"]} >= {"/translate", "/detect", "/languages", "/translate_file"}
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for path in description["paths"]:
        assert path in page.body.decode()


def test_keys_are_asked_for_and_have_limits(copying_files: list[Path], tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("alpha\nbeta 2 5\ngamma 0 300000\n")
    with serving(copying_files[0], "--api-keys", keys) as client:
        limits = [
            client.post("/frontend/settings", api_key=key).json["charLimit"] for key in ("", "wrong", "beta", "gamma")
        ]
        assert limits == [20_000, 20_000, 5, 300_000]
        values = {"q": "copy", "source": "en", "target": "de"}
        assert client.get("/frontend/settings").json["keyRequired"] is True
        assert client.get("/languages").status == client.get("/health").status == 200
        assert "needs an API key" in client.post("/translate", **values).error(401)
        assert "needs an API key" in client.post("/translate", **values, api_key="").error(401)
        assert client.post("/translate", **values, api_key="wrong").error(403) == "the API key is unknown"
        assert client.post("/translate", **values, api_key="alpha").json == {"translatedText": "copy"}
        assert "at most 5" in client.post("/translate", **{**values, "q": "longer"}, api_key="beta").error(413)
        assert client.post("/detect", q="copy", api_key="beta").status == 200
        refused = client.post("/translate", **values, api_key="beta")
        assert "more than 2 requests a minute" in refused.error(429)
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/translate?langpair=en|de&q=copy&api_key=alpha").status == 200
        assert client.get("/translate?langpair=en|de&q=copy").error(401)
        assert client.upload("a.txt", b"copy", source="en", target="de").error(401)
        assert client.upload("a.txt", b"copy", source="en", target="de", api_key="alpha").status == 200


def test_rates_are_counted_by_address(copying_files: list[Path]) -> None:
    with serving(copying_files[0], "--rate", "2") as client:
        values = {"q": "copy", "source": "en", "target": "de"}
        assert [client.post("/translate", **values).status for _ in range(3)] == [200, 200, 429]
        assert client.get("/languages").status == 200


def test_other_origins_need_permission(client: Client, copying_files: list[Path]) -> None:
    origin = {"Origin": "https://example.org"}
    preflight = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    assert "access-control-allow-origin" not in client.send("GET", "/languages", None, origin).headers
    with serving(copying_files[0], "--cors", "https://example.org") as other:
        allowed = other.send("GET", "/languages", None, origin)
        assert allowed.headers["access-control-allow-origin"] == "https://example.org"
        assert other.send("OPTIONS", "/translate", None, preflight).status == 200
        refused = other.send("OPTIONS", "/translate", None, {**preflight, "Origin": "https://example.net"})
        assert "is not allowed" in refused.error(400)


def test_requests_at_once_get_what_the_command_line_gives(client: Client, translator: dragoman.Translator) -> None:
    texts = [" ".join(str((7 * i + j) % 1000) for j in range(1 + i % 9)) for i in range(120)]
    expected = [result.text for result in translator.translate(texts)]

    def ask(text: str) -> str:
        return str(client.post("/translate", q=text, source="en", target="xx").json["translatedText"])

    with ThreadPoolExecutor(16) as threads:
        assert [*threads.map(ask, texts)] == expected


def test_a_full_queue_is_refused_and_then_free(copying_files: list[Path]) -> None:
    with serving(copying_files[0], "--queue", "20", "--char-limit", "20", "--workers", "1") as client:
        with client.server.service.capacity.reserved(15):
            refused = client.post("/translate", q="copy this", source="en", target="de")
            assert "too many requests wait" in refused.error(503)
            assert int(refused.headers["retry-after"]) >= 1
        assert client.post("/translate", q="copy this", source="en", target="de").status == 200
        assert client.server.service.capacity.used == 0
