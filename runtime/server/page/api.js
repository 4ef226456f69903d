/** Requests to the server. All URLs are relative, so that the page also works behind a path prefix. */

import { Failure } from "./failure.js";

const RETRIED = [429, 503];
const RETRY_SECONDS = 5; // if the server names no time
const UNREACHABLE_SECONDS = 10;

/** Return the answer to a GET request. */
export async function get(path) {
  return parsed(await request(path));
}

/** Return the settings of the server, with the limits of an API key. */
export async function settingsFor(key) {
  const body = new URLSearchParams(key ? { api_key: key } : {});
  return parsed(await request("frontend/settings", { method: "POST", body }));
}

/** Prepare for translations between two languages. The server has its models in memory, so there is nothing to do. */
export async function prepare() {}

/** Return the translation of a text, with alternatives and details of its words. */
export async function translate(parameters, signal) {
  const body = JSON.stringify({ format: "text", alternatives: 3, details: true, ...parameters });
  const headers = { "Content-Type": "application/json" };
  return parsed(await request("translate", { method: "POST", body, headers, signal }));
}

/**
 * Translate a document. Call `progress` with the number of translated and of all segments.
 * Return the path of the translated file and the segments that a person should look at.
 */
export async function translateFile(file, parameters, progress, signal) {
  const body = new FormData();
  for (const [name, value] of Object.entries(parameters)) body.append(name, value);
  body.append("file", file);
  const headers = { Accept: "application/x-ndjson" };
  const response = await request("translate_file", { method: "POST", body, headers, signal });
  for await (const line of linesOf(response)) {
    if (line.error) throw new Failure(line.error);
    if (line.translatedFileUrl) {
      // The server may not know the address that a proxy gives it. The end of the path is right everywhere.
      const name = new URL(line.translatedFileUrl, location).pathname.split("/").pop();
      return { path: `download_file/${name}`, listed: line.listed ?? [] };
    }
    progress(line.translated, line.segments);
  }
  throw new Failure("The connection broke off before the document was complete");
}

/** Wait. Rejects at once when the signal says so. */
export function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer", UNREACHABLE_SECONDS);
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  const message = answer.error || `The server answers with status ${response.status} ${response.statusText}`.trim();
  const retryAfter = RETRIED.includes(response.status)
    ? Number(response.headers.get("Retry-After")) || RETRY_SECONDS
    : 0;
  throw new Failure(message, retryAfter);
}

async function parsed(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server's answer is incomplete, or no JSON");
  }
}

/** Yield the lines of a response in JSON Lines as they arrive. */
async function* linesOf(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    let chunk;
    try {
      chunk = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      return;
    }
    rest += decoder.decode(chunk.value, { stream: !chunk.done });
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
    if (chunk.done) return;
  }
}
