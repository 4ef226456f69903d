"""SubRip and WebVTT, as the packages srt and webvtt-py read them before and after."""

from __future__ import annotations

import html
import itertools
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Content, Segment, Tag, Text, replace_segments
from dragoman.runtime.documents.subtitles import srt_segments, vtt_segments
from dragoman.runtime.errors import UserError

srt = pytest.importorskip("srt", reason="the oracle for SRT")
webvtt = pytest.importorskip("webvtt", reason="the oracle for WebVTT")

TIME = "00:00:01,000 --> 00:00:02,000"
Find = Callable[[str, Options], list[Segment]]


def srt_of(text: str) -> str:
    return f"1\n{TIME}\n{text}\n\n2\n{TIME}\nThe end.\n"


def vtt_of(text: str) -> str:
    return f"WEBVTT\n\n00:01.000 --> 00:02.000\n{text}\n\n00:03.000 --> 00:04.000\nThe end.\n"


def texts(find: Find, source: str) -> list[str]:
    return [segment.text for segment in find(source, Options())]


def changed(segment: Segment, change: Callable[[str], str]) -> list[Content]:
    return [Text(change(item.text)) if isinstance(item, Text) else item for item in segment.content]


def replaced(find: Find, source: str, change: Callable[[str], str]) -> str:
    """Return a document with changed texts, after a check that untouched texts are written as they were."""
    segments = find(source, Options())
    assert replace_segments(source, [(s, s.write(s.content)) for s in segments]) == source
    result = replace_segments(source, [(s, s.write(changed(s, change))) for s in segments])
    for before, after in zip(outside(source, segments), outside(result, find(result, Options())), strict=True):
        assert before == after
    return result


def outside(source: str, segments: Sequence[Segment]) -> list[str]:
    starts = [0, *(segment.end for segment in segments)]
    return [source[i:j] for i, j in zip(starts, [*(s.start for s in segments), len(source)], strict=True)]


def first_written(find: Find, source: str, text: str) -> str:
    return find(source, Options())[0].write([Text(text)])


def read_srt(source: str) -> list[Any]:
    return [(c.index, c.start, c.end, c.proprietary, c.content.split()) for c in srt.parse(source.lstrip("\ufeff"))]


def read_vtt(source: str) -> list[Any]:
    document = webvtt.from_string(source.lstrip("\ufeff"))
    cues = [(c.start, c.end, c.identifier, str(c.settings), c.comments, c.raw_text.split()) for c in document.captions]
    return [*cues, [style.text for style in document.styles], document.header_comments]


def mark(text: str) -> str:
    return re.sub(r"(\w)(?!\w)", r"\1Ж", text)


