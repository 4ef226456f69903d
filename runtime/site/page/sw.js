/**
 * The service worker of the site: it keeps all files, so that the page starts without a network. FILES above has the
 * SHA-256 of each file, and MODELS the models, which their workers keep when they are used.
 *
 * The cache holds each file under its name and its SHA-256. A new version of the site takes over when no page shows the
 * old one, as browsers do it, so that files of two versions never mix.
 */

const ROOT = new URL("./", location).href;
const CACHE = `dragoman ${ROOT}`; // also in translator-worker.js

addEventListener("install", (event) => event.waitUntil(install()));
addEventListener("activate", (event) => event.waitUntil(activate()));
addEventListener("fetch", (event) => {
  const path = event.request.url.startsWith(ROOT) ? event.request.url.slice(ROOT.length).split(/[?#]/)[0] : null;
  const name = path === "" ? "index.html" : path;
  if (event.request.method === "GET" && Object.hasOwn(FILES, name)) event.respondWith(answer(event.request, name));
});

const keyOf = (name) => `${ROOT}${name}?sha256=${FILES[name]}`;

/** Keep all files. If one is missing or another one, this version of the site is not installed. */
async function install() {
  const cache = await caches.open(CACHE);
  const kept = await cache.keys();
  const add = async (name) => {
    const same = kept.find(({ url }) => url.endsWith(`?sha256=${FILES[name]}`)); // maybe of another version
    if (same?.url !== keyOf(name)) await cache.put(keyOf(name), same ? await cache.match(same) : await fetched(name));
  };
  await Promise.all(Object.keys(FILES).map(add));
}

/** Return a response with a file of this version of the site. */
async function fetched(name) {
  for (const cache of ["default", "reload"]) {
    // the browser's own cache may have an older file
    const response = await fetch(name, { cache });
    const bytes = await response.arrayBuffer();
    if ((await sha256(bytes)) === FILES[name]) return new Response(bytes, { headers: headersOf(response) });
  }
  throw new Error(`${name} is not the file that dragoman web wrote`);
}

/** Return the headers of a response to keep, such as the policy of the host. */
function headersOf(response) {
  const headers = new Headers(response.headers);
  for (const name of ["Content-Encoding", "Content-Length"]) headers.delete(name); // of the bytes on their way
  if (!headers.has("Content-Type")) headers.set("Content-Type", "application/octet-stream");
  return headers;
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
  const cache = await caches.open(CACHE);
  return (await cache.match(keyOf(name))) ?? fetch(request);
}
