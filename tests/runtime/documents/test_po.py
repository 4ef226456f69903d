"""Segments of gettext catalogues, against the readings of Babel and of gettext's own programs."""

from __future__ import annotations

import gettext
import io
import random
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po, write_po
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.po import MAX_FORMS, segments
from dragoman.runtime.documents.segments import Content, Segment, Text, replace_segments
from dragoman.runtime.errors import UserError

needs_gettext = pytest.mark.skipif(not shutil.which("msgcat"), reason="gettext's programs are not installed")
HEADER = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'

Form = str | tuple[str, ...]  # a text, or those of plural forms

# Babel takes some control characters for ends of lines, and does not know all escapes of gettext.
readable = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], include_characters='\n\t\r"\\')
few = settings(max_examples=30)
texts = st.text(readable) | st.text('aB \n"\\é。日', max_size=200)


def mark(text: str) -> str:
    return f'"{text.upper()}\\'


def changed(segment: Segment, change: Callable[[str], str]) -> list[Content]:
    return [Text(change(item.text)) if item.source is None else item for item in segment.content]


def translated(source: str, change: Callable[[str], str] = mark, fuzzy: bool = False) -> str:
    found = segments(source, Options(fuzzy=fuzzy))
    return replace_segments(source, [(segment, segment.write(changed(segment, change))) for segment in found])


def marked(text: str) -> str:
    """Return a text with its words marked, and the white space at its ends as it was."""
    core = text.strip()
    before, after = text.split(core, 1) if core else (text, "")
    return before + mark(core) + after


def is_translatable(text: str) -> bool:
    return any(map(str.isalnum, text))


def read(source: str) -> list[tuple[Any, ...]]:
    """Return what Babel reads: contexts, texts, translations, flags and comments, obsolete messages among them."""
    catalogue = read_po(io.BytesIO(source.encode()), abort_invalid=True)
    messages = [*catalogue, *catalogue.obsolete.values()]
    return [(m.context, m.id, m.string, sorted(m.flags), m.user_comments, m.previous_id) for m in messages]


def compiled(source: str, tmp_path: Path, *arguments: str) -> dict[Any, str]:
    """Return the translations that msgfmt finds in a catalogue."""
    data = source.encode("utf-8", "surrogateescape")
    result = subprocess.run(
        ["msgfmt", *arguments, "-o", tmp_path / "a.mo", "-"], input=data, capture_output=True, check=False
    )
    assert result.returncode == 0, result.stderr.decode()
    with open(tmp_path / "a.mo", "rb") as file:
        catalogue: dict[Any, str] = vars(gettext.GNUTranslations(file))["_catalog"]
    return catalogue


@st.composite
def catalogues(draw: st.DrawFn) -> str:
    """Return a catalogue as Babel writes it."""
    catalogue = Catalog(locale=draw(st.sampled_from(["de", "ja", "pl"])), charset="utf-8")
    for source in draw(st.lists(texts.filter(bool), max_size=8)):
        plural = draw(st.none() | texts.filter(bool))
        n_forms = catalogue.num_plurals
        translation: Any = draw(st.just("") | texts)
        if plural is not None:
            translation = tuple(draw(st.lists(st.just("") | texts, min_size=n_forms, max_size=n_forms)))
        catalogue.add(
            source if plural is None else (source, plural),
            translation,
            flags=draw(st.sets(st.sampled_from(["fuzzy", "c-format", "no-wrap"]))),
            user_comments=draw(st.lists(st.sampled_from(["a note", 'msgid "no"', "# more"]), max_size=2)),
            context=draw(st.none() | st.sampled_from(["menu", 'a "quoted" one'])),
            previous_id=draw(st.sampled_from([(), ("an older text",)])),
        )
    file = io.BytesIO()
    write_po(file, catalogue, width=draw(st.sampled_from([0, 20, 76])), include_previous=True)
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return file.getvalue().decode().replace("\n", end) + draw(st.sampled_from(["", f'#~ msgid "old"{end}#~ msgstr ""']))


