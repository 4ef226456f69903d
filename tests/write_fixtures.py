"""Write the fixtures that hosts in every language test against, in runtime/fixtures. Run it by `make fixtures`."""

from __future__ import annotations

import base64
import json
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dragoman.runtime import contract
from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.labelling import Classification, Classifier, Tagged, Tagger
from dragoman.runtime.normalisation import VERSION, normalise
from dragoman.runtime.protection import PLACEHOLDERS, emoji_spellings, hide, lost_spans, protected_spans, respell
from dragoman.runtime.restoration import restored
from dragoman.runtime.segmentation import count_sentences, split_text
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translation import Translation
from dragoman.runtime.translator import Translator
from dragoman.translate.config import TokenizerConfig
from dragoman.translate.encoding.subwords import train_tokenizer
from nasty import nasty_lines, nasty_strings

FIXTURES = Path(__file__).parents[1] / "runtime" / "fixtures"

Case = dict[str, Any]


def fixture(name: str) -> Any:  # noqa: ANN401 (JSON)
    """Return the content of a fixture."""
    return json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))


# What `split_text` counts in a fixture, in place of a model's ids.
UNITS: dict[str, Callable[[str], int]] = {"characters": len, "words": lambda text: len(text.split(" "))}

TEXTS = [
    *(
        "",
        " ",
        "a",
        " a  b ",
        "one\ttwo\r\nthree",
        "\u2028a\u2029b\x85c",
        "A\u030a \u1112\u1161\u11ab",
        "\u2581a\u2581",
    ),
    *("\x00a\x07b\x1fc\x7fd\x9fe", "\ud800a\udc00", "\ufffda", "x\u2126y\u212bz\u037e"),
    "Friday,\u00a0November\u00a010,\u00a02023",
    "\u00ab\u202fNon.\u202f\u00bb Il\u2009part\u2007\u3000\u1680!",
    *(
        "\ufeffone",
        "6\u200b3\u200c1\u200d",
        "\u200eone\u200f two\u202a\u202e\u2066\u2069",
        "co\u00adop\u2060era\u034ftion",
    ),
    *("\u200b\u200e\u00ad", "\u200d", "\u3164", "\ufe0f\ufeff", "\u00a0\u2003", "\u2800"),
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u06a9\u062a\u0627\u0628\u200c \u06f1\u200c\u06f2",  # Persian
    "\u0647\u200d \u200d\u0647 \u0647\u200c",
    "\u0915\u094d\u200d\u0937 \u0915\u094d\u200c\u0937 \u0915\u094d\u200c",  # Devanagari
    "\u09b0\u200d\u09cd\u09af \u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Bengali, Sinhala
    "Auf\u200clage a\u200db \u05d0\u200d\u05d1",
    "\u2764\ufe0f\u200d\U0001f525 \U0001f469\U0001f3fd\u200d\U0001f680 \U0001f642\u200d\u2194\ufe0f 1\ufe0f\u20e3",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f \U0001f3f4\U000e0067 a\U000e0061",
    "\u1820\u180b\u180e a\u180e \u180b",  # Mongolian
    "a\u0301\u200d\u094d\u200d b\u200c\u200d\u200cc \u0645\u200c\u200c\u06cc",
    "\U000e0100\u845b\U000e0100 \ufff9a\ufffab\ufffb \ufffc",
]

# Characters that the rules single out, and their neighbours; random strings of them complete the fixture.
POOL = [
    *" \t\x0b\x1f\x7f\x85\xa0\xad_aAe5.",
    *"\u0301\u030a\u0323\u034f\u061c\u0627\u0645\u064e\u0653\u0661\u0915\u093c\u094d\u09be\u09c7\u0e01\u1100\u1160\u1161",
    *"\u1680\u17b4\u180b\u180e\u1820\u2007\u200b\u200c\u200d\u200c\u200d\u200e\u2028\u202f\u2060\u2194\u2581\u2764\u3000",
    *"\u3164\u4e00\ufe0f\ufeff\uffa0\ufffc\U0001f3f4\U0001f3fd\U0001f469\U000e0067\U000e007f",
]


