"""Segments of JSON documents, against the readings of Python's own parser."""

from __future__ import annotations

import json
import random
import re
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragoman.runtime.documents.json_strings import is_prose, segments
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Content, Segment, Text, replace_segments
from dragoman.runtime.errors import UserError

Change = Callable[[str, tuple[str, ...]], str]  # of a string with its path

ALL = Options(keys=("**",))

few = settings(max_examples=40)
all_text = st.text(st.characters()) | st.text('aB "\\/\n\té\u2028\ud83d\ude00\udc80', max_size=8)
keys = st.sampled_from([*"abc", "a.b", "*", "**", "", "0", "é", "\\"]) | all_text
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | all_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
documents = st.builds(
    lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only),
    values,
    st.sampled_from([None, 2, "\t"]),
    st.booleans(),
)


def mark(text: str) -> str:
    return f'"{text.upper()}\\é\x01'


def marked(text: str) -> str:
    """Return a string with its words marked, and the white space at its ends and lone surrogates as they were."""
    core = text.strip()
    if not any(map(str.isalpha, core)):
        return text
    before, after = text.split(core, 1)
    parts = re.split("([\ud800-\udfff])", core)
    return before + "".join(part if i % 2 or not part else mark(part) for i, part in enumerate(parts)) + after


def changed(segment: Segment, change: Callable[[str], str]) -> list[Content]:
    return [Text(change(item.text)) if item.source is None else item for item in segment.content]


def translated(source: str, change: Callable[[str], str] = mark, options: Options = ALL) -> str:
    if not strings_of(source):
        with pytest.raises(UserError, match="no string has the key"):
            segments(source, options)
        return source
    found = segments(source, options)
    return replace_segments(source, [(segment, segment.write(changed(segment, change))) for segment in found])


def read(source: str) -> object:
    """Return a document's value with its objects as lists of pairs, which keep the order and duplicates."""
    return json.loads(source, object_pairs_hook=lambda pairs: ["object", *pairs], parse_float=str, parse_int=str)


def mapped(value: object, change: Change, path: tuple[str, ...] = ()) -> object:
    """Return the value of `read` with its string values changed."""
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, list) and value[:1] == ["object"] and all(isinstance(pair, tuple) for pair in value[1:]):
        return ["object", *((key, mapped(inner, change, (*path, key))) for key, inner in value[1:])]
    if isinstance(value, list):
        return [mapped(inner, change, (*path, str(i))) for i, inner in enumerate(value)]
    return value


def same(one: object, other: object) -> bool:
    return repr(one) == repr(other)  # NaN is not equal to itself


def strings_of(source: str) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    value = json.loads(source, object_pairs_hook=lambda pairs: ["object", *pairs])

    def change(text: str, path: tuple[str, ...]) -> str:
        found.append((path, text))
        return text

    mapped(value, change)
    return found


@few
@given(documents)
def test_only_strings_change(source: str) -> None:
    value = json.loads(source, object_pairs_hook=lambda pairs: ["object", *pairs])
    after = json.loads(translated(source), object_pairs_hook=lambda pairs: ["object", *pairs])
    assert same(after, mapped(value, lambda text, _: marked(text)))


@few
@given(documents)
def test_untouched_content_reads_the_same(source: str) -> None:
    assert same(json.loads(translated(source, str)), json.loads(source))


@few
@given(documents, st.booleans())
def test_segments_are_within_strings_and_in_order(source: str, prose_only: bool) -> None:
    position = 0
    try:
        found = segments(source, Options() if prose_only else ALL)
    except UserError:
        return
    for segment in found:
        assert position < segment.start < segment.end < len(source)
        assert json.loads(f'"{source[segment.start : segment.end]}"') == segment.text == segment.text.strip()
        assert any(map(str.isalpha, segment.text))
        position = segment.end