def expected_translation(message_id: Form, string: Form, change: Callable[[str], str]) -> Form:
    def form(source: str, translation: str) -> str:
        return translation or (change(source) if is_translatable(source) else "")

    if isinstance(message_id, str):
        assert isinstance(string, str)
        return form(message_id, string) if message_id else string
    one, many = message_id
    sources = [many] if len(string) == 1 else [one] + [many] * (len(string) - 1)
    return tuple(map(form, sources, string))


@few
@given(catalogues())
def test_only_empty_translations_change(source: str) -> None:
    before, after = read(source), read(translated(source))
    assert after == [
        (context, message_id, expected_translation(message_id, string, marked), *rest)
        if (context, message_id) != (None, "old")
        else (context, message_id, string, *rest)
        for context, message_id, string, *rest in before
    ]


@few
@given(catalogues())
def test_the_content_is_the_text_of_the_message(source: str) -> None:
    after = read(translated(source, change=str))
    for context, message_id, string, *_ in read(source):
        if (context, message_id) != (None, "old"):
            found = next(row[2] for row in after if row[:2] == (context, message_id))
            assert found == expected_translation(message_id, string, str)


@few
@given(catalogues(), st.booleans())
def test_segments_are_empty_strings_in_order(source: str, fuzzy: bool) -> None:
    position = 0
    for segment in segments(source, Options(fuzzy=fuzzy)):
        assert position <= segment.start
        assert re.fullmatch(r'""(\s*"")*', source[segment.start : segment.end])
        assert source.count("\n", 0, segment.start) + 1 == int(re.findall("[0-9]+", segment.place)[0])
        assert segment.text == segment.text.strip() != ""
        position = segment.end


@few
@given(catalogues())
def test_a_translated_catalogue_has_no_segments(source: str) -> None:
    after = translated(source)
    assert segments(after, Options()) == []
    assert translated(after) == after


@few
@given(catalogues())
def test_marks_of_drafts(source: str) -> None:
    before, plain, after = read(source), read(translated(source)), read(translated(source, fuzzy=True))
    for old, expected, new in zip(before, plain, after, strict=True):
        is_changed = old[2] != expected[2]
        flags = sorted({*old[3], "fuzzy"}) if is_changed else old[3]
        assert new == (*expected[:3], flags, *expected[4:])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('msgid "a"\n', '#, fuzzy\nmsgid "a"\n'),
        ('msgctxt "c"\nmsgid "a"\n', '#, fuzzy\nmsgctxt "c"\nmsgid "a"\n'),
        ('#: a.c:1\nmsgid "a"\n', '#: a.c:1\n#, fuzzy\nmsgid "a"\n'),
        ('#, c-format\n#: a.c:1\nmsgid "a"\n', '#, fuzzy, c-format\n#: a.c:1\nmsgid "a"\n'),
        ('#,c-format\nmsgid "a"\n', '#, fuzzy,c-format\nmsgid "a"\n'),
        ('#,\nmsgid "a"\n', '#, fuzzy\nmsgid "a"\n'),
        ('#, c-format, fuzzy\nmsgid "a"\n', '#, c-format, fuzzy\nmsgid "a"\n'),
        # msgfmt goes by the last flags, and takes no flags between the previous msgid and the msgid.
        ('#, fuzzy\n#, c-format\nmsgid "a"\n', '#, fuzzy\n#, fuzzy, c-format\nmsgid "a"\n'),
        ('#| msgid "o"\n#| "p"\nmsgid "a"\n', '#, fuzzy\n#| msgid "o"\n#| "p"\nmsgid "a"\n'),
        # These are the flags and the previous msgid of an obsolete message.
        (
            '#, fuzzy\n#~ msgid "o"\n#~ msgstr ""\nmsgid "a"\n',
            '#, fuzzy\n#~ msgid "o"\n#~ msgstr ""\n#, fuzzy\nmsgid "a"\n',
        ),
        ('#| msgid "p"\n#~ msgid "o"\nmsgid "a"\n', '#| msgid "p"\n#~ msgid "o"\n#, fuzzy\nmsgid "a"\n'),
    ],
)
def test_places_of_marks(before: str, after: str, end: str) -> None:
    rest = 'msgstr "{}"\n\nmsgid "b"\nmsgstr "c"\n'
    source = (HEADER + before + rest.format("")).replace("\n", end)
    assert translated(source, str, fuzzy=True) == (HEADER + after + rest.format("a")).replace("\n", end)


