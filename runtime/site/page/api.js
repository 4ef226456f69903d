/** Translation by models on this device. The exports are those of the server page's api.js. */

import { RemoteTranslator } from "./dragoman/src/remote.js";
import { Failure } from "./failure.js";

const CHARACTERS = 20_000; // of a text, as the server's default
const ALTERNATIVES = 3;
const RETRY_SECONDS = 10; // after which a file that could not be fetched is fetched again
const MOST_LOADED = 2; // models in memory: those of the two directions between two languages

let rows = []; // of models.json
const loaded = new Map(); // models by their URL, the least recently used first

/** A model that is in its worker, or on the way there. */
class Model {
  constructor(row) {
    this.row = row;
    this.isReady = false;
    this.received = 0;
    this.watchers = [];
    this.translator = this.load();
  }

  async load() {
    const { url, sha256, source, target, names } = this.row;
    const onProgress = (received) => {
      this.received = received;
      for (const watcher of this.watchers) this.tell(watcher);
    };
    try {
      const worker = new Worker(new URL("translator-worker.js", import.meta.url), { type: "module" });
      const address = new URL(`${url}?sha256=${sha256}`, location); // no cache gives the model of an older site for it
      const translator = await RemoteTranslator.load(address.href, { worker, onProgress });
      this.isReady = true;
      return translator;
    } catch (error) {
      this.forget();
      const reason = error.message.replace(/^the model file: /, "");
      const message = `the model from ${names[source]} to ${names[target]} cannot be used: ${reason}`;
      throw new Failure(message, error.name === "ModelFileError" ? 0 : RETRY_SECONDS);
    } finally {
      keepForOffline();
    }
  }

  /** Call a function with the bytes that are here and all of them, now and whenever more arrive. */
  watch(watcher) {
    this.watchers.push(watcher);
    this.tell(watcher);
  }

  tell(watcher) {
    watcher(this.received, this.row.size);
  }

  /** Free the memory of the model. It is loaded again when it is needed. */
  forget() {
    if (loaded.get(this.row.url) === this) loaded.delete(this.row.url);
    this.translator?.then((translator) => translator.dispose()).catch(() => {}); // it may not have been loaded at all
  }
}

/** Return the languages of the site, sorted by name. */
export async function get() {
  rows = await models();
  const names = Object.assign({}, ...rows.map((row) => row.names));
  const targetsOf = (code) => rows.filter(({ source }) => source === code).map(({ target }) => target);
  const languages = Object.entries(names).map(([code, name]) => ({ code, name, targets: targetsOf(code) }));
  return languages.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Return the settings of the page. */
export async function settingsFor() {
  const [{ source, target }] = rows;
  const language = { source: { code: source }, target: { code: target } };
  return { charLimit: CHARACTERS, keyRequired: false, language };
}

/** Load the model between two languages. Call a function with the bytes that are here and all of them. */
export async function prepare(languages, onProgress) {
  const model = modelOf(languages);
  if (!model.isReady) model.watch(onProgress);
  await model.translator;
}

/** Return the translation of a text, with alternatives and details of its words. */
export async function translate({ q, ...languages }, signal) {
  const model = modelOf(languages);
  const translator = await model.translator;
  const alignments = translator.metadata.hasAttention;
  try {
    const found = await translator.translate(q, { nBest: ALTERNATIVES + 1, alignments, signal });
    const { text, hypotheses, alignment, complete, untranslated } = found;
    const alternatives = hypotheses.slice(1).map((hypothesis) => hypothesis.text);
    return { translatedText: text, alternatives, details: { alignment, complete, untranslated } };
  } catch (error) {
    if (!signal.aborted) model.forget(); // its worker may have failed
    throw error;
  }
}

/** Return the model between two languages. If too many are loaded then, forget the one that was not used for longest. */
function modelOf({ source, target }) {
  const row = rows.find((each) => each.source === source && each.target === target);
  if (!row) throw new Failure("no model of this site translates between these languages");
  const model = loaded.get(row.url) ?? new Model(row);
  loaded.delete(row.url);
  loaded.set(row.url, model);
  if (loaded.size > MOST_LOADED) [...loaded.values()][0].forget();
  return model;
}

/** Return the rows of models.json. */
async function models() {
  try {
    const response = await fetch(new URL("models.json", import.meta.url));
    if (response.ok) return await response.json();
  } catch {
    // as for another status
  }
  throw new Failure("the list of models cannot be loaded", RETRY_SECONDS);
}

/** Let the browser keep the site. The model comes first, since both take the network. */
function keepForOffline() {
  navigator.serviceWorker?.register("sw.js").catch(() => {}); // without it, the page needs a network to start
}