@given(st.text(st.characters(), min_size=1), st.randoms(use_true_random=False))
def test_spellings_of_characters(text: str, choose: random.Random) -> None:
    names = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\\": "\\", '"': '"', "/": "/"}
    spelled = ""
    for character in text:
        escape = re.sub(r"\\u.*", lambda match: match[0].upper().replace("\\U", "\\u"), json.dumps(character)[1:-1])
        if character in names and choose.random() < 0.5:
            spelled += "\\" + names[character]
        elif character < " " or character in '"\\' or choose.random() < 0.3:
            spelled += f"\\u{ord(character):04x}" if character < "\uffff" else escape
        else:
            spelled += character
    source = f'["{spelled}", 1]'
    value = json.loads(source)
    for segment in segments(source, ALL):
        assert segment.text == value[0].strip()
    assert json.loads(translated(source, str)) == value
    assert json.loads(translated(source)) == [marked(value[0]), 1]


def outcome(source: str) -> str:
    """Return the verdict of Python's parser: valid, several valid lines, or invalid."""
    try:
        json.loads(source)
    except RecursionError:
        return "deep"
    except ValueError:
        lines = [line for line in source.split("\n") if line.strip(" \t\r")]
        try:
            return "lines" if [json.loads(line) for line in lines] else "invalid"
        except ValueError:
            return "invalid"
    return "valid"


TOKENS = [
    *'{}[],:"\\ \n\t',
    '"a"',
    '"b c"',
    "1",
    "0",
    "-",
    ".5",
    "e+1",
    "true",
    "nul",
    "null",
    "NaN",
    "-Infinity",
    "\\u",
]


@settings(max_examples=250)
@given(
    st.lists(st.sampled_from([*TOKENS, "\\ud83d", "\\x", "+", "'", "\x0b", "\ufeff", "\xa0", "//", "٣"])).map("".join)
    | st.builds(
        lambda source, at, text: source[: at % (len(source) + 1)] + text + source[at % (len(source) + 1) :],
        documents,
        st.integers(0, 1000),
        st.sampled_from([*TOKENS, "", "\x00"]),
    )
    | st.builds(lambda source, end: source[: end % (len(source) + 1)], documents, st.integers(0, 1000))
)
@example("")
@example("01")
@example('{"a":1,}')
@example("1 2")
@example("1\n2")
@example("{\n}\n{}")
@example("{}\n{\n}")
@example('["a"],')
def test_valid_is_what_python_reads(source: str) -> None:
    source = source.lstrip("\ufeff")
    verdict = outcome(source)
    if verdict == "invalid":
        with pytest.raises(UserError) as raised:
            segments(source, Options())
        line, column, rest = re.findall(
            r"^line ([0-9,]+), column ([0-9,]+): expected .*; found (.*)$", str(raised.value)
        )[0]
        lines = source.split("\n")
        character = (lines[int(line.replace(",", "")) - 1] + "\n")[int(column.replace(",", "")) - 1]
        assert rest in ("the end of the document", ascii(character))
        return
    found = segments(source, Options())
    after = replace_segments(source, [(segment, segment.write(segment.content)) for segment in found])
    if verdict == "valid":
        assert same(json.loads(after), json.loads(source))
    assert outcome(after) == verdict


INVALID = [
    ("", "line 1, column 1: expected a value: .*; found the end of the document"),
    (" \n ", "line 2, column 2: expected a value"),
    ("\ufeff[", "line 1, column 2: expected a value"),
    ('[1,\n  "a" "b"]', r"""line 2, column 7: expected a comma or \]; found '"'"""),
    ('{"a": 1, }', "line 1, column 10: expected a key in double quotation marks; found '}'"),
    ("{'a': 1}", 'line 1, column 2: expected a key in double quotation marks; found "\'"'),
    ('{"a" 1}', "line 1, column 6: expected a colon; found '1'"),
    ("[1, 2", r"line 1, column 6: expected a comma or \]; found the end"),
    ('{"a": [}', "line 1, column 8: expected a value"),
    ('["a', "line 1, column 2: expected a closing quotation mark for this string"),
    ('["a\nb"]', "line 1, column 4: expected a closing quotation mark, or an escape such as"),
    (r'["a\q"]', r"line 1, column 4: expected an escape such as \\n"),
    (r'["\u12"]', "line 1, column 3: expected an escape"),
    ("[1] 2", "line 1, column 5: expected the end of the document, or one value a line"),
    ("[\n1\n]\n2", "line 4, column 1: expected the end of the document, or one value a line"),
    ("1\n[\n2]", "line 2, column 1: expected a value within one line, as JSON Lines has them"),
    ("// note\n{}", "line 1, column 1: expected a value"),
    ("\udc80", r"line 1, column 1: expected a value.*; found '\\udc80'"),
]