SRT_FAULTS = {
    "plain": (srt_of("Hello there."), ["Hello there."]),
    "two lines": (srt_of("I do not\nknow."), ["I do not know."]),
    "spaces at line ends": (srt_of("  I do not  \n\tknow. "), ["I do not know."]),
    "carriage returns": (srt_of("I do not\nknow.").replace("\n", "\r\n"), ["I do not know."]),
    "doubled carriage returns": (srt_of("I do not\nknow.").replace("\n", "\r\r\n"), ["I do not know."]),
    "old Mac": (srt_of("I do not\nknow.").replace("\n", "\r"), ["I do not know."]),
    "byte order mark": ("\ufeff" + srt_of("Hello."), ["Hello."]),
    "blank line in a cue": (srt_of("Hello.\n\nWho is it?"), ["Hello.", "Who is it?"]),
    "blank line after the time": (srt_of("\nHello."), ["Hello."]),
    "blank line of spaces": (srt_of("Hello.\n \t\nWho?"), ["Hello.", "Who?"]),
    "no index": (f"{TIME}\nHello.\n\n{TIME}\nThe end.", ["Hello."]),
    "index with spaces": (f" 1 \n  {TIME}  \nHello.\n\n 2\t\n{TIME}\nThe end.", ["Hello."]),
    "no blank line": (f"1\n{TIME}\nHello.\n2\n{TIME}\nThe end.\n", ["Hello."]),
    "neither": (f"{TIME}\nHello.\n{TIME}\nThe end.\n", ["Hello."]),
    "blank line under the index": (f"1\n\n{TIME}\n\nHello.\n\n2\n\n{TIME}\n\nThe end.\n", ["Hello."]),
    "empty cue": (f"1\n{TIME}\n\n2\n{TIME}\nHello.\n\n3\n{TIME}\nThe end.", ["Hello."]),
    "number as text": (f"1\n{TIME}\n1984\n\n2\n{TIME}\nThe end.", ["1984"]),
    "time line at the end": (srt_of("Hello.") + f"\n3\n{TIME}", ["Hello."]),
    "reversed time": ("1\n00:00:09,000 --> 00:00:02,000\nHello.\n\n2\n" + TIME + "\nThe end.", ["Hello."]),
    "full stops": ("1\n00:00:01.000-->00:00:02.000\nHello.\n\n2\n" + TIME + "\nThe end.", ["Hello."]),
    "short time": ("1\n0:0:1,0 --> 0:0:2\nHello.\n\n2\n" + TIME + "\nThe end.", ["Hello."]),
    "letters in the time": ("1\n00:0O:0l,000 --> 00:00:02,000\nHello.\n\n2\n" + TIME + "\nThe end.", ["Hello."]),
    "no second time": ("1\n00:00:01,000 -->\nHello.\n\n2\n" + TIME + "\nThe end.", ["Hello."]),
    "no first time": ("1\n--> 00:00:01,000\nHello.\n\n2\n" + TIME + "\nThe end.", ["Hello."]),
    "negative time": ("1\n-00:00:01,000 --> -00:00:00,500\nHello.\n\n2\n" + TIME + "\nThe end.", ["Hello."]),
    "position": (f"1\n{TIME}  X1:040 X2:600 Y1:020 Y2:050\nHello.\n\n2\n{TIME}\nThe end.", ["Hello."]),
    "text before the first cue": ("Subtitles by\nme\n\n" + srt_of("Hello."), ["Hello."]),
    "ampersand": (srt_of("Q&amp;A & more"), ["Q&amp;A & more"]),
    "smaller than": (srt_of("I <3 you if a < b > c"), ["I <3 you if a < b > c"]),
    "unknown tag": (srt_of("<speaking French> Oui {sic}"), ["<speaking French> Oui {sic}"]),
    "tags around": (srt_of("{\\an8}<i>Hello\nthere.</i>"), ["Hello there."]),
    "upper-case tags": (srt_of("<I>Hello <B>there</b>.</I>"), ["Hello there."]),
    "font": (srt_of('<font color="#ffffff" size=3>Hello</font> you'), ["Hello you"]),
    "unclosed tag": (srt_of("<i>Hello <b>there."), ["Hello there."]),
    "breaks and hard spaces": (srt_of("One\\Ntwo\\hthree<br/>four"), ["One two three four"]),
    "arrow": (srt_of("From A --> B"), ["From A --> B"]),
    "no letter": (srt_of("...!\n♪ ♪\n- ?"), []),
    "undecodable byte": (srt_of("caf\udce9 noir"), ["caf\udce9 noir"]),
}  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), SRT_FAULTS.values(), ids=SRT_FAULTS)
def test_srt_as_found(source: str, expected: list[str]) -> None:
    """Each fault of SRT files found in the wild leaves the texts whole, and everything else as it is."""
    assert texts(srt_segments, source) == [*expected, "The end."]
    result = replaced(srt_segments, source, str.swapcase)
    assert texts(srt_segments, result) == [*(re.sub("-->", "->", t.swapcase()) for t in expected), "tHE END."]


