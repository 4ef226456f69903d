import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { Classifier, ModelFileError, SelfTestError, Tagger, Translator, UserError } from "../index.js";
import { METADATA_PREFIX } from "../src/contract.js";
import { metadataOf } from "../src/metadata.js";
import { fixture, modelOf, needsRuntime, onnxruntime } from "./fixtures.js";

const [{ model }] = fixture("translations");
const BYTES = modelOf(model);

/** Return whether an error is one sentence for the user. */
function isForUser(error, kind = UserError) {
  assert.ok(error instanceof kind, `${error}`);
  assert.equal(error.name, error instanceof ModelFileError ? "ModelFileError" : "UserError");
  assert.doesNotMatch(error.message, /\n|of undefined|\[object|Cannot (read|set)|is not a function/);
  return true;
}

async function load(source, options = {}) {
  return Translator.load(source, { onnxruntime: await onnxruntime(), ...options });
}

/** Return a copy of bytes with one of them changed. */
function damaged(bytes, at) {
  const copy = Uint8Array.from(bytes);
  copy[at] ^= 1;
  return copy;
}

const FILES = {
  "an empty file": new Uint8Array(),
  "a foreign file": new TextEncoder().encode("one two three"),
  "a file of zeros": new Uint8Array(100_000),
  "a page": new TextEncoder().encode(`<!doctype html><title>Not found</title>${" ".repeat(200)}`),
  "a file that is cut short": BYTES.subarray(0, -100),
  "a file with a changed byte": damaged(BYTES, 5000),
  "a file with a changed checksum": damaged(BYTES, BYTES.length - 1),
  "a model of another task": modelOf(fixture("labels").tag.model),
};

for (const [what, bytes] of Object.entries(FILES)) {
  test(`${what} is refused`, needsRuntime, async () => {
    for (const source of [bytes, new Blob([bytes]), new Response(bytes)]) {
      await assert.rejects(load(source), (error) => isForUser(error, ModelFileError));
    }
  });
}

test("no bytes at all, or those of a buffer that is gone, are refused", needsRuntime, async () => {
  const gone = new ArrayBuffer(8);
  structuredClone(gone, { transfer: [gone] });
  for (const source of [undefined, null, "", 5, {}, [], gone, new Response(null, { status: 204 })]) {
    await assert.rejects(load(source), (error) => isForUser(error));
  }
  await assert.rejects(load("no/such.onnx"), (error) => isForUser(error, ModelFileError));
});

test("metadata of a newer version, or for another processor, is refused with the remedy", () => {
  const props = {
    schema: "1",
    source_tokenizer: "",
    target_tokenizer: "",
    source_language: "en",
    target_language: "de",
  };
  const rest = { max_source: "40", config: "{}", card: "{}", precision: "float32", self_test: '{"cases": []}' };
  const defaults = '{"beam_size": 5, "length_penalty": 1, "max_length": 9}';
  const all = { ...props, ...rest, defaults };
  const of = (changes) =>
    metadataOf(
      Object.fromEntries(Object.entries({ ...all, ...changes }).map(([key, value]) => [METADATA_PREFIX + key, value])),
    );
  assert.equal(of({}).task, "translate");
  const changes = [
    [{ schema: "2" }, /schema 2.*install/],
    [{ task: "sing" }, /install a newer/],
    [{ precision: "int4" }, /install a newer/],
    [{ normalisation: "99" }, /install a newer/],
    [{ quantisation: '{"target": "vnni"}' }, /export the run with `--int8` alone/],
    [{ defaults: "{}" }, /beam_size/],
    [{ max_source: "0" }, /max_source/],
    [{ config: "[]" }, /config/],
    [{ config: undefined }, /config/],
    [{ task: "tag" }, /labels/],
    [{ source_tokenizer: "%" }, /base64/],
  ];
  for (const [change, message] of changes) {
    assert.throws(
      () => of(change),
      (error) => isForUser(error, ModelFileError) && message.test(error.message),
      message,
    );
  }
});

let server, address;

/** What the server answers to each path. */
const ANSWERS = {
  "/good": (response) => response.end(BYTES),
  "/cut": (response) => {
    response.writeHead(200, { "Content-Length": BYTES.length });
    response.write(BYTES.subarray(0, 5000), () => response.destroy());
  },
  "/short": (response) => {
    response.writeHead(200, { "Transfer-Encoding": "chunked" });
    response.end(BYTES.subarray(0, 5000));
  },
  "/false-gzip": (response) => {
    response.writeHead(200, { "Content-Encoding": "gzip" });
    response.end(BYTES);
  },
  "/reset": (response) => response.destroy(),
  "/missing": (response) => {
    response.writeHead(404);
    response.end("no");
  },
  "/empty": (response) => {
    response.writeHead(204);
    response.end();
  },
  "/page": (response) => response.end("<!doctype html><title>Welcome</title>"),
  "/loop": (response) => {
    response.writeHead(302, { Location: "/loop" });
    response.end();
  },
  "/silent": () => {},
  "/endless": (response) => {
    const timer = setInterval(() => response.write(BYTES.subarray(0, 1000)), 5);
    response.on("close", () => {
      clearInterval(timer);
      closed?.();
    });
  },
};
let closed;

before(async () => {
  server = createServer((request, response) => ANSWERS[request.url](response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${server.address().port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
});

test("a file arrives over HTTP with its progress", needsRuntime, async () => {
  const seen = [];
  const translator = await load(`${address}/good`, { onProgress: (...values) => seen.push(values) });
  assert.equal(seen.at(-1)[0], BYTES.length);
  assert.ok(seen.every(([received], i) => !i || received > seen[i - 1][0]));
  await translator.dispose();
});

test("a file is found by its path and by its URL", needsRuntime, async () => {
  const path = new URL(`../../fixtures/${model}`, import.meta.url);
  for (const source of [path, path.href, path.pathname, pathToFileURL(path.pathname)])
    await (await load(source)).dispose();
});

for (const path of ["/cut", "/short", "/false-gzip", "/reset", "/missing", "/empty", "/page", "/loop"]) {
  test(`a fetch that fails is refused: ${path}`, needsRuntime, async () => {
    const isOurs = (error) => isForUser(error, ModelFileError) && error.message.includes(path);
    await assert.rejects(load(`${address}${path}`), isOurs);
    await assert.rejects(load(await fetch(`${address}${path}`).catch(() => new URL(`${address}${path}`))), isOurs);
  });
}

test("a signal ends the loading, with its reason", needsRuntime, async () => {
  const reasons = [undefined, new Error("mine"), "text", 5, null];
  for (const path of ["/silent", "/endless"]) {
    for (const reason of reasons) {
      const controller = new AbortController();
      const loading = load(`${address}${path}`, { signal: controller.signal });
      setTimeout(() => controller.abort(reason), 20);
      await assert.rejects(
        loading.catch((error) => Promise.reject({ error })),
        ({ error }) => error === controller.signal.reason,
      );
    }
  }
  const controller = new AbortController();
  const ended = new Promise((resolve) => (closed = resolve));
  const loading = load(await fetch(`${address}/endless`), { signal: controller.signal });
  controller.abort();
  await assert.rejects(loading, { name: "AbortError" });
  await ended; // the connection
  await assert.rejects(load(BYTES, { signal: AbortSignal.abort() }), { name: "AbortError" });
  await assert.rejects(load(`${address}/silent`, { signal: AbortSignal.timeout(20) }), { name: "TimeoutError" });
});

test("an error of onProgress comes out as it is, and ends the fetch", needsRuntime, async () => {
  const ended = new Promise((resolve) => (closed = resolve));
  const onProgress = () => {
    throw new RangeError("mine");
  };
  await assert.rejects(load(`${address}/endless`, { onProgress }), { name: "RangeError", message: "mine" });
  await ended;
});

test("a model that cannot be used is freed", needsRuntime, async () => {
  const ort = await onnxruntime();
  let open = 0;
  const InferenceSession = {
    async create(...values) {
      const session = await ort.InferenceSession.create(...values);
      const release = session.release.bind(session);
      open++;
      session.release = () => (open--, release());
      return session;
    },
  };
  class Failing extends Translator {
    async selfTest() {
      throw new SelfTestError("it differs");
    }
  }
  const failing = Failing.load(BYTES, { onnxruntime: { ...ort, InferenceSession }, selfTest: true });
  await assert.rejects(failing, { name: "SelfTestError", message: "the model file: it differs" });
  assert.equal(open, 0);
});

const WRONG = [
  null,
  5,
  "a",
  [],
  { n_best: 3 },
  { beamSize: 2 },
  { __proto__: null, nbest: 1 },
  { signal: {} },
  { signal: 5 },
  { signal: null },
];

test("wrong options are refused", needsRuntime, async () => {
  const translator = await load(BYTES);
  const labels = fixture("labels");
  const ort = await onnxruntime();
  const classifier = await Classifier.load(modelOf(labels.classify.model), { onnxruntime: ort });
  const tagger = await Tagger.load(modelOf(labels.tag.model), { onnxruntime: ort });
  for (const options of WRONG) {
    await assert.rejects(translator.translate("a", options), (error) => isForUser(error));
    await assert.rejects(classifier.classify("a", options), (error) => isForUser(error));
    await assert.rejects(tagger.tag("a", options), (error) => isForUser(error));
    await assert.rejects(Translator.load(BYTES, options), (error) => isForUser(error));
  }
  const numbers = ["beam", "nBest", "maxLength", "lengthPenalty", "batchSize", "batchTokens"];
  for (const name of numbers) {
    for (const value of [0.5, -1, NaN, Infinity, 1e300, "3", 3n, null, [], {}, true, () => 1, Symbol("a")]) {
      if (value === 1e300 && name.startsWith("batch")) continue;
      const isDefault = value === null && !name.startsWith("batch") && name !== "nBest";
      if (isDefault || (name === "lengthPenalty" && value === 0.5)) continue;
      await assert.rejects(translator.translate("a", { [name]: value }), (error) => isForUser(error), name);
    }
  }
  for (const value of [5, null, [5], [["a"]], { a: 1 }, new String("a")]) {
    await assert.rejects(
      translator.translate("a", { protected: value }),
      (error) => isForUser(error) && /protected/.test(error.message),
    );
    await assert.rejects(
      translator.translate(["a"], { protected: [value] }),
      (error) => isForUser(error) && /protected/.test(error.message),
    );
  }
  for (const options of [
    { threads: -1 },
    { threads: 1.5 },
    { threads: "2" },
    { onProgress: 5 },
    { onnxruntime: {} },
    { onnxruntime: null },
  ]) {
    await assert.rejects(load(BYTES, options), (error) => isForUser(error));
  }
  for (const text of [
    undefined,
    null,
    5,
    5n,
    {},
    Symbol("a"),
    new Uint8Array(3),
    new String("ab"),
    [1],
    ["a", null],
    [["a"]],
  ]) {
    await assert.rejects(translator.translate(text), (error) => isForUser(error));
    await assert.rejects(classifier.classify(text), (error) => isForUser(error));
    await assert.rejects(tagger.tag(text), (error) => isForUser(error));
  }
  assert.equal((await translator.translate("12")).text, (await translator.translate(new Set(["12"])))[0].text);
  for (const each of [translator, classifier, tagger]) await each.dispose();
});

test("after dispose every call is refused", needsRuntime, async () => {
  const translator = await load(BYTES);
  const running = translator.translate(Array(40).fill("12 345"), { batchSize: 1 });
  await translator.dispose();
  await assert.rejects(running, (error) => isForUser(error));
  await translator.dispose();
  for (const text of ["12", "", [], [""]])
    await assert.rejects(translator.translate(text), (error) => isForUser(error));
  await assert.rejects(translator.selfTest(), (error) => isForUser(error));
});

test("two loads and many translations at once give what each gives alone", needsRuntime, async () => {
  const [one, two] = await Promise.all([load(BYTES), load(BYTES)]);
  const texts = ["12", "345 6", "one two", "90210"];
  const alone = await one.translate(texts);
  const together = await Promise.all([one, two].flatMap((each) => texts.map((text) => each.translate(text))));
  assert.deepEqual(
    together.map(({ text }) => text),
    [...alone, ...alone].map(({ text }) => text),
  );
  await Promise.all([one.dispose(), two.dispose()]);
});

test("a signal ends a translation, also one that is nearly done", needsRuntime, async () => {
  const translator = await load(BYTES);
  await assert.rejects(translator.translate("", { signal: AbortSignal.abort() }), { name: "AbortError" });
  for (const count of [1, 20]) {
    const controller = new AbortController();
    const running = translator.translate(Array(count).fill("12"), { signal: controller.signal, batchSize: 1 });
    controller.abort();
    await assert.rejects(running, { name: "AbortError" });
  }
  const controller = new AbortController();
  const run = translator.session.run.bind(translator.session);
  translator.session.run = (inputs) => (controller.abort(), run(inputs));
  await assert.rejects(translator.translate("12", { signal: controller.signal }), { name: "AbortError" });
  assert.ok((await translator.translate("12")).text);
  await translator.dispose();
});

test("a million characters with nothing to translate", needsRuntime, async () => {
  const translator = await load(BYTES);
  for (const unit of ["\n", " ", "\x07", "\ufeff "])
    assert.equal(typeof (await translator.translate(unit.repeat(1e6))).text, "string");
  await translator.dispose();
});