def test_a_message_with_plural_forms_is_marked_once() -> None:
    source = 'msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\nmsgstr[1] ""\n'
    assert translated(source, str, fuzzy=True) == (
        '#, fuzzy\nmsgid "a"\nmsgid_plural "b"\nmsgstr[0] "a"\nmsgstr[1] "b"\n'
    )


@needs_gettext
def test_marked_messages_are_drafts_to_msgfmt(tmp_path: Path) -> None:
    source = (
        HEADER + '#| msgid "old"\nmsgid "a"\nmsgstr ""\n\n#, c-format\nmsgid "b"\nmsgstr ""\n\nmsgid "c"\nmsgstr "d"\n'
    )
    marked_source = translated(source, fuzzy=True)
    assert {*compiled(marked_source, tmp_path)} == {"", "c"}
    assert {*compiled(marked_source, tmp_path, "--use-fuzzy")} == {"", "a", "b", "c"}


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        ({"0": ""}, {"0": "many"}),  # as in Japanese, for any number
        ({"0": "", "1": ""}, {"0": "one", "1": "many"}),
        ({"0": "", "1": "", "2": ""}, {"0": "one", "1": "many", "2": "many"}),
        ({"0": "x", "1": ""}, {"0": "x", "1": "many"}),
        ({"0": "", "1": "x"}, {"0": "one", "1": "x"}),
        ({"1": "", "0": ""}, {"1": "many", "0": "one"}),
        ({"00": "", " 1 ": ""}, {"00": "one", " 1 ": "many"}),
    ],
)
def test_plural_forms(forms: dict[str, str], expected: dict[str, str]) -> None:
    def catalogue(translations: dict[str, str]) -> str:
        lines = [f'msgstr[{index}] "{text}"\n' for index, text in translations.items()]
        return 'msgid "one"\nmsgid_plural "many"\n' + "".join(lines)

    assert translated(catalogue(forms), str) == catalogue(expected)
    places = [segment.place for segment in segments(catalogue(forms), Options())]
    lines = [i for i, text in enumerate(forms.values(), 3) if not text]
    assert [place.partition(" (")[0] for place in places] == [f"line {line}" for line in lines]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('msgid "a"\nmsgstr ""', 'msgid "a"\nmsgstr "a"'),
        ('\ufeffmsgid "a"\nmsgstr ""\n', '\ufeffmsgid "a"\nmsgstr "a"\n'),
        ('msgid"a"msgstr""', 'msgid"a"msgstr"a"'),
        ('  msgid\n  "a"\n  msgstr\n  ""\n', '  msgid\n  "a"\n  msgstr\n  "a"\n'),
        ('msgid "a"\nmsgstr ""\n""\n\n# note\n', 'msgid "a"\nmsgstr "a"\n\n# note\n'),
        ('msgid "a"\nmsgstr ""\n# note\n""\n', 'msgid "a"\nmsgstr "a"\n# note\n""\n'),
        ('msgid "a"\nmsgstr ""\n"b"\n', 'msgid "a"\nmsgstr ""\n"b"\n'),
        ('msgid ""\n"a"\n" b"\nmsgstr ""\n', 'msgid ""\n"a"\n" b"\nmsgstr "a b"\n'),
        ('msgid "a" # msgid "b"\nmsgstr ""\n', 'msgid "a" # msgid "b"\nmsgstr "a"\n'),
        ('msgctxt "c"\nmsgid "a"\nmsgstr ""\n', 'msgctxt "c"\nmsgid "a"\nmsgstr "a"\n'),
        ('msgctxt "c"\nmsgid ""\nmsgstr ""\n', 'msgctxt "c"\nmsgid ""\nmsgstr ""\n'),
        ('domain "d"\nmsgid "a"\nmsgstr ""\n', 'domain "d"\nmsgid "a"\nmsgstr "a"\n'),
        ('msgid "a\\\nb"\nmsgstr ""\n', 'msgid "a\\\nb"\nmsgstr "ab"\n'),
        ('msgid "a"\nmsgstr ""\n\x1a', 'msgid "a"\nmsgstr "a"\n\x1a'),
        ('msgid "\\1" "01 x"\nmsgstr ""\n', 'msgid "\\1" "01 x"\nmsgstr "\x0101 x"\n'),  # not \101
        ('msgid "\\q\\\'"\nmsgstr ""\n', 'msgid "\\q\\\'"\nmsgstr "\\\\q\\\\\'"\n'),  # no escapes; read literally
        ("", ""),
        ("# a note\n", "# a note\n"),
        ('domain "d"\n', 'domain "d"\n'),
        ('msgid "%s: -"\nmsgstr ""\n', 'msgid "%s: -"\nmsgstr "%s: -"\n'),
        ('msgid "..."\nmsgstr ""\n', 'msgid "..."\nmsgstr ""\n'),
        ('msgid "7"\nmsgstr ""\n', 'msgid "7"\nmsgstr "7"\n'),
    ],
)
def test_spellings(before: str, after: str) -> None:
    assert translated(before, str) == after