@pytest.mark.parametrize("name", SRT_FAULTS)
def test_srt_oracle(name: str) -> None:
    """The package srt reads the same cues with exactly the texts changed."""
    source = SRT_FAULTS[name][0]
    try:
        before = read_srt(source)
    except srt.SRTParseError:
        pytest.skip("the package does not read this file")
    after = read_srt(replaced(srt_segments, source, mark))
    assert [cue[:4] for cue in before] == [cue[:4] for cue in after]
    for cue_before, cue_after in zip(before, after, strict=True):
        written = " ".join(cue_after[4])
        shown = re.sub(r"\\N|\\h|<br/>", " ", " ".join(cue_before[4]))  # a translation has none of these
        assert written.replace("Ж", "") == (shown.replace("-->", "->") if name == "arrow" else shown)
    n_words = sum(len(re.findall(r"\w+", text)) for text in texts(srt_segments, source))
    assert n_words == sum(" ".join(cue[4]).count("Ж") for cue in after)


VTT = """\ufeffWEBVTT - A title
Kind: captions
Language: en

STYLE
::cue(.loud) { color: red }

REGION
id:fred
width:40%

NOTE
Nothing here is translated.

NOTE One line

intro --- 1
00:01.000 --> 00:00:04.000 line:63% position:72% align:start
<v Roger Bingham>We are in <c.loud>New &amp; old</c>
York City.

00:04.000 --> 00:03.000
- <i>Hello</i> &lt;there&gt;&nbsp;!
- <00:00:04.500><c>Good</c><00:00:04.600><c> morning</c>

NOTE The next cue has no empty line before it

4
00:05.000 --> 00:06.000
<v Ann>Yes?
<v Bob>No &lrm;way.
00:07.000 --> 00:08.000
<lang en>The <ruby>end<rt>fin</rt></ruby></lang>
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_vtt(ending: str) -> None:
    """Only the text of cues is translated: not headers, notes, styles, regions, identifiers and tags."""
    source = VTT.replace("\n", ending)
    expected = [
        "We are in New & old York City.", "Hello <there>\xa0!", "Good morning", "Yes?", "No \u200eway.", "The endfin",
    ]  # fmt: skip
    assert texts(vtt_segments, source) == expected
    result = replaced(vtt_segments, source, mark)
    assert texts(vtt_segments, result) == [mark(text) for text in expected[:5]] + ["TheЖ endЖfinЖ"]
    before, after = read_vtt(source), read_vtt(result)
    assert [cue[:5] for cue in before[:4]] == [cue[:5] for cue in after[:4]]
    assert before[4:] == after[4:]
    assert [[w.replace("Ж", "") for w in cue[5]] for cue in after[:4]] == [cue[5] for cue in before[:4]]
    assert "\n" not in result.replace(ending, "")
    assert "\r" not in result.replace(ending, "")


VTT_FAULTS = {
    "no blank line after the header": ("WEBVTT\n00:01.000 --> 00:02.000\nHello.", ["Hello."]),
    "hours and commas": ("WEBVTT\n\n1:00:01,000 --> 1:00:02,000\nHello.", ["Hello."]),
    "text after an empty line": ("WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n\nLost.", ["Hello."]),
    "arrow in a note": ("WEBVTT\n\nNOTE this --> that\nLost.\n\n00:01.000 --> 00:02.000\nHello.", ["Hello."]),
    "unclosed tag": ("WEBVTT\n\n00:01.000 --> 00:02.000\nI <3 you\nHello.", ["I"]),
    "line of spaces": ("WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n  \nthere.", ["Hello there."]),
    "tag over lines": ("WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann\nLee>Hello.", ["Hello."]),
    "no cue": ("WEBVTT", []),
    "empty cue": ("WEBVTT\n\n00:01.000 --> 00:02.000", []),
    "numeric escapes": ("WEBVTT\n\n00:01.000 --> 00:02.000\nAT&T &#65;&#x42; R&ampB &x;", ["AT&T AB R&B &x;"]),
}


@pytest.mark.parametrize(("source", "expected"), VTT_FAULTS.values(), ids=VTT_FAULTS)
def test_vtt_as_found(source: str, expected: list[str]) -> None:
    """Malformed WebVTT is read as the standard demands, and the broken pieces stay."""
    assert texts(vtt_segments, source) == expected
    assert texts(vtt_segments, replaced(vtt_segments, source, str.swapcase)) == [t.swapcase() for t in expected]


GROUPS = {
    "dialogue": ("- Hi!\n- Hello.", ["Hi!", "Hello."]),
    "dialogue without spaces": ("-Hi!\n-Hello.", ["Hi!", "Hello."]),
    "dialogue with a continued line": ("– I was about\nto go.\n– Stay.", ["I was about to go.", "Stay."]),
    "only the second speaker": ("Who is it?\n- Me.", ["Who is it?", "Me."]),
    "a dash within a sentence": ("I saw it\n- twice.", ["I saw it - twice."]),
    "dialogue within a tag": ("<i>- Hi!\n- Hello.</i>", ["Hi!", "Hello."]),
    "speakers": ("JOHN: Hi!\nMARY ANN: Hello\nthere.", ["JOHN: Hi!", "MARY ANN: Hello there."]),
    "a colon within a sentence": ("You know one\nthing: nothing.", ["You know one thing: nothing."]),
    "change of speaker": (">> Hi!\n>> Hello.", ["Hi!", "Hello."]),
    "song": ("♪ Row your boat\ngently ♪", ["Row your boat", "gently"]),
    "song line by line": ("♪ Row your boat ♪\n♪ gently ♪", ["Row your boat", "gently"]),
    "sound": ("[door slams]", ["door slams"]),
    "sound in two lines": ("[door slams\nloudly]", ["door slams loudly"]),
    "sound and speech": ("(music)\nWhat was\nthat?", ["music", "What was that?"]),
    "speech and sound": ("What\nwas that?\n[gunshot]", ["What was that?", "gunshot"]),
    "speaker and sound": ("- <i>[gasps]</i>\n- What?", ["gasps", "What?"]),
    "two brackets": ("[gasps] Oh [sighs]", ["[gasps] Oh [sighs]"]),
    "one bracket": ("(gasps) Oh.", ["(gasps) Oh."]),
    "two tags": ("<i>One</i> and <i>two</i>", ["One and two"]),
}


@pytest.mark.parametrize(("text", "expected"), GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("find", [srt_segments, vtt_segments])
def test_lines_of_a_cue(find: Find, text: str, expected: list[str]) -> None:
    """Lines of a dialogue, of a song, and sounds are texts of their own; other lines are one text."""
    source = (srt_of if find is srt_segments else vtt_of)(text)
    assert texts(find, source) == [*expected, "The end."]
    assert texts(find, replaced(find, source, mark)) == [*map(mark, expected), "TheЖ endЖ."]


def test_tags() -> None:
    """Tags within a text are tags with their spelling and their partners; those around it are outside."""
    segment = srt_segments(srt_of("<b>A {\\i1}b{\\i0} <i>c</i> </u>d <font face=x>e</b>"), Options())[0]
    tags = [item for item in segment.content if isinstance(item, Tag)]
    assert [(t.source, t.kind, t.pair) for t in tags] == [
        ("{\\i1}", "open", 1), ("{\\i0}", "close", 1), ("<i>", "open", 2), ("</i>", "close", 2), ("</u>", "empty", 0),
        ("<font face=x>", "empty", 0),
    ]  # fmt: skip


words_of_tags = st.lists(
    st.sampled_from(["<i>", "</i>", "<b>", "</b>", "one", "two", "three-four", " ", " ", "\n", "♪", "- ", "[", "]"]),
    max_size=25,
).map("".join)


@given(words_of_tags, words_of_tags)
@pytest.mark.parametrize("find", [srt_segments, vtt_segments])
def test_every_tag_once(find: Find, first: str, second: str) -> None:
    """Every tag is written once and in its place, whatever the lines."""
    cues = [re.sub(r"\n\s*", "\n", cue).strip() or "x" for cue in (first, second)]
    source = "WEBVTT\n\n" + "\n\n".join(f"{i}\n00:{TIME[3:]}\n{cue}" for i, cue in enumerate(cues, start=1)) + "\n"
    segments = find(source, Options())
    result = replace_segments(source, [(s, s.write(changed(s, str.upper))) for s in segments])
    shown = [re.sub(r"\s+|<.*?>", "", line.upper()) for line in cues]
    bodies = [block.split("\n", 2)[2] for block in result.strip().split("\n\n")[1:]]
    assert [re.sub(r"\s+|<.*?>", "", body) for body in bodies] == shown
    assert re.findall("<.*?>", result) == re.findall("<.*?>", source)
    for body, cue in zip(bodies, cues, strict=True):
        assert body.count("\n") <= cue.count("\n")


NASTY = st.text(
    st.sampled_from("a <>&{}\\N-–:,;.0123456789/ibv[]()♪\n\r\t\x0b\x85\u2028\xa0\u200e世界「、") | st.characters()
)


@given(NASTY, st.sampled_from(["\n", "\r\n"]))
@example("a\n\n2\n00:00:01,000 --> 00:00:02,000\nb", "\n")
@example("00:00:01,000 -- > 00:00:02,000", "\n")
@example("00:00:01,000 ---> 00:00:02,000", "\n")
@example("", "\n")
def test_any_text_in_srt(text: str, ending: str) -> None:
    """No text makes a blank line, a time line, or a tag, nor loses a word."""
    source = srt_of("One two\nthree").replace("\n", ending)
    result = replaced_once(srt_segments, source, text)
    segments = srt_segments(result, Options())
    assert segments[-1].text == "The end."
    assert [i for line in result.splitlines() if (i := line.find("-->")) >= 0] == [13, 13]
    assert not any(isinstance(item, Tag) for segment in segments for item in segment.content)
    cue = result.split(ending * 2)[0].split(ending)
    assert result.count(ending) in (source.count(ending), source.count(ending) - 1)
    assert all(cue)
    assert comparable(" ".join(cue[2:])) == comparable(text)
    assert [c[:4] for c in read_srt(result)] == [c[:4] for c in read_srt(source)]


def replaced_once(find: Find, source: str, text: str) -> str:
    segment = find(source, Options())[0]
    return replace_segments(source, [(segment, segment.write([Text(text)]))])


def comparable(text: str) -> str:
    """Return text without white space and without arrows."""
    return re.sub(r"[\s\x00-\x20\x7f]|-+(?=>)", "", re.sub(r"[\s\x00-\x20\x7f]", "", text))


@given(NASTY, st.sampled_from(["\n", "\r\n", "\r"]))
@example("a\n\n00:01.000 --> 00:02.000\nb", "\n")
@example("<i>&amp;</i> --> &", "\r")
@example("", "\n")
def test_any_text_in_vtt(text: str, ending: str) -> None:
    """Any text comes back as it was but for white space."""
    source = vtt_of("One two\nthree").replace("\n", ending)
    result = replaced_once(vtt_segments, source, text)
    cue, end = webvtt.from_string(result).captions
    assert end.raw_text == "The end."
    assert not re.search("<|&(?!amp;|lt;|gt;|nbsp;|lrm;|rlm;)|-->", cue.raw_text)
    bare = re.compile(r"[\s\x00-\x20\x7f]")
    assert bare.sub("", html.unescape(cue.raw_text)) == bare.sub("", text)
    assert cue.raw_text.count("\n") <= 1


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=9), st.integers(1, 4))
def test_shortest_longest_line(words: list[str], n_lines: int) -> None:
    """The longest line is as short as brute force can make it, with up to as many lines as in the source."""
    source = srt_of("\n".join(["One"] * n_lines) + ("\nx" * (n_lines == 1)))
    n_lines = max(n_lines, 2)
    lines = first_written(srt_segments, source, " ".join(words)).split("\n")
    assert " ".join(lines).split() == words
    assert len(lines) <= n_lines
    best = min(
        max(len(" ".join(words[i:j])) for i, j in itertools.pairwise([0, *cuts, len(words)]))
        for cuts in itertools.combinations_with_replacement(range(len(words) + 1), n_lines - 1)
    )
    assert max(map(len, lines)) == best


def test_wrapping() -> None:
    """A line may grow to 42 characters or by 30 per cent; tags and accents have no width; Chinese has no spaces."""
    assert first_written(srt_segments, srt_of("Hi."), "a" * 20 + " " + "b" * 21) == "a" * 20 + " " + "b" * 21
    assert first_written(srt_segments, srt_of("Hi."), "a" * 20 + " " + "b" * 22) == "a" * 20 + "\n" + "b" * 22
    assert "\n" not in first_written(srt_segments, srt_of("Hello " * 10), "Hallo, " * 10)
    assert "\n" in first_written(srt_segments, srt_of("Hello " * 10), "Hallihallo " * 10)
    assert "\n" not in first_written(srt_segments, srt_of("- Hi.\n- Hello."), "Hallihallo " * 10)
    assert (
        first_written(srt_segments, srt_of("Hi\nyou"), "e\u0301e\u0301e\u0301e\u0301 ee eee")
        == "e\u0301" * 4 + "\nee eee"
    )
    assert first_written(srt_segments, srt_of("Hi\nyou"), "我不知道，你呢？") == "我不知道，\n你呢？"
    segment = vtt_segments(vtt_of("One <c.a-very-long-class>two</c>\nthree four"), Options())[0]
    opening, closing = (item for item in segment.content if isinstance(item, Tag))
    written = segment.write([Text("eins "), opening, Text("zw&i"), closing, Text(" drei vier")])
    assert written == "eins <c.a-very-long-class>zw&amp;i</c>\ndrei vier"


def test_single_line_takes_two_lines_at_most() -> None:
    """A cue of one line never takes three."""
    assert first_written(srt_segments, srt_of("Hi."), " ".join(["aaaaa"] * 90)).count("\n") == 1


def test_tags_with_spaces_around_them() -> None:
    """A tag between spaces stays on the line of the next word, and one at the end on that of the last word."""
    segment = srt_segments(srt_of("One <i> two</i> <b>\nthree four"), Options())[0]
    opening, closing, bold = (item for item in segment.content if isinstance(item, Tag))
    content: list[Content] = [Text("aaaa "), opening, Text(" bbbb"), closing, Text(" cccc "), bold]
    assert segment.write(content) == "aaaa <i> bbbb</i>\ncccc <b>"


@pytest.mark.parametrize("text", ["<i>a", "</i> a", "<font x>a", "{\\an8}a", "{y:i}a", "a\\Nb", "<br>a", "a<"])
def test_text_that_looks_like_markup(text: str) -> None:
    """SRT has no escapes, so a space keeps text from being a tag."""
    segment = srt_segments(srt_of("One <i>two</i> three"), Options())[0]
    tags = [item for item in segment.content if isinstance(item, Tag)]
    result = segment.write([Text(text), tags[0], Text("i>x"), tags[1], Text(text), Text(" y")])
    found = srt_segments(srt_of(result), Options())[0].content
    assert [item.source for item in found if isinstance(item, Tag)] == ["<i>", "</i>"]
    assert "\n" not in result
    assert "".join(result.split()) == "".join(f"{text}<i>i>x</i>{text} y".split())


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\xa0"])
def test_empty_translation(text: str) -> None:
    """An empty translation leaves a line that is not empty, so the cue's other lines stay in the cue."""
    assert first_written(srt_segments, srt_of("- One\n- Two"), text) == "\xa0"
    source = vtt_of("One").replace("- ", "")
    assert replaced_once(vtt_segments, source, text) == source.replace("One", "&nbsp;")


