/** The page: translates while you type. */

import { get, prepare, settingsFor, translate } from "./api.js";
import { Failure, sentence } from "./failure.js";
import { History } from "./history.js";
import { LanguageChoice, setLanguage } from "./languages.js";
import { load, save } from "./storage.js";
import { AlignedTexts, wordsOf } from "./words.js";

const TYPING_PAUSE = 300; // ms without a key, after which a text is translated
const SETTLED = 2000; // ms without a change, after which a translation goes into the history
const COPIED = 2000; // ms for which the copy button says so
const WORDS_BEFORE = 3; // of an alternative that are shown before the first one that differs
const MEGABYTE = 1e6;

const $ = (id) => document.getElementById(id);
const [source, target, error] = ["source", "target", "error"].map($);
const texts = new AlignedTexts(source, $("mirror"), target);
const history = new History(restore);
const isOnDevice = document.documentElement.dataset.model === "device"; // on the site that `dragoman web` writes

let settings, languages;
let controller = new AbortController(); // of the newest request; an answer to any other is out of date
let typingTimer, retryTimer, settledTimer;
let answer = null; // the newest answer, if it belongs to the text and languages on the page
let detected = null; // the language of the newest answer whose language was to be found
let shown = ""; // the translation that is chosen among those of the answer

async function start() {
  let rows, documents;
  try {
    rows = await get("languages");
    settings = await settingsFor(load("key", ""));
    documents = isOnDevice ? null : await import("./documents.js");
  } catch (failure) {
    showError(failure);
    if (failure.retryAfter) setTimeout(start, 1000 * failure.retryAfter);
    return;
  }
  showError(null);
  languages = new LanguageChoice(rows, $("source-language"), $("target-language"), { detects: !isOnDevice });
  const { source: from, target: to } = settings.language;
  languages.choose(load("source", from.code), load("target", to.code));
  $("key-form").hidden = !settings.keyRequired;
  $("key").value = load("key", "");
  if (documents) new documents.Documents(settings, languagesAndKey);
  listen();
  onChange(0); // a browser may have kept the text of a page that is loaded again
}

function listen() {
  source.addEventListener("input", () => onChange());
  source.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onChange(0);
  });
  $("source-language").addEventListener("change", onLanguage);
  $("target-language").addEventListener("change", onLanguage);
  $("swap").addEventListener("click", swap);
  $("clear").addEventListener("click", clear);
  $("copy").addEventListener("click", copy);
  addEventListener("pagehide", settle);
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    onKey($("key").value.trim());
  });
}

/** Take a new API key, which may have limits of its own. */
async function onKey(key) {
  save("key", key || null);
  try {
    settings = await settingsFor(key);
  } catch (failure) {
    showError(failure);
    return;
  }
  onChange(0);
}

/** Begin to translate what is on the page now, after a pause in ms. */
function onChange(pause = Math.min(TYPING_PAUSE, settings.frontendTimeout || TYPING_PAUSE)) {
  controller.abort();
  for (const timer of [typingTimer, retryTimer, settledTimer]) clearTimeout(timer);
  answer = null;
  const n = [...source.value].length;
  const isLong = n > settings.charLimit;
  texts.showSource(isLong ? "" : source.value); // a mirror of a very long text would take seconds to lay out
  source.classList.toggle("long", isLong);
  $("count").textContent = `${n.toLocaleString("en")} / ${settings.charLimit.toLocaleString("en")}`;
  $("count").classList.toggle("error", isLong);
  $("clear").disabled = !source.value;
  setLanguage(source, languages.source === "auto" ? "" : languages.source);
  drawSwap();
  typingTimer = setTimeout(translateNow, pause);
  setBusy(!isEmpty());
  if (!isEmpty()) return;
  showError(null);
  showTranslation("");
}

function isEmpty() {
  return !source.value.trim();
}

/** Translate what is on the page. For an empty text, only prepare for the languages. */
async function translateNow() {
  const own = (controller = new AbortController());
  const isStale = () => own !== controller || own.signal.aborted;
  const text = source.value;
  try {
    checkLength(text);
    await prepareFor(own);
    if (isStale()) return;
    if (!isEmpty()) {
      const found = await translate({ q: text, ...languagesAndKey() }, own.signal);
      if (isStale()) return;
      answer = { ...found, text, source: languages.source, target: languages.target };
      showTranslation(found.translatedText);
      settledTimer = setTimeout(settle, SETTLED);
    }
    showError(null);
  } catch (failure) {
    if (isStale()) return;
    showTranslation("");
    showError(failure);
    if (failure.retryAfter) retryTimer = setTimeout(translateNow, 1000 * failure.retryAfter);
  }
  setBusy(false);
}

/** Prepare for the languages on the page, and show how far that is until a newer request does so. */
async function prepareFor(own) {
  const isNewest = () => own === controller;
  try {
    await prepare({ source: languages.source, target: languages.target }, (received, total) => {
      if (isNewest()) showLoading(received, total);
    });
  } finally {
    if (isNewest()) {
      $("loading").hidden = true;
      $("announcement").textContent = "";
    }
  }
}