@pytest.mark.parametrize("charset", ["UTF-8", "utf8", "CHARSET", "", "ISO-8859-1"])
def test_bytes_that_are_no_text_are_copied(charset: str) -> None:
    header = f'msgid ""\nmsgstr "Content-Type: text/plain; charset={charset}\\n"\n' if charset else ""
    (segment,) = segments(header + 'msgid "a\\303\\244b\\xff" "c\udc80d\\000e"\nmsgstr ""\n', Options())
    is_latin = charset.startswith("ISO")
    decoded = "\udcc3\udca4" if is_latin else "ä"
    assert segment.write(segment.content) == f'"a{decoded}b\udcffc\udc80d\\000e"'
    assert [item.text for item in segment.content if item.source is None] == (
        [*"abcde"] if is_latin else ["aäb", "c", "d", "e"]
    )


def spelled(text: str, choose: random.Random) -> str:
    """Return a text as string literals, with its characters spelled in any way that gettext reads."""
    names = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", "\\": "\\", '"': '"'}
    literals = [""]
    for character in text:
        way = choose.randrange(8)
        if way == 0:
            literals[-1] += "".join(f"\\{byte:03o}" for byte in character.encode())
        elif way == 1:  # a hexadecimal number ends with its literal
            literals += [f"\\x{byte:0{choose.randint(2, 5)}x}" for byte in character.encode()] + [""]
        elif character in names:
            literals[-1] += "\\" + names[character]
        else:
            literals[-1] += character
        if way == 2:
            literals.append("")
    return "\n".join(f'"{literal}"' for literal in literals)


@needs_gettext
@settings(max_examples=15)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\x04")).filter(is_translatable), unique=True),
    st.randoms(use_true_random=False),
)
def test_gettext_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, messages: list[str], choose: random.Random
) -> None:
    empty = '""'
    source = HEADER + "".join(
        f"msgid {spelled(text, choose)}\nmsgstr {empty * choose.randint(1, 2)}\n\n" for text in messages
    )
    found = segments(source, Options())
    assert [segment.text for segment in found] == [text.strip() for text in messages]
    catalogue = compiled(translated(source, str), tmp_path_factory.mktemp("po"))
    assert {source: text for source, text in catalogue.items() if source} == {text: text for text in messages}