def normalisation_cases() -> Iterator[Case]:
    """Yield texts with their normalised form under every version of the rules."""
    draw = random.Random(1)
    random_texts = ["".join(draw.choice(POOL) for _ in range(draw.randint(1, 9))) for _ in range(1000)]
    for text in (*TEXTS, *random_texts):
        yield {"text": text, **{str(version): normalise(text, version) for version in range(1, VERSION + 1)}}


# Parts of random texts to split, and text that goes between them.
PIECES = [
    "a", "A", "é", "Ä", "ß", "私", "と", "т", "Ж", "5", "12", "I", "i", "Ⅻ", "ǅ", "𐐀", "𐐨", "𝟏", "🎉", "👩\u200d💻",
    "Dr", "U.S", "z.B", "Nr", "3", "ул", "г", "p.m", "°C", "डॉ", "σελ", "İ", "ΣΑΣ", "e\u0301x", "word", "longerword",
    "...", ". . .", "?!", "…", "。", "」", "？", "，", "»", " »", "« ", "„", "“", "(", ")", "[12]", "†", ";", ":", ", ",
    "—", "؟", "।", "։", "።", "៕", "､", "｡", "っ", "\u2009", "1.", "a. b.",
]  # fmt: skip
JOINTS = ["", "", " ", " ", ". ", ".", "! ", ", ", "; ", ": ", "? "]
LANGUAGES = ["", "en", "de", "fr", "cs", "fi", "ru", "el", "hy", "ja", "zh-TW", "pt_BR", "hin", "xx", "constructor"]

# Text without a place to split it, or with many.
LONG_TEXTS = [
    "x" * 300, "私" * 200, "𐐀" * 200, "🎉" * 129, "🎉a" * 100, "a " * 150, "。" * 60, "。私" * 80, ". " * 90,
    "." * 120, "!» " * 60, "a, " * 90, "、あ" * 90, "𝟏. " * 60, "A. B. " * 30, "Nr. 5. " * 30, "1. Mai " * 30,
    "[1]" * 60, "a.[1] " * 40, '"“(' * 50, "a; b: c — d, " * 15, "x" * 70 + " " + "y" * 70 + ". " + "z" * 70,
]  # fmt: skip


def splitting_cases() -> Iterator[Case]:
    """Yield texts with their slices and their number of sentences, by the limits and the language of each."""
    language = ""
    for line in (FIXTURES / "sentences.txt").read_text("utf-8").splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            language = heading[1]
        elif line and not line.startswith("#"):
            yield _splitting_case(line.replace(" | ", " ").replace("|", ""), language, "characters", 1000, 1)
    draw = random.Random(2)
    for text in LONG_TEXTS:
        for unit in UNITS:
            yield _splitting_case(normalise(text), draw.choice(LANGUAGES), unit, draw.choice([8, 13, 32]), None)
    for _ in range(180):
        pieces = (draw.choice(PIECES) + draw.choice(JOINTS) for _ in range(draw.randint(1, 30)))
        text, unit, limit = normalise("".join(pieces)), draw.choice([*UNITS]), draw.randint(8, 40)
        yield _splitting_case(text, draw.choice(LANGUAGES), unit, limit, draw.choice([None, 1, 2]))


def _splitting_case(text: str, language: str, unit: str, limit: int, max_sentences: int | None) -> Case:
    return {
        "text": text,
        "language": language,
        "unit": unit,
        "limit": limit,
        "max_sentences": max_sentences,
        "slices": split_text(text, UNITS[unit], limit, max_sentences, language),
        "sentences": count_sentences(text, language),
    }