function showLoading(received, total) {
  const [some, all] = [received, total].map((bytes) => (bytes / MEGABYTE).toFixed(1));
  const isHere = received >= total;
  if ($("loading").hidden) $("announcement").textContent = "Loading the model";
  $("loading").hidden = false;
  $("loading-text").textContent = isHere ? "Starting the model" : `Loading the model: ${some} of ${all}\u00a0MB`;
  $("loading-bar").max = total;
  if (isHere) $("loading-bar").removeAttribute("value");
  else $("loading-bar").value = received;
}

function checkLength(text) {
  const n = [...text].length;
  if (n <= settings.charLimit) return;
  const [length, limit] = [n, settings.charLimit].map((number) => number.toLocaleString("en"));
  throw new Failure(`The text has ${length} characters, and at most ${limit} can be translated at once`);
}

/** Return the parameters that all translations need. */
function languagesAndKey() {
  const parameters = { source: languages.source, target: languages.target };
  if (!settings.keyRequired) return parameters;
  const key = load("key", "");
  if (!key) throw new Failure("This server needs an API key. Type yours above");
  return { ...parameters, api_key: key };
}

/** Show a translation, or nothing, and what belongs to it. Only the answer's best translation has details. */
function showTranslation(text) {
  shown = text;
  const details = text === answer?.translatedText ? answer?.details : null;
  setLanguage(target, languages.target);
  $("legend").hidden = !texts.showTarget(answer?.text ?? "", text, details);
  $("copy").disabled = !text;
  drawNotes();
  drawDetected();
  drawAlternatives();
  drawSwap();
}

function drawNotes() {
  const notes = [];
  if (answer?.detectedLanguage?.language === answer?.target && shown) {
    notes.push(`The text is in ${languages.name(answer.target)} already.`);
  }
  if (answer?.details?.complete === false) notes.push("The end of the translation may be missing.");
  const untranslated = answer?.details?.untranslated ?? [];
  if (untranslated.length) {
    notes.push(`Not translated: ${untranslated.map((part) => `“${part}”`).join(", ")}`);
  }
  const paragraphs = notes.map((note) => {
    const paragraph = document.createElement("p");
    paragraph.className = "notice";
    paragraph.textContent = note;
    return paragraph;
  });
  $("notes").replaceChildren(...paragraphs);
}

function drawDetected() {
  detected = answer?.detectedLanguage ?? null;
  $("detected").textContent = detected ? `${languages.name(detected.language)}, ${detected.confidence} % sure` : "";
  if (detected) setLanguage(source, detected.language);
}

/** List the translations of the answer that are not shown. */
function drawAlternatives() {
  const all = answer ? new Set([answer.translatedText, ...(answer.alternatives ?? [])]) : new Set();
  all.delete(shown);
  const items = [...all].map((text) => {
    const button = document.createElement("button");
    button.type = "button";
    setLanguage(button, answer.target);
    button.append(excerpt(text));
    button.addEventListener("click", () => {
      showTranslation(text);
      target.querySelector(".word")?.focus();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  $("alternatives").hidden = !items.length;
  $("alternatives").lastElementChild.replaceChildren(...items);
}

/** Return an element with a text from where it begins to differ from the one shown. Words of its own are bold. */
function excerpt(text) {
  const [own, others] = [wordsOf(text), wordsOf(shown)];
  const known = new Set(others);
  const first = own.findIndex((word, i) => word !== others[i]);
  const start = Math.max(0, (first < 0 ? own.length : first) - WORDS_BEFORE);
  const element = document.createElement("span");
  element.append(start ? "… " : "");
  for (const word of own.slice(start)) {
    const node = document.createElement(known.has(word) ? "span" : "b");
    node.textContent = word;
    element.append(node, " ");
  }
  return element;
}

function drawSwap() {
  $("swap").disabled = !languages.canSwap(knownSource());
}

/** Return the source language: the chosen or the detected one, or nothing. */
function knownSource() {
  return languages.source === "auto" ? detected?.language : languages.source;
}

function onLanguage() {
  chooseLanguages(languages.source, languages.target);
  onChange(0);
}

function chooseLanguages(from, to) {
  languages.choose(from, to);
  save("source", languages.source);
  save("target", languages.target);
}

function swap() {
  const translation = shown;
  settle();
  chooseLanguages(languages.target, knownSource());
  if (translation) source.value = translation;
  onChange(0);
}

function clear() {
  settle();
  source.value = "";
  onChange();
  source.focus();
}

function restore(entry) {
  settle();
  chooseLanguages(entry.source, entry.target);
  source.value = entry.text;
  onChange(0);
  source.focus();
}

/** Put the translation into the history, unless it is there. */
function settle() {
  clearTimeout(settledTimer);
  if (!answer || answer.isSettled) return;
  answer.isSettled = true;
  const { source, target, text, translatedText: translation, detectedLanguage } = answer;
  history.add({ source, target, text, translation, detected: detectedLanguage?.language });
}

async function copy() {
  try {
    await navigator.clipboard.writeText(shown);
  } catch {
    copyBySelection(shown); // browsers lock the clipboard of pages that come over plain HTTP
  }
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), COPIED);
}

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.className = "unseen";
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  $("copy").focus();
}

function showError(failure) {
  error.textContent = failure ? sentence(failure) : "";
}

function setBusy(isBusy) {
  target.setAttribute("aria-busy", isBusy);
  $("busy").classList.toggle("on", isBusy);
}

start();
