"""Tests of the events of XML. The oracle is xml.etree, which reads the same documents."""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.runtime.documents.segments import Tag, Text, line_finder, pair_tags
from dragoman.runtime.documents.xml_events import (
    MAX_DEPTH,
    MILESTONE,
    escape_attribute,
    escape_xml,
    nest_tags,
    pair_nested,
    parse_xml,
    set_attribute,
    unescape_xml,
)
from dragoman.runtime.errors import UserError

TEXTS = st.text(alphabet="a<>&\"' é€\U0001f600]-\t")
NAMES = st.sampled_from(["a", "é", "b-c", "p:d"])
ATTRIBUTES = st.dictionaries(st.sampled_from(["x", "y", "p:z"]), TEXTS, max_size=2)


def element(name: str, attributes: dict[str, str], parts: list[str]) -> str:
    values = "".join(
        f" {key}='{escape_attribute(value).replace(chr(39), '&#39;')}'" for key, value in attributes.items()
    )
    return f"<{name}{values}>{''.join(parts)}</{name}>" if parts else f"<{name}{values}/>"


PARTS = st.recursive(
    st.one_of(
        TEXTS.map(escape_xml),
        TEXTS.filter(lambda text: "]]>" not in text).map(lambda text: f"<![CDATA[{text}]]>"),
        st.sampled_from(["<!-- é > < -->", "<?é x > < ?>", "\r\n", "\r", "&#x20AC;", "&#00065;", "&apos;"]),
    ),
    lambda inner: st.builds(element, NAMES, ATTRIBUTES, st.lists(inner, max_size=4)),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PARTS, max_size=5), st.sampled_from(["", "\ufeff", "<?xml version='1.0'?>\n<!-- é --><!DOCTYPE r>\n"]))
def test_events_cover_the_document_and_agree_with_etree(parts: list[str], head: str) -> None:
    root = f"<r xmlns:p='urn:p' xmlns='urn:é'>{''.join(parts)}</r>"
    source = f"{head}{root}\n<!-- end -->"
    events = parse_xml(source)
    assert "".join(source[event.start : event.end] for event in events) == root
    assert all(before.end == after.start for before, after in pairwise(events))

    def reading() -> list[object]:
        found: list[Any] = []
        for event in events:
            spelling = source[event.start : event.end]
            if event.kind == "start":
                found.append((event.namespace, event.name))
                assert events[event.close].kind == "end"
                assert events[event.close].name == event.name
            elif event.kind == "end":
                found.append("end")
            elif event.kind == "text" and (text := unescape_xml(spelling)):
                found.append(found.pop() + text if found and isinstance(found[-1], Joined) else Joined(text))
        return found

    def expected(item: ElementTree.Element) -> list[object]:
        namespace, name = re.fullmatch(r"\{(.*)\}(.*)", item.tag).groups()  # type: ignore[union-attr]  # all have one
        found: list[object] = [(namespace, name), *([Joined(item.text)] if item.text else [])]
        for inner in item:
            found += [*expected(inner), *([Joined(inner.tail)] if inner.tail else [])]
        return [*found, "end"]

    assert reading() == expected(ElementTree.fromstring(source.removeprefix("\ufeff")))


class Joined(str):
    """Text. Comments and instructions do not divide it."""

    __slots__ = ()

    def __add__(self, other: str) -> Joined:
        """Return joined text."""
        return Joined(str(self) + other)


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_escaped_text_is_read_as_it_was(text: str) -> None:
    allowed = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
    spelling = escape_xml(allowed)
    assert ElementTree.fromstring(f"<a>{spelling}</a>").text == (allowed or None)
    assert unescape_xml(spelling) == allowed
    assert ElementTree.fromstring(f'<a b="{escape_attribute(allowed)}"/>').get("b") == allowed


