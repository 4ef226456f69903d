"""The parser of Markdown: markdown-it-py, with offsets and with rules for extensions.

The library gives no offsets inside a paragraph, so the subclasses here record them. Two of its rules are replaced
because they take quadratic time for some texts.
"""

from __future__ import annotations

import re
from collections import ChainMap
from typing import Any, Literal

from markdown_it import MarkdownIt
from markdown_it.common.entities import entities
from markdown_it.common.html_re import close_tag, open_tag
from markdown_it.parser_block import ParserBlock
from markdown_it.parser_inline import ParserInline
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from dragoman.runtime.errors import UserError

MAX_NESTING = 50  # lists count twice; the parser is recursive

_COPIED_LINE = re.compile(
    r":::.*|\{%.*%\}|\{\{.*\}\}|\{[:#.][^{}]*\}|\[\[?_?TOC_?\]?\]|\[![A-Za-z]+\][-+]?", re.IGNORECASE
)
_ADMONITION = re.compile(r"(?:!!!|\?\?\?\+?) *\w|===[+!]* [\"']")
_CONTAINER = re.compile(r"\[\^[^\]\s]+\]:|\[![A-Za-z]+\][-+]?(?= )|:(?=[ \t])")
_MODULE = re.compile(
    r"import\s+(?:['\"{*]|\w+(?:\s*,\s*\{[^}]*\})?\s+from\s+['\"])"
    r"|export\s+(?:(?:default|const|let|var|class|async)\s|function\b|[{*])"
)


def _line_text(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _copied_lines(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Take lines that are copied: templates, attributes, fences of containers, math and imports."""
    if state.is_code_block(start):
        return False
    text = _line_text(state, start).rstrip()
    line = start + 1
    if text.startswith("$$"):
        line = _math_end(state, start, end, text)
    elif _MODULE.match(text) and state.level == 0 and state.sCount[start] == 0 and not silent:
        while line < end and not state.isEmpty(line):
            line += 1
    elif not _COPIED_LINE.fullmatch(text):
        return False
    if line and not silent:
        state.line = line
    return line > 0


def _math_end(state: StateBlock, start: int, end: int, text: str) -> int:
    """Return the line after a block of math, or 0 if it is none."""
    if len(text) > 4 and text.endswith("$$"):
        return start + 1
    for line in range(start + 1, end):
        text = _line_text(state, line).rstrip()
        if not text or state.sCount[line] < state.blkIndent:
            return 0
        if text.endswith("$$"):
            return line + 1
        if text.startswith("$$"):  # looking further would take quadratic time
            return 0
    return 0


def _containers(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Take a footnote, a definition, a callout or an admonition, whose further lines are indented by four spaces."""
    if state.is_code_block(start):
        return False
    begin = state.bMarks[start] + state.tShift[start]
    header = _ADMONITION.match(state.src, begin, state.eMarks[start])
    match = header or _CONTAINER.match(state.src, begin, state.eMarks[start])
    if match is None:
        return False
    if silent:
        return True
    saved = state.bMarks[start], state.tShift[start], state.sCount[start], state.lineMax, state.blkIndent
    state.level += 1
    if match[0].startswith("[!"):
        end = state.lineMax = start + 1  # only the title stands beside the mark
    else:
        state.blkIndent += 4
    if header:
        state.line = start + 1
    else:
        state.bMarks[start] = state.skipSpaces(match.end())
        state.tShift[start], state.sCount[start] = 0, state.blkIndent
        state.line = start
    state.md.block.tokenize(state, state.line, end)
    state.line = max(state.line, start + 1)
    state.level -= 1
    state.bMarks[start], state.tShift[start], state.sCount[start], state.lineMax, state.blkIndent = saved
    return True


class _BlockState(StateBlock):
    """The state of the block parser, which notes where the rows of tables begin."""

    def push(self, ttype: str, tag: str, nesting: Literal[-1, 0, 1]) -> Token:
        """Add a token."""
        row = self.tokens[-1] if self.tokens else None
        if row is not None and row.type == "tr_open" and row.map:
            line = row.map[0]
            begin = self.bMarks[line] + self.tShift[line]
            row.meta["column"] = begin - (self.src.rfind("\n", 0, begin) + 1)
        return super().push(ttype, tag, nesting)


class _BlockParser(ParserBlock):
    """A block parser that rejects deep nesting. The original would silently skip the rest of the document."""

    def tokenize(self, state: StateBlock, startLine: int, endLine: int) -> None:
        """Parse lines."""
        if state.level >= MAX_NESTING:
            place = f"line {startLine + 1:,}"
            raise UserError(f"{place}: lists and quotes nest more than {MAX_NESTING} levels deep; use fewer levels")
        super().tokenize(state, startLine, endLine)


# Constructs that no parser needs to understand: templates, attributes, math, references to footnotes, and emoji. No
# alternative looks past the next construct of its kind, so that a row of unfinished ones takes linear time.
_COPIED = re.compile(
    r"""\{\{(?:[^{}]|\{[^{}]*\})*\}\}
    |\{%(?:[^%{]|%(?!\})|\{(?!%))*%\}
    |\{[:#.][^{}]*\}
    |\{/\*[^{}]*\*/\}
    |\$\$(?:[^$\\]|\\.)+\$\$
    |(?<!\w)\$(?=[^\s$])(?:[^$\\]|\\.)*(?<=\S)\$(?![\w$])
    |(?<![\w:]):(?:[a-z][a-z0-9_+-]*|[+-]1):(?![\w:])
    |\[\^[^\[\]\s]+\]""",
    re.VERBOSE | re.DOTALL,
)
ATTRIBUTES = re.compile(r"\{[:#.]")
_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])(?:https?|ftp)$", re.IGNORECASE)
_URL = re.compile(r"://[^\s<>\[\]{}`*|\\\"\u3000-\u303f\uff00-\uffef]+")


