/** The fixtures that every host tests against, and what tests share. */

import { existsSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../fixtures/", import.meta.url);
const ONNXRUNTIME = new URL("../../../tests/web/node_modules/onnxruntime-web/dist/ort.node.min.mjs", import.meta.url);

/** Return the content of a file in runtime/fixtures. */
export function fixture(name) {
  return JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), "utf-8"));
}

/** Return the bytes of a model, by the path that a fixture gives. */
export function modelOf(path) {
  return readFileSync(new URL(path, FOLDER));
}

/** Options of tests that run models. */
export const needsRuntime = { skip: existsSync(ONNXRUNTIME) ? false : "onnxruntime-web is not installed" };

/** Return ONNX Runtime for WebAssembly. */
export function onnxruntime() {
  return import(ONNXRUNTIME);
}

/** Return a value of the fixtures with names as in JavaScript, such as `nBest`. */
export function inCamelCase(value) {
  if (Array.isArray(value)) return value.map(inCamelCase);
  if (value === null || typeof value !== "object") return value;
  const camel = (key) => key.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [camel(key), inCamelCase(item)]));
}

/** Return what an expected value has of a value, with expected numbers in place of those within the tolerance. */
export function matching(value, expected, tolerance) {
  if (typeof expected === "number") return Math.abs(value - expected) <= tolerance ? expected : value;
  if (Array.isArray(expected)) {
    const isSame = Array.isArray(value) && value.length === expected.length;
    return isSame ? value.map((item, i) => matching(item, expected[i], tolerance)) : value;
  }
  if (expected === null || typeof expected !== "object") return value;
  return Object.fromEntries(
    Object.keys(expected).map((key) => [key, matching(value?.[key], expected[key], tolerance)]),
  );
}