# Spans of each kind, text that is none, and signs that join them.
SPANS = [
    "https://x.example/a?b=1&c=%20d#e", "http://localhost:8080/", "ftp://a.b/ç", "www.example.com/a-b", "file:///a/b",
    "example.org", "*.x-y.com", "пример.example.net/b/c?d=1", "a.b+c@d-e.co.uk", "root@example.org", "é@a.b",
    "{{ user.name }}", "{% if x %}", "${HOME}", "{name}", "{0}", "{}", "{größe:.2f}", "%s", "%1$s", "%(count)d", "%-5d",
    "%.2f", "%lu", "%@", "%PRODUCTNAME", "%APPDATA%", "$HOME", "$user_name", "$x1", "$name$", "$A$1", "$f(x)",
    "<br>", "</b>", '<a href="x">', '<a class="x" href=y/>', "<br />", "<img ...>", "<option selected>",
    "/usr/bin/env", "~/.bashrc", "./run.sh", "../a/b", "C:\\Users\\me", "src/a.py", "ж.html", "a-b.tar.gz", "a\\b.png",
    "1.2.3", "v1.2", "10.0.0.1", "2.0.0-rc1", "١.٢.٣", "@name", "@a_b", "#topic", "#Straße", "#٣a", ":smile:", ":+1_a:",
    "🎉", "👩\u200d💻", "🇩🇪", "❤", "1\u20e3", "👍🏽", "𐐀.txt", "https://𐐨.example/🎉", "$$name", "a.txt.txt", "@𐐀",
]  # fmt: skip
NO_SPANS = [
    "a < b", "50 % of it", "100% sure", "and/or", "1/2 km/h", "10:30:45", "No. 5", "US$ 5", "$5", "a@ b", "#1", "C#",
    "e.g. this", "(a) b", "{a b}", "end.Next", "1,000.5", "#N/A", "#VALUE!", "<name of the file>", "a::b", "one", "two",
]  # fmt: skip
SIGNS = [
    *"ab1é٣ .:/\\@#$%{}<>()-_~=🎉🇩𐐀\u200d,'\"&?!\n",
    "www.", ".com", ".py", "://", "{{", "}}", "%(", "...", "\ue010",
]  # fmt: skip
OTHERS = ["one", "two", "a", ".", "x.y", "name", "e.g. this", "🎉", "https://x", "𐐀", "a b", "é"]


def protection_cases() -> Case:
    """Return texts with their spans, texts with emoji, and translations with restored spans."""
    draw = random.Random(3)
    return {
        "spans": [*_span_cases(draw)],
        "emoji": [*_emoji_cases(draw)],
        "restored": [*_restored_cases(draw)],
    }


def _span_cases(draw: random.Random) -> Iterator[Case]:
    texts = [*SPANS, *NO_SPANS]
    texts += [f"({span}), “{draw.choice(SPANS)}”: {draw.choice(SPANS)}." for span in SPANS]
    texts += [" ".join(draw.choice(SPANS) for _ in range(9))]  # more than there are placeholders
    texts += ["".join(draw.choice([*SIGNS, *SPANS]) for _ in range(draw.randint(1, 12))) for _ in range(200)]
    for text in map(normalise, texts):
        others = draw.sample(OTHERS, draw.choice([0, 0, 1, 3]))
        spans = protected_spans(text, others)
        strings = [text[start:end] for start, end in spans]
        words = [*strings[:1], *strings, "eins", "x"]
        target = "".join(draw.choice(words) + draw.choice([" ", " ", "", "s"]) for _ in range(len(strings) + 1))
        yield {
            "text": text,
            "others": others,
            "spans": strings,
            "hidden": hide(text, spans)[0],
            "target": target,
            "lost": lost_spans(text, spans, target),
        }


def _emoji_cases(draw: random.Random) -> Iterator[Case]:
    pieces = ["❤\ufe0f", "❤", "1\ufe0f\u20e3", "1\u20e3", "🏳\ufe0f\u200d🌈", "☀\ufe0f", "☀", "a\ufe0f", "🎉", " ", "b"]
    for _ in range(40):
        text, translation = ("".join(draw.choice(pieces) for _ in range(draw.randint(1, 6))) for _ in range(2))
        spellings, translation = emoji_spellings(text), normalise(translation)
        respelled = respell(translation, spellings)
        yield {"text": text, "spellings": spellings, "translation": translation, "respelled": respelled}