@needs_gettext
@pytest.mark.parametrize("wide", [False, True])
def test_lines_are_those_of_msgcat(wide: bool) -> None:
    choose = random.Random(5)
    words = ["a", "bc", "word", "longer", "extraordinarily", "x" * 30, "y" * 90, "é", '"q"', "\\", "\t", "(b)", "%s,"]
    between = [" ", " ", " ", " ", "  ", "\n", " \n"]
    if wide:
        words, between = ["日本語", "の", "文章", "、", "。", "word"], ["", "", "", "\n"]
    messages = {
        "".join(choose.choice(words) + choose.choice(between) for _ in range(choose.randint(1, 30))) for _ in range(400)
    }
    source = HEADER + "".join(f'msgid {spelled(text, choose)}\nmsgstr ""\n\n' for text in sorted(messages))
    ours = translated(source, str)
    theirs = subprocess.run(["msgcat", "-"], input=ours.encode(), capture_output=True, check=True).stdout.decode()

    def translations(catalogue: str) -> list[str]:
        return re.findall(r'^msgstr (".*"(?:\n".*")*)', catalogue, re.MULTILINE)

    assert len(translations(ours)) > 300
    assert translations(ours) == translations(theirs)


@needs_gettext
@pytest.mark.parametrize("change", [lambda text: f"\n{text}\n", str.upper, lambda text: ""])
def test_newlines_at_the_ends_are_those_of_the_message(tmp_path: Path, change: Callable[[str], str]) -> None:
    messages = ["a", "\nb", "c\n", "\nd\n", "\n\n e\nf \n", " g "]
    source = HEADER.replace("\\n", "\\nMIME-Version: 1.0\\n") + "".join(
        f'msgid {spelled(text, random.Random(1))}\nmsgstr ""\n\n' for text in messages
    )
    catalogue = compiled(translated(source, change), tmp_path, "--check-format")
    for text in messages:
        if text in catalogue:
            assert catalogue[text].startswith("\n") == text.startswith("\n")
            assert catalogue[text].endswith("\n") == text.endswith("\n")


@given(st.lists(st.text() | st.text('\n\\"\0\r\x85\u0301日。 n0'), min_size=1))
def test_any_translation_stays_in_its_literals(parts: list[str]) -> None:
    (segment,) = segments('msgid "a"\nmsgstr ""\n', Options())
    spelling = segment.write([*map(Text, parts)])
    assert re.fullmatch(r'"(?:[^"\\\n\0]|\\.)*"(?:\n"(?:[^"\\\n\0]|\\.)*")*', spelling)
    # Read it as a message. Lone surrogates are bytes that are no text, which are copied.
    (again,) = segments(f'msgid "x" {spelling}\nmsgstr ""\n', Options())
    parts[0] = parts[0].lstrip("\n")
    parts[-1] = parts[-1].rstrip("\n")
    text = "".join(parts).translate({0: None, 4: None}).rstrip()
    if not re.search("[\ud800-\udfff]", text):
        assert again.text == "x" + text


INVALID = [
    ('msgid "a\nmsgstr ""\n', "line 1: a string has no closing quotation mark"),
    ('msgid "a"\nmsgstr "', "line 2: a string has no closing quotation mark"),
    ('msgid "a"\nmsgstr "\\', "line 2: a string has no closing quotation mark"),
    ('\nmsgid "a"\nmsgid "b"\n', "line 3: found msgid after msgid; expected msgid_plural or msgstr"),
    ('msgid "a"\n', "line 1: the file ends after msgid; expected msgid_plural or msgstr"),
    ('msgid "a"\nmsgstr "b"\nmsgctxt "c"\n', "line 3: the file ends after msgctxt; expected msgid"),
    ('msgid "a"\nmsgstr\n', "line 2: msgstr has no string"),
    ("msgid\nmsgid", "line 1: msgid has no string"),
    ('msgid "a"\nmsgstr "b"\nmsgstr "c"\n', "line 3: found msgstr after msgstr"),
    ('msgid "a"\nmsgstr[0] ""\n', r"line 2: found msgstr\[\] after msgid"),
    ('msgid "a"\nmsgid_plural "b"\nmsgstr ""\n', r"line 3: found msgstr after msgid_plural; expected msgstr\[\]"),
    ('"a"\n', "line 1: found a string at the start"),
    ('msgstr ""\n', "line 1: found msgstr at the start"),
    ('msgid "a" b\nmsgstr ""\n', "line 1: found 'b'; expected a keyword"),
    ('\n\nmsgidx "a"\n', "line 3: found 'msgidx "),
    ("<html>\n", "line 1: found '<html>'"),
    ('msgid "a"\nmsgstr ""\n\udc80\n', r"line 3: found '\\udc80'"),
]


