"""The declarations of the npm package, as the TypeScript compiler reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tiny import ROOT

PACKAGE = ROOT / "runtime" / "web"
NODE_MODULES = ROOT / "tests" / "web" / "node_modules"
TSC = NODE_MODULES / "typescript" / "bin" / "tsc"

pytestmark = [
    pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed"),
    pytest.mark.skipif(
        not TSC.exists(), reason="TypeScript is not installed; run make tests/web/node_modules/.installed"
    ),
]

RIGHT = """
import { Classifier, ModelFileError, RemoteTranslator, Tagger, Translator, UserError, serve } from "dragoman";
import type { Hypothesis, ModelWorker, Translation } from "dragoman";

export async function all(bytes: Uint8Array, texts: string[], either: string | string[], worker: ModelWorker) {
  const translator = await Translator.load(bytes, { threads: 2, selfTest: true, onProgress: (n, all) => n / all });
  const one: Translation = await translator.translate("a", { beam: 5, nBest: 2, alignments: true, protected: ["b"] });
  const many: Translation[] = await translator.translate(new Set(texts), { protected: [["a"], []] });
  const some: Translation | Translation[] = await translator.translate(either);
  const hypotheses: Hypothesis[] = one.hypotheses;
  const pair: [number, number] = one.alignment[0]!;
  const remote = await RemoteTranslator.load(new URL("https://example.org/a.onnx"), { worker });
  const found: Translation = await remote.translate("a", { signal: AbortSignal.timeout(9) });
  await remote.selfTest();
  const label: string = (await (await Classifier.load("a.onnx")).classify("a")).label;
  const words: string[][] = (await (await Tagger.load("a.onnx")).tag(texts)).map((tagged) => tagged.words);
  serve((source, options) => Translator.load(source, options));
  const error: Error = new ModelFileError("a") as UserError;
  await translator.dispose();
  return { many, some, hypotheses, pair, found, label, words, error, attention: remote.hasAttention };
}
"""
WRONG = """
import { RemoteTranslator, Translator } from "dragoman";

declare const translator: Translator;
declare const either: string | string[];
// @ts-expect-error
export const a: Promise<object[]> = translator.translate(either);
// @ts-expect-error
translator.translate("a", { nbest: 3 });
// @ts-expect-error
translator.translate(5);
// @ts-expect-error
Translator.load("a", { beam: 5 });
// @ts-expect-error
RemoteTranslator.load("a");
// @ts-expect-error
new Translator();
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder in which the package is installed."""
    (tmp_path / "node_modules").mkdir()
    shutil.copytree(PACKAGE, tmp_path / "node_modules" / "dragoman")
    return tmp_path


def check(folder: Path, *words: str) -> None:
    """Assert that the compiler accepts what is in a folder."""
    command = ["node", str(TSC), "--noEmit", "--target", "es2022", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--lib", "es2022,dom,dom.iterable", "--module", "esnext", "--moduleResolution", "bundler"],
        [
            "--lib",
            "es2022",
            "--module",
            "nodenext",
            "--moduleResolution",
            "nodenext",
            "--typeRoots",
            str(NODE_MODULES / "@types"),
            "--types",
            "node",
        ],
    ],
    ids=["page", "Node"],
)
def test_programs_in_strict_mode(words: list[str], folder: Path) -> None:
    (folder / "right.mts").write_text(RIGHT, "utf-8")
    (folder / "wrong.mts").write_text(WRONG, "utf-8")
    check(folder, "--strict", "--noUncheckedIndexedAccess", *words, "right.mts", "wrong.mts")


def test_the_programs_of_the_guide(folder: Path) -> None:
    blocks = re.findall(
        r"^```js\n(.*?)^```", (ROOT / "docs" / "browser.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    programs = [block for block in blocks if '"./dragoman' not in block and "dragoman/worker.js" not in block]
    assert len(programs) == 3
    for i, program in enumerate(programs):
        (folder / f"{i}.mjs").write_text(program, "utf-8")
    names = [f"{i}.mjs" for i in range(len(programs))]
    check(folder, "--allowJs", "--checkJs", "--module", "nodenext", *names)