@pytest.mark.parametrize(("source", "message"), INVALID)
def test_invalid_documents(source: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}") as raised:
        segments(source, Options())
    assert "\n" not in str(raised.value)


def matches(parts: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Return whether a path of the user selects a string, by trying all ways."""
    if not parts:
        return True  # it selects what is below it, too
    if parts[0] == "**":
        return any(matches(parts[1:], path[i:]) for i in range(len(path) + 1))
    return bool(path) and parts[0] in ("*", path[0]) and matches(parts[1:], path[1:])


@few
@given(
    values,
    st.lists(st.lists(st.sampled_from([*"abc01", "*", "**", ""]), min_size=1, max_size=5), min_size=1, max_size=3),
)
def test_paths(value: object, paths: list[list[str]]) -> None:
    source = json.dumps(value)
    expected = [
        text.strip()
        for path, text in strings_of(source)
        if any(matches(tuple(parts), path) for parts in paths) and any(map(str.isalpha, text))
    ]
    options = Options(keys=tuple(map(".".join, paths)))
    if all(any(matches(tuple(parts), path) for path, _ in strings_of(source)) for parts in paths):
        assert [segment.text for segment in segments(source, options)] == expected
    else:  # a path is misspelt
        with pytest.raises(UserError, match="no string has the key"):
            segments(source, options)


MENU = '{"menu": {"title": "ab", "items": [{"label": "cd"}, {"label": "ef", "x.y": "gh"}]}, "*": "ij", '
MENU += r'"a\\b": "kl", "": "mn"}'


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["menu.title"], ["ab"]),
        (["menu"], ["ab", "cd", "ef", "gh"]),
        (["menu.items.*.label"], ["cd", "ef"]),
        (["menu.items.1"], ["ef", "gh"]),
        (["**.label"], ["cd", "ef"]),
        (["menu.**.title"], ["ab"]),
        ([r"**.x\.y"], ["gh"]),
        ([r"\*"], ["ij"]),
        (["*"], ["ab", "cd", "ef", "gh", "ij", "kl", "mn"]),
        ([r"a\b"], ["kl"]),
        ([r"a\\b"], ["kl"]),
        ([""], ["mn"]),
        (["menu", "menu.title"], ["ab", "cd", "ef", "gh"]),
    ],
)
def test_examples_of_paths(keys: list[str], expected: list[str]) -> None:
    assert [segment.text for segment in segments(MENU, Options(keys=tuple(keys)))] == expected


@pytest.mark.parametrize(
    ("source", "keys", "message"),
    [
        (MENU, ["menu.titel"], 'no string has the key "menu.titel"; expected a path such as menu.title'),
        (MENU, ["menu", "menu.titel"], 'no string has the key "menu.titel"; expected a path such as menu.title'),
        (MENU, ["a", "b.*"], 'no string has the key "a" or "b.*"; expected a path such as menu.title'),
        ("[1]", ["a"], 'no string has the key "a"; the document has no string in an object or array'),
        ('"a b"', ["a"], 'no string has the key "a"; the document has no string in an object or array'),
        ('{"a": {"b": 1}, "c": "d"}', ["a"], 'no string has the key "a"; expected a path such as c'),
    ],
)
def test_a_path_without_strings(source: str, keys: list[str], message: str) -> None:
    with pytest.raises(UserError, match="^" + re.escape(message) + "$"):
        segments(source, Options(keys=tuple(keys)))


def test_a_named_string_without_letters_is_left_out() -> None:
    assert segments('{"a": "12:30"}', Options(keys=("a",))) == []


@pytest.mark.parametrize(
    ("source", "places"),
    [
        (
            MENU,
            ["menu.title", "menu.items.0.label", "menu.items.1.label", r"menu.items.1.x\.y", r"\*", r"a\\b", "line 1"],
        ),
        ('\n"a b"', ["line 2"]),
        ('["a b",\n["c d"]]', ["0", "1.0"]),
        ('1\n{"a": "b c"}', ["line 2, a"]),
        ('{"a": "b c"}\n\n{"d": ["e f"]}\n"g h"\n', ["line 1, a", "line 3, d.0", "line 4"]),
        ('{"a\\n\\u0007\\ud800é": "b c"}', ["a\ufffd\ufffd\ufffdé"]),
        ("[" * 30 + '"a b"' + "]" * 30, ["…" + "0.0.0.0.0.0.0.0.0.0"]),
        ('{"' + "k" * 500 + '": {"a": "b c"}}', ["…" + "k" * 98 + ".a"]),
    ],
)
def test_places(source: str, places: list[str]) -> None:
    assert [segment.place for segment in segments(source, ALL)] == places


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ('["a b"]', 'é😀"\\/\n\x01<', r"é😀\"\\/\n\u0001<"),
        (r'["a b", "\u00e9"]', "é😀<", r"\u00e9\ud83d\ude00<"),
        (r'["a b", "\ud83d\ude00"]', "é", r"\u00e9"),
        (r'["a b", "\u00e9", "ü"]', "é", "é"),
        (r'["a b", "\u00e9", {"ü": 1}]', "é", "é"),
        (r'["a b", "\\u00e9"]', "é", "é"),  # an escaped backslash before u00e9
        (r'["a b", "\u000a\u0041\u0020"]', "é\nA ", r"é\u000aA "),
        (r'["a b", "\u003c\/\u0026"]', "é</&", r"é\u003c\/\u0026"),
        (r'["a b", "é\u2028\u00a0"]', "\u2028é\xa0", r"\u2028é\u00a0"),
        ('["a b"]', "\ud800", r"\ud800"),
        ('\ufeff["a b", "\\u00e9"]', "é", r"\u00e9"),
    ],
)
def test_escapes_follow_the_document(source: str, text: str, expected: str) -> None:
    segment = segments(source, ALL)[0]
    assert segment.write([Text(text)]) == expected
    assert json.loads(f'"{expected}"') == text


@given(st.lists(all_text), documents)
def test_any_translation_stays_in_its_string(parts: list[str], other: str) -> None:
    source = f'["a b", {other}]'
    segment = segments(source, ALL)[0]
    after = json.loads(replace_segments(source, [(segment, segment.write([*map(Text, parts)]))]))
    text = "".join(parts)
    # An escape of half a pair before one of the other half is the whole character, as in any JSON.
    assert same(after, [json.loads(json.dumps(text)), json.loads(other)])


def test_surrogates_are_copied() -> None:
    source = '["a \udc80 b \\ud800c\\udc80\\ud83d\\ude00"]'
    (segment,) = segments(source, ALL)
    assert [(item.text, item.source) for item in segment.content if isinstance(item, Text)] == [
        ("a ", None), ("\udc80", "\udc80"), (" b ", None), ("\ud800", "\\ud800"), ("c", None), ("\udc80", "\\udc80"),
        ("😀", None),
    ]  # fmt: skip
    assert segment.write(segment.content) == source[2:-2]


@pytest.mark.parametrize(
    "text",
    [
        *"Hello Hello. and/or Yes/No E-mail Sign-up e.g. OK red Tel: Data: Loading... café 日本語".split(),
        *"won't (optional)".split(),
        *'"Quoted" ¿Qué? Note: Step1! C++ Username* U.S. n/a km/h Hello,world ...and -Ja ÜBER_x 第1章 %s'.split(),
        "Visit https://example.org today", "See README.md", "a@b.de is my address", "Größe-2", "snake_case is a style", 
        "12 files", "{count} files", "/etc/hosts is a file", "Mr. X", "rgb is a colour model",
    ],
)  # fmt: skip
def test_prose(text: str) -> None:
    assert is_prose(text)
    assert [segment.text for segment in segments(json.dumps({"a": text}), Options())] == [text]


@pytest.mark.parametrize(
    "text",
    [
        *"https://example.org/a?b=c http://köln.de/ü //cdn.example.org mailto:a@b.de tel:+49 www.example.org".split(),
        *"git+ssh://a data:image/png;base64,xyz a@b.de first.last+x@mail.example.org".split(),
        *r"/etc/hosts ./a ../a ~/a C:\a \\host\a src/lib/index lib/index.js text/plain;v=1".split(),
        *"text/html image/svg+xml".split(),
        *"@scope/name a/b/ README.md com.example.app index.d.ts Node.js a.b.c() snake_case SCREAMING_CASE _x".split(),
        *"camelCase PascalCase iPhone kebab-case a-b-c en-US zh-Hant node:fs a:b:c $ref #main .button".split(),
        *"2024-01-31T12:00:00Z 550e8400-e29b-41d4-a716-446655440000 0xdeadbeef 12px 1.5rem v1.2.3 utf-8".split(),
        *"3f786850e387550fdab836ed7e6dc881de23001b #ffcc00 #FFF rgb(0,0,0) rgba(0,0,0,.5)".split(),
        "rgb(0, 0, 0)", "hsl(120deg 100% 50% / 0.5)", "var(--main)", "--flag", "-v", "{name}", "${name}", "{{name}}",
        "x" * 61, "12:30", "...", "100 %",
    ],
)  # fmt: skip
def test_no_prose(text: str) -> None:
    assert not is_prose(text) or not any(map(str.isalpha, text))
    assert segments(json.dumps({"a": f" {text}\n", "b": 1}), Options()) == []
    named = segments(json.dumps({"a": text}, ensure_ascii=False), Options(keys=("a",)))
    assert [segment.text for segment in named] == [text] * any(map(str.isalpha, text))


DEEP = 1_000_000


@pytest.mark.parametrize(
    "source",
    [
        "[" * DEEP + '"a b"' + "]" * DEEP,
        '{"a":' * 50_000 + '"a b"' + "}" * 50_000,
        '[{"a":' * 1000 + '"a b"' + "}]" * 1000,
    ],
)
def test_any_depth(source: str) -> None:
    (segment,) = segments(source, Options())
    assert (segment.start, segment.text) == (source.index("a b"), "a b")


def test_documents_that_are_too_deep_are_refused() -> None:
    with pytest.raises(UserError, match="column 1,000,001: expected at most 1,000,000 levels of arrays and objects"):
        segments("[" * 2 * DEEP, Options())


def test_paths_of_deep_documents() -> None:
    source = "[" * 20_000 + '{"a": {"b": "c d"}}' + "]" * 20_000
    assert len(segments(source, Options(keys=("**.a.**", "**.b")))) == 1
    with pytest.raises(UserError, match="no string has the key"):
        segments(source, Options(keys=("**.b.*", "a")))


@pytest.mark.parametrize(
    ("source", "n_segments"),
    [
        ('"' + r"\n" * 100_000 + 'a b"', 1),
        ('"' + " " * 300_000 + "a b" + " " * 300_000 + '"', 1),
        ("[" * 20_000 + '"a b",' * 20_000 + "1" + "]" * 20_000, 20_000),
        ('{"' + "k" * 500_000 + '":[' + '"a b",' * 20_000 + "1]}", 20_000),
        ('"' + "a@" + "." * 500_000 + '@"', 0),
        ('"' + "a_" * 500_000 + '"', 0),
        ('"a b"\n' * 20_000, 20_000),
    ],
)
def test_large_documents(source: str, n_segments: int) -> None:
    assert len(segments(source, Options())) == n_segments


@pytest.mark.parametrize(
    "source", ["[" * 100_000, '{"a":' * 50_000, '["' + "a" * DEEP, '["a' + r"\n" * 100_000, " " * DEEP]
)
def test_large_invalid_documents(source: str) -> None:
    with pytest.raises(UserError, match=r"^line 1, column "):
        segments(source, Options())


def real_documents() -> Iterator[Path]:
    """Yield JSON files that installed packages ship."""
    folder = Path(sysconfig.get_path("purelib"))
    for pattern in ("*.dist-info/**/*.json", "*/*.json", "*/*/*.json", "pycountry/databases/*.json"):
        yield from (path for path in sorted(folder.glob(pattern)) if path.stat().st_size < 100_000)


def test_real_documents() -> None:
    n_strings = 0
    for path in [*real_documents()][:12]:
        source = path.read_bytes().decode("utf-8", "surrogateescape")
        before = read(source)
        assert same(read(translated(source, str)), before)
        after = read(translated(source))
        assert same(after, mapped(before, lambda text, _: marked(text)))
        prose = segments(source, Options())
        assert {segment.start for segment in prose} <= {segment.start for segment in segments(source, ALL)}
        n_strings += len(prose)
    if not n_strings:
        pytest.skip("no installed package ships JSON files")