@pytest.mark.parametrize(("source", "message"), INVALID)
def test_invalid_catalogues(source: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}") as raised:
        segments(source, Options())
    assert "\n" not in str(raised.value)


@needs_gettext
@pytest.mark.parametrize("source", [source for source, _ in INVALID])
def test_msgfmt_rejects_them_too(source: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        compiled(source, tmp_path)


TOKENS = [
    *"msgid msgstr msgctxt msgid_plural msgstr[0] domain".split(),
    '"a"',
    '""',
    '"',
    "\n",
    "#, x\n",
    "#~",
    "\\",
    "[",
]


@given(st.text('msgidctr_plu[0]"\\\n#~,| a') | st.lists(st.sampled_from(TOKENS)).map(" ".join))
def test_any_text_is_read_or_rejected(source: str) -> None:
    try:
        found = segments(source, Options(fuzzy=True))
    except UserError:
        return
    after = replace_segments(source, [(segment, segment.write(segment.content)) for segment in found])
    assert segments(after, Options()) == []


@pytest.mark.parametrize(
    ("source", "n_segments"),
    [
        ('msgid "' + "\\n" * 200_000 + 'x"\nmsgstr ""', 1),
        ('msgid "a"' + '"b"\n' * 50_000 + "msgstr " + '""\n' * 50_000, 1),
        ('msgid "a"msgstr ""' * 30_000, 30_000),
        ('msgid "a b" "' + "c d " * 20_000 + '" msgid_plural "b"' + 'msgstr[0] ""' * MAX_FORMS, MAX_FORMS),
        ("#, a\n" * 100_000, 0),
        ("#," * 200_000, 0),
        ("\ufeff \t" * 100_000, 0),
    ],
)
def test_large_catalogues(source: str, n_segments: int) -> None:
    assert len(segments(source, Options(fuzzy=True))) == n_segments


def test_the_number_of_plural_forms_is_bounded() -> None:
    with pytest.raises(UserError, match=r"line 2: found 101 msgstr; expected at most 100 plural forms"):
        segments('\nmsgid "a" msgid_plural "b"' + 'msgstr[0] ""' * (MAX_FORMS + 1), Options())
    with pytest.raises(UserError, match="found '"):
        segments('msgid "a" msgid_plural "b" msgstr[' + "9" * 5000 + '] ""', Options())


def real_catalogues() -> list[Path]:
    """Return compiled catalogues that installed packages ship, at most one of each name."""
    packages, share = Path(sysconfig.get_path("purelib")), Path("/usr/share")
    found = [
        *packages.glob("*/locale/*/LC_MESSAGES/*.mo"),
        *share.glob("locale*/*/LC_MESSAGES/*.mo"),
        *share.glob("vim/*/lang/*.UTF-8/LC_MESSAGES/*.mo"),
    ]
    return sorted({path.name: path for path in sorted(found)}.values())[:5]


def test_messages_of_real_catalogues(tmp_path: Path) -> None:
    catalogues = real_catalogues()
    if not catalogues:
        pytest.skip("no installed package ships catalogues")
    n_messages = 0
    for path in catalogues:
        with path.open("rb") as file:
            original = read_mo(file)
        empty = Catalog(locale="de", charset="utf-8")
        for message in original:
            if message.id:
                context = message.context  # Babel leaves it as bytes
                empty.add(message.id, context=context.decode() if isinstance(context, bytes) else context)
        file_of_empty = io.BytesIO()
        write_po(file_of_empty, empty)
        source = file_of_empty.getvalue().decode()
        before, after = read(source), read(translated(source))
        assert [row[2] for row in after] == [expected_translation(row[1], row[2], marked) for row in before]
        assert [row[:2] for row in after] == [row[:2] for row in before]
        if shutil.which("msgfmt"):
            assert len(compiled(translated(source, str), tmp_path, "--check-header")) >= len(before) - 1
        n_messages += len(before)
    assert n_messages > 20