def _restored_cases(draw: random.Random) -> Iterator[Case]:
    for _ in range(70):
        spans = draw.sample(SPANS, draw.randint(1, 3))
        words = ["one", "(two)", "three,", "«", "»", '"x"', "它"]
        joint = draw.choice([" ", " ", "-"])
        source = normalise(joint.join(draw.choice([*spans, *words]) for _ in range(4)) + spans[0])
        found = protected_spans(source)
        if not found:
            continue
        words = [*spans, "eins", "zwei,", "(x)", '"x"', "Ende.", "-Feld", "它们", "$" + spans[0], spans[0] + ".txt"]
        target = normalise("".join(draw.choice(words) + draw.choice([" ", " ", ""]) for _ in range(draw.randint(0, 5))))
        is_complete = not target or draw.random() < 0.8
        source_subwords = _subwords(draw, source)
        target_subwords = _subwords(draw, target)[: None if is_complete else -1]
        weights = [_weights(draw, len(source_subwords)) for _ in target_subwords]
        attention = AttentionMap((*source_subwords,), (*target_subwords,), np.array(weights, np.float32))
        text, repaired = restored(source, found, target, attention)
        yield {
            "source": source,
            "target": target,
            "source_subwords": source_subwords,
            "target_subwords": target_subwords,
            "weights": weights,
            "text": text,
            "restored_subwords": repaired.target_subwords,
            "restored_weights": repaired.weights.tolist(),
        }


def _subwords(draw: random.Random, text: str) -> list[str]:
    """Return random subwords of a text, some characters as bytes, closed by `</s>`."""
    subwords = []
    for word in text.split():
        start = 0
        while start < len(word):
            piece = word[start : start + draw.choice([1, 5, 8])]
            if len(piece) == 1 and not piece.isascii() and draw.random() < 0.5:
                subwords += ["▁"] * (start == 0) + [f"<0x{byte:02X}>" for byte in piece.encode()]
            else:
                subwords.append("▁" * (start == 0) + piece)
            start += len(piece)
    return [*subwords, "</s>"]


def _weights(draw: random.Random, n: int) -> list[float]:
    """Return random weights in 64ths, so that sums of them are exact; they are 1 in all."""
    counts = [0] * n
    n_best = draw.randint(0, 64)  # of one subword
    counts[draw.randrange(n)] = n_best
    for _ in range(64 - n_best):
        counts[draw.randrange(n)] += 1
    return [count / 64 for count in counts]


def contract_case() -> Case:
    """Return the tensor contract of runtime/contract.py."""

    def tensors(of: dict[str, Any]) -> Case:
        return {name: {"type": type_, "axes": axes} for name, (type_, axes) in of.items()}

    tasks = contract.CONTRACTS.items()
    return {
        "schema": contract.SCHEMA,
        "special_ids": {"<pad>": contract.PAD, "<unk>": contract.UNK, "<s>": contract.BOS, "</s>": contract.EOS},
        "tasks": {task: {"inputs": tensors(inputs), "outputs": tensors(outputs)} for task, (inputs, outputs) in tasks},
        "metadata_prefix": contract.METADATA_PREFIX,
        "checksum_key": contract.CHECKSUM_KEY,
        "tolerances": contract.PRECISIONS,
    }


# Kinds of SentencePiece models, and their symbols.
TOKENIZERS: dict[str, tuple[Literal["bpe", "unigram"], tuple[str, ...]]] = {
    "bpe": ("bpe", ()),
    "unigram": ("unigram", ()),
    "bpe with placeholders": ("bpe", PLACEHOLDERS),
    "unigram with placeholders and tags": ("unigram", ("<2de>", "<2fr>", *PLACEHOLDERS)),
}