def _copied(state: StateInline, silent: bool) -> bool:
    """Take a construct that is copied."""
    pos = state.pos
    if state.src[pos] not in "{$:[":
        return False
    if state.src.startswith("://", pos):
        return _url(state, silent)
    match = _COPIED.match(state.src, pos, state.posMax)
    if match is None:
        return False
    if not silent:
        token = state.push("footnote" if match[0].startswith("[") else "copied", "", 0)
        token.content = match[0]
    state.pos = match.end()
    return True


def _url(state: StateInline, silent: bool) -> bool:
    """Take a bare URL. Its scheme was already read as text."""
    pos = state.pos
    scheme = _SCHEME.search(state.src[max(pos - 8, 0) : pos])
    match = _URL.match(state.src, pos, state.posMax)
    if scheme is None or match is None or not (silent or state.pending.endswith(scheme[0])):
        return False
    rest = match[0]
    surplus = rest.count(")") - rest.count("(")
    end = len(rest)
    while end > 3 and (rest[end - 1] in "?!.,:;_~'" or (rest[end - 1] == ")" and surplus > 0)):
        surplus -= rest[end - 1] == ")"
        end -= 1
    if end <= 3:
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme[0])]
        token = state.push("copied", "", 0)
        token.content = scheme[0] + rest[:end]
    state.pos = pos + end
    return True


_ENTITY = re.compile(r"&(?:#(?:[xX][0-9A-Fa-f]{1,6}|[0-9]{1,7})|[A-Za-z][A-Za-z0-9]{1,31});")
_HTML_TAG = re.compile(
    f"{open_tag}|{close_tag}"
    # JSX: attributes with expressions, and names with dots
    r"|<[A-Za-z][\w.:-]*(?:\s+(?:[A-Za-z_][\w:.-]*(?:=(?:\"[^\"]*\"|'[^']*'|\{[^{}]*\}))?|\{[^{}]*\}))*\s*/?>"
)
_HTML_ENDS = {"<!--": "-->", "<?": "?>", "<![CDATA[": "]]>", "<!": ">"}


def _html_inline(state: StateInline, silent: bool) -> bool:
    """Take an HTML tag or comment. The library's rule copies the rest of the text for each `<`."""
    pos = state.pos
    if state.src[pos] != "<":
        return False
    end = 0
    if match := _HTML_TAG.match(state.src, pos, state.posMax):
        end = match.end()
    elif state.src.startswith(("<!-->", "<!--->"), pos):
        end = state.src.index(">", pos) + 1
    else:
        for opening, closing in _HTML_ENDS.items():
            if state.src.startswith(opening, pos) and (opening != "<!" or state.src[pos + 2 : pos + 3].isalpha()):
                end = _find(state, closing, pos + len(opening))
                break
    if not 0 < end <= state.posMax:
        return False
    if not silent:
        token = state.push("html_inline", "", 0)
        token.content = state.src[pos:end]
    state.pos = end
    return True