def test_places() -> None:
    """A place is the line of the text's first word."""
    source = "\r\n".join(["1", TIME, "", "- Hi!", "- Hello", "there.", "", "2", TIME, "<i>", "End</i>"])
    assert [segment.place for segment in srt_segments(source, Options())] == ["line 4", "line 5", "line 11"]
    assert [s.place for s in vtt_segments(VTT, Options())] == [f"line {n}" for n in (19, 23, 24, 30, 31, 33)]


@pytest.mark.parametrize("source", ["", "\ufeff", "Hello", "1\n\nHello", "A --> B", "WEBVTT\n\nNOTE x"])
def test_no_cue(source: str) -> None:
    """SRT without a time line is no SRT."""
    with pytest.raises(UserError, match=r"no subtitle.*00:00:01,000 --> 00:00:02,500"):
        srt_segments(source, Options())


@pytest.mark.parametrize("source", ["", "webvtt", "WEBVTTX", "\n" + VTT, " " + VTT, srt_of("Hello")])
def test_no_vtt(source: str) -> None:
    """WebVTT has its name in the first line."""
    with pytest.raises(UserError, match=r"line 1 .* must be `WEBVTT`"):
        vtt_segments(source, Options())


@given(st.text(st.sampled_from("a1 \n\r\t<>/i{}\\&;-:,.♪[](0")) | st.text(), st.sampled_from([srt_of, vtt_of]))
def test_any_cue(text: str, document: Callable[[str], str]) -> None:
    """No input makes a traceback, and untouched texts are written as they were."""
    source = document(text)
    segments = (srt_segments if document is srt_of else vtt_segments)(source, Options())
    assert replace_segments(source, [(s, s.write(s.content)) for s in segments]) == source
    for segment in segments:
        assert segment.text == segment.text.strip()