def tokenisation_cases() -> Iterator[Case]:
    """Yield tokenizers, each with texts and their ids, the decodings of these, and decodings of random ids."""
    lines = nasty_lines()
    for seed, (name, (kind, symbols)) in enumerate(TOKENIZERS.items()):
        tokenizer = train_tokenizer(lines, TokenizerConfig(kind=kind), 700, symbols, len(lines))
        draw = random.Random(seed)
        texts = [*nasty_strings(seed, 120, ()), *draw.sample(lines, 10)]
        texts += ["".join(draw.choices([*symbols, " ", "a", "word"], k=9)) for _ in range(10)]
        encoded = [tokenizer.encode(text) for text in texts]
        rows = [[draw.randrange(len(tokenizer)) for _ in range(draw.randrange(12))] for _ in range(60)]
        yield {
            "name": name,
            "model": base64.b64encode(tokenizer.model).decode("ascii"),
            "normalisation": tokenizer.normalisation,
            "texts": [_decoding(tokenizer, ids) | {"text": text} for text, ids in zip(texts, encoded, strict=True)],
            "decodings": [_decoding(tokenizer, ids) for ids in rows],
        }


def _decoding(tokenizer: Tokenizer, ids: list[int]) -> Case:
    return {"ids": ids, "decoded": tokenizer.decode(ids)}


MODELS = "../../tests/files/35c52c7"  # from the folder of the fixtures
SOURCES = [
    "", " ", "a", "12", "90210", "one two three", "A b c. D e f! G h?", "one\ntwo\r\n\n three", "x" * 500, "12 " * 400,
    "See https://example.org/a?b=c and {name}, 12 %s of $HOME.", "\U0001f600 \u2764\ufe0f ok \ufffd",
    "Dr. Smith came. He left at 5 p.m. on the 3. of May", "中文。日本語、テスト！", "e\u0301\u200b\u00a0f",
    "A long line of words that goes on and on, as letters do,\nuntil it wraps, and Then. ends", "word " * 30 + "end.",
    "7", "305 11", "  8\t9 ", "ß 5", "\U00010400 6", "私 7 と", "İ", "<s> </s> <0x41> \u2581",
    "a" * 72 + "❤", "😀" * 18,  # copies that nearly tie
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {}, {"beam": 1}, {"beam": 5, "n_best": 3, "alignments": True}, {"beam": 4, "length_penalty": 0.0, "max_length": 7},
    {"alignments": True, "protected": ["two", "Smith"]},
]  # fmt: skip


def translation_cases() -> Iterator[Case]:
    """Yield models and options, each with texts and their translations. Scores differ between machines."""
    for model in (f"{MODELS}/float32.onnx", f"{MODELS}/int8.onnx"):
        translator = Translator.load(FIXTURES / model)
        for options in OPTIONS:
            cases = [{"text": s, "translation": values_of(translator.translate(s, **options))} for s in SOURCES]
            yield {"model": model, "options": options, "cases": cases}


def label_cases() -> Case:
    """Return texts with their classes, and with the tags of their words."""
    classes, tags = f"{MODELS}/classify.onnx", f"{MODELS}/tag.onnx"
    classifier, tagger = Classifier.load(FIXTURES / classes), Tagger.load(FIXTURES / tags)
    return {
        "classify": {
            "model": classes,
            "cases": [{"text": s, "result": values_of(classifier.classify(s))} for s in SOURCES],
        },
        "tag": {"model": tags, "cases": [{"text": s, "result": values_of(tagger.tag(s))} for s in SOURCES]},
    }


def values_of(result: Translation | Classification | Tagged) -> Case:
    """Return a result as JSON has it, without the attention. Numbers have six digits."""
    values = asdict(result)
    values.pop("attention", None)
    return json.loads(json.dumps(values), parse_float=lambda number: round(float(number), 6))  # type: ignore[no-any-return]


def _lines(cases: Iterable[Case]) -> str:
    return "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]"


def fixtures() -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each fixture."""
    yield "contract", json.dumps(contract_case(), indent=2)
    yield "normalisation", _lines(normalisation_cases())
    yield "splitting", _lines(splitting_cases())
    yield (
        "protection",
        "{\n" + ",\n".join(f'"{kind}": {_lines(each)}' for kind, each in protection_cases().items()) + "\n}",
    )
    yield "tokenisation", _lines(tokenisation_cases())
    yield "translations", _lines(translation_cases())
    yield "labels", json.dumps(label_cases())


def main(folder: Path = FIXTURES) -> None:
    """Write the fixtures."""
    for name, text in fixtures():
        (folder / f"{name}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