def _find(state: StateInline, closing: str, start: int) -> int:
    """Return the offset after the next closing mark, or 0. It remembers from where a mark does not follow any more."""
    assert isinstance(state, _InlineState)
    if start >= state.exhausted.get(closing, len(state.src)):
        return 0
    found = state.src.find(closing, start)
    if found < 0:
        state.exhausted[closing] = start
        return 0
    return found + len(closing)


def _entity(state: StateInline, silent: bool) -> bool:
    """Take a character reference. The library's rule copies the rest of the text for each `&`."""
    if state.src[state.pos] != "&":
        return False
    match = _ENTITY.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    name = match[0][1:-1]
    if name.startswith("#"):
        code = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
        valid = 0 < code < 0xD800 or 0xDFFF < code < 0x110000
        text = chr(code) if valid else "\ufffd"
    elif name in entities:
        text = entities[name]
    else:
        return False
    if not silent:
        state.push("text_special", "", 0).content = text
    state.pos = match.end()
    return True


class _InlineState(StateInline):
    """The state of the inline parser, which notes where the labels of links end."""

    def __init__(self, src: str, md: MarkdownIt, env: Any, out: list[Token]) -> None:  # noqa: ANN401  # the library's type
        super().__init__(src, md, env, out)
        self.exhausted: dict[str, int] = {}

    def push(self, ttype: str, tag: str, nesting: Literal[-1, 0, 1]) -> Token:
        """Add a token."""
        token = super().push(ttype, tag, nesting)
        if ttype == "link_close":
            token.meta["label_end"] = self.posMax
        return token


class _InlineParser(ParserInline):
    """An inline parser that notes the span of each token in the text."""

    def parse(self, src: str, md: MarkdownIt, env: Any, tokens: list[Token]) -> list[Token]:  # noqa: ANN401  # as above
        """Parse a text and add its tokens to a list."""
        state = _InlineState(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens

    def tokenize(self, state: StateInline) -> None:
        """Parse the text up to the end that the state names."""
        rules = self.ruler.getRules("")
        end = state.posMax
        while state.pos < end:
            start, n_tokens = state.pos, len(state.tokens)
            if state.level < MAX_NESTING:
                for rule in rules:
                    if rule(state, False):
                        break
                else:
                    state.pending += state.src[start]
                    state.pos += 1
            else:
                state.pending += state.src[start]
                state.pos += 1
            for token in state.tokens[n_tokens:]:
                token.meta.setdefault("span", (start, state.pos))
        if state.pending:
            state.pushPending()


class Parser(MarkdownIt):
    """The parser of one document, with its reference definitions."""

    def __init__(self) -> None:
        super().__init__("commonmark")
        self.inline = _InlineParser()
        self.block = _BlockParser()
        self.configure("commonmark", {"maxNesting": MAX_NESTING, "tasklists": True})
        self.enable(["table", "strikethrough"])
        self.inline.ruler.at("html_inline", _html_inline)
        self.inline.ruler.at("entity", _entity)
        self.inline.ruler.after("text", "copied", _copied)
        alt: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
        self.block.ruler.before("table", "copied_lines", _copied_lines, alt)
        self.block.ruler.before("table", "containers", _containers, alt)
        self.references: dict[str, Any] = {}

    def normalizeLink(self, url: str) -> str:
        """Return a URL as it is."""
        return url

    def normalizeLinkText(self, link: str) -> str:
        """Return the text of an automatic link as it is."""
        return link

    def validateLink(self, url: str) -> bool:
        """Return True: CommonMark allows every URL."""
        return True

    def parse_blocks(self, text: str) -> list[Token]:
        """Return the block tokens of the document, and remember its reference definitions."""
        env: dict[str, Any] = {"references": {}}
        state = _BlockState(text, self, env, [])
        self.block.tokenize(state, 0, state.lineMax)
        self.references = env["references"]
        return state.tokens

    def parse_inline(self, text: str) -> list[Token]:
        """Return the inline tokens of a text, with the span of each in `meta`."""
        return self.inline.parse(text, self, {"references": self.references}, [])

    def parse_again(self, text: str) -> list[Token]:
        """Return the block tokens of a text that may use the reference definitions of the document."""
        state = _BlockState(text, self, {"references": ChainMap({}, self.references)}, [])
        self.block.tokenize(state, 0, state.lineMax)
        return state.tokens