N, FEW = 300_000, 4_000  # repetitions within a token, and of tokens
HOSTILE = {
    "digits": "1" * N + ">", "spaces": " " * N + ">", "dashes": "-" * N + "x>", "times": "1:" * N + "-->",
    "indices": "0 " * FEW + "\n" + TIME, "smaller": "<" * FEW, "unclosed": "<i " * FEW, "open brace": "{\\" * FEW,
    "colons": ":" * N, "letters": "a" * N + ":", "blank": "\n" * FEW, "capital": "A" * N + ": a",
    "opened": "<i>" * FEW, "closed": "</i>" * FEW, "nested": "<i>" * FEW + "a" + "</i>" * FEW,
    "brackets": "(" * FEW + "a" + ")" * FEW, "bracket pairs": "()" * FEW, "entities": "&" * FEW, "names": "&a" * FEW,
    "dialogue": "- a.\n" * FEW, "song": "♪ a\n" * FEW, "numbers": "1\n" * FEW, "returns": "a\r" * FEW,
    "words": "a " * FEW, "lines": "a\n" * FEW, "cjk": "界" * FEW, "arrows": "0 --> " * FEW,
    "cues": f"a\n\n1\n{TIME}\n" * FEW,
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("find", [srt_segments, vtt_segments])
def test_hostile_input(find: Find, text: str) -> None:
    """Long input takes linear time. With quadratic time this test would not end."""
    source = (srt_of if find is srt_segments else vtt_of)(text)
    segments = find(source, Options())
    assert segments
    assert segments[0].write([Text(text)])


def real_files(*suffixes: str) -> list[Path]:
    roots = {
        Path(root) for root in (*sys.path, "/usr/share", "/usr/lib") if root.endswith(("packages", "/share", "/lib"))
    }
    found = (path for root in sorted(roots) for suffix in suffixes for path in root.rglob(f"*{suffix}"))
    return [path for path in found if path.is_file() and path.stat().st_size < 200_000]


def test_real_files() -> None:
    """Subtitles that other programs ship have the same cues before and after."""
    n_cues = 0
    for path in real_files(".srt", ".vtt"):
        find, read = (srt_segments, read_srt) if path.suffix == ".srt" else (vtt_segments, read_vtt)
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                source = file.read()
        except UnicodeDecodeError:
            continue
        before, after = read(source), read(replaced(find, source, str.swapcase))
        assert [str(cue).casefold() for cue in before] == [str(cue).casefold() for cue in after]
        n_cues += len(before)
    if not n_cues:
        pytest.skip("no package on this machine ships subtitles in UTF-8")