def test_bytes_that_are_no_text_stay_and_other_surrogates_do_not() -> None:
    assert escape_xml("a\udc80\udcff\ud800\udfff\x00") == "a\udc80\udcff\ufffd\ufffd\ufffd"
    source = "<a>é\udc80<b/>\udcff</a>"
    assert [source[event.start : event.end] for event in parse_xml(source)] == [
        "<a>", "é\udc80", "<b/>", "", "\udcff", "</a>",
    ]  # fmt: skip  # one document


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "line 1, column 1: broken XML (no element found); correct it, or save the document again"),
        ("<a>\né<b></a>", "line 2, column 7: broken XML (mismatched tag)"),
        ("<a/><b/>", "broken XML (junk after document element)"),
        ("<a>\x00</a>", "broken XML"),
        ("<a>&#0;</a>", "broken XML"),
        ("<a>]]></a>", "broken XML"),
        ("<a b='1' b='2'/>", "broken XML (duplicate attribute)"),
        ("<a>&nbsp;</a>", "broken XML (undefined entity)"),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a>&nbsp;</a>", "the entity nbsp is not declared"),
        ("<!DOCTYPE a [\n<!ENTITY b 'c'>]><a/>", "line 2, column 12: the document declares the entity b"),
        ("<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "declares the entity b"),
        ("<!DOCTYPE a [<!ENTITY % b SYSTEM 'http://127.0.0.1/'> %b;]><a/>", "declares the entity b"),
        ("<!DOCTYPE a [<!ATTLIST a b CDATA 'c'>]><a/>", "declares attributes of a"),
        ("<p:a/>", "the namespace prefix of p:a is not declared; declare it with xmlns:p"),
        ("<a><b xmlns:p='urn:p'/><p:c/></a>", "the namespace prefix of p:c is not declared"),
        ("<a>" * 3000, f"elements are nested more than {MAX_DEPTH:,} deep"),
    ],
)
def test_refused_documents(source: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        parse_xml(source)


def test_predefined_entities_may_be_declared() -> None:
    assert len(parse_xml("<!DOCTYPE a [<!ENTITY lt '&#38;#60;'><!-- x --><?y?>]><a/>")) == 2
    assert len(parse_xml("<!DOCTYPE a PUBLIC '-//X' 'http://127.0.0.1/x.dtd'><a/>")) == 2


def test_namespaces_end_with_their_element() -> None:
    events = parse_xml("<a xmlns='1'><b xmlns='2' xmlns:p='3'><p:c/></b><b xmlns=''/><d xml:space='x'/></a>")
    assert [(event.name, event.namespace) for event in events if event.kind == "start"] == [
        ("a", "1"), ("b", "2"), ("c", "3"), ("b", ""), ("d", "1"),
    ]  # fmt: skip  # one document


def test_any_number_of_digits_in_a_reference() -> None:
    source = f"<a>&#{'0' * 10_000}65;&#x{'0' * 10_000}42;</a>"
    assert unescape_xml(source[parse_xml(source)[1].start : -4]) == "AB"


def test_lines() -> None:
    assert [line_finder("a\nb\r\n\nc")(offset) for offset in range(7)] == [1, 1, 2, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("tag", "name", "value", "expected"),
    [
        ("<a>", "b", "c", '<a b="c">'),
        ("<a/>", "b", '"<&\n', '<a b="&quot;&lt;&amp;&#10;"/>'),
        ("<a  />", "b", "c", '<a b="c"  />'),
        ("<a x='1' b = '2' y='3'>", "b", "c", "<a x='1' b=\"c\" y='3'>"),
        ("<a x=' b=\"2\"'>", "b", "c", '<a x=\' b="2"\' b="c">'),
        ("<a\n\tb='1' c='>'/>", "b", None, "<a c='>'/>"),
        ("<a c='1' >", "b", None, "<a c='1' >"),
        ("<a bb='1'>", "b", "c", "<a bb='1' b=\"c\">"),
    ],
)
def test_set_attribute(tag: str, name: str, value: str | None, expected: str) -> None:
    changed = set_attribute(tag, name, value)
    assert "".join(changed.split()) == "".join(expected.split())
    closed = changed if changed.endswith("/>") else changed[:-1] + "/>"
    assert ElementTree.fromstring(closed).get(name) == value


@given(st.integers(0, 6), st.randoms(use_true_random=False))
def test_nested_tags_are_well_formed_and_complete(n_pairs: int, random: Random) -> None:
    tags = [Tag(f"<{sign}e{i}>", "close" if sign else "open", f"e{i}") for i in range(n_pairs) for sign in ("", "/")]
    items = [*pair_tags(tags), Text("t"), Tag("<x/>", "empty")]
    random.shuffle(items)
    nested = nest_tags(items)
    assert sorted(map(repr, nested)) == sorted(map(repr, items))
    source = "".join(item.text if isinstance(item, Text) else item.source for item in nested)
    ElementTree.fromstring(f"<r>{source}</r>")


def test_milestones_do_not_cross_elements() -> None:
    def tag(kind: str, name: str) -> Tag:
        return Tag(f"{kind} {name}", "open" if kind == "open" else "close", name)

    crossing = [tag("open", MILESTONE + "1"), tag("open", "a"), tag("close", MILESTONE + "1"), tag("close", "a")]
    assert [item.kind for item in pair_nested(crossing) if isinstance(item, Tag)] == ["empty", "open", "empty", "close"]
    inside = [tag("open", "a"), tag("open", MILESTONE + "1"), tag("close", "a"), tag("close", MILESTONE + "1")]
    assert [item.kind for item in pair_nested(inside) if isinstance(item, Tag)] == ["open", "empty", "close", "empty"]
    nested = [tag("open", MILESTONE + "1"), tag("open", "a"), tag("close", "a"), tag("close", MILESTONE + "1")]
    assert [item.kind for item in pair_nested(nested) if isinstance(item, Tag)] == ["open", "open", "close", "close"]


def test_adjacent_texts_are_joined_unless_one_is_copied() -> None:
    content = pair_nested([Text("a"), Text("b"), Text("c", "C"), Text("d", "D"), Tag("<x/>", "empty"), Text("e")])
    assert content == (Text("ab"), Text("cd", "CD"), Tag("<x/>", "empty"), Text("e"))
