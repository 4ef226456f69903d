/**
 * The service worker of the site: it keeps all files, so that the page starts without a network. FILES above has the
 * SHA-256 of each file, and MODELS the models, which their workers keep when they are used.
 *
 * The cache holds each file under its name and its SHA-256, so that files of two versions of the site never mix.
 */

const ROOT = new URL("./", location).href;
const CACHE = `dragoman ${ROOT}`; // also in translator-worker.js

addEventListener("install", (event) => event.waitUntil(install()));
addEventListener("activate", (event) => event.waitUntil(activate()));
addEventListener("message", ({ data }) => data === "activate" && skipWaiting());
addEventListener("fetch", (event) => {
  const path = event.request.url.startsWith(ROOT) ? event.request.url.slice(ROOT.length).split(/[?#]/)[0] : null;
  const name = path === "" ? "index.html" : path;
  if (event.request.method === "GET" && Object.hasOwn(FILES, name)) event.respondWith(answer(event.request, name));
});

const keyOf = (name) => `${ROOT}${name}?sha256=${FILES[name]}`;

/** Keep all files. If one is missing or another one, this version of the site is not installed. */
async function install() {
  const cache = await caches.open(CACHE);
  const add = async (name) => {
    if (!(await cache.match(keyOf(name)))) await cache.put(keyOf(name), await fetched(name));
  };
  await Promise.all(Object.keys(FILES).map(add));
}

/** Return a response with a file of this version of the site. */
async function fetched(name) {
  for (const cache of ["default", "reload"]) {
    // the browser's own cache may have an older file
    const response = await fetch(name, { cache });
    const bytes = await response.arrayBuffer();
    const headers = { "Content-Type": response.headers.get("Content-Type") ?? "application/octet-stream" };
    if ((await sha256(bytes)) === FILES[name]) return new Response(bytes, { headers });
  }
  throw new Error(`${name} is not the file that dragoman web wrote`);
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Remove files and models of older versions, and serve pages that were loaded before. */
async function activate() {
  const known = new Set([...Object.keys(FILES).map(keyOf), ...MODELS.map((model) => ROOT + model)]);
  const cache = await caches.open(CACHE);
  for (const { url } of await cache.keys()) if (!known.has(url)) await cache.delete(url);
  await clients.claim();
}

async function answer(request, name) {
  if (request.mode === "navigate" && registration.waiting && (await clients.matchAll()).length < 2) {
    // This is the only page, and a newer version of the site is complete: let that one answer.
    registration.waiting.postMessage("activate");
    const headers = { "Content-Type": "text/html", Refresh: "0" };
    return new Response('<!doctype html><link rel="icon" href="icon.svg">', { headers });
  }
  const cache = await caches.open(CACHE);
  return (await cache.match(keyOf(name))) ?? fetch(request);
}
