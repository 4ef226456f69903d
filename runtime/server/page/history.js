/** The last translations, which stay in this browser. */

import { load, onChangeElsewhere, save } from "./storage.js";

const LONGEST = 50;

export class History {
  /** @param restore A function that takes an entry: `source`, `target`, `text`, `translation` and perhaps `detected`. */
  constructor(restore) {
    this.restore = restore;
    this.list = document.getElementById("history-list");
    this.template = document.getElementById("history-entry").content.firstElementChild;
    this.toggle = document.getElementById("history-on");
    this.clear = document.getElementById("history-clear");
    this.note = document.getElementById("history-note");
    this.toggle.addEventListener("change", () => {
      save("historyOn", this.toggle.checked);
      this.draw();
    });
    this.clear.addEventListener("click", () => {
      this.write([]);
      this.toggle.focus();
    });
    for (const name of ["history", "historyOn"]) onChangeElsewhere(name, () => this.draw());
    this.draw();
  }

  get isOn() {
    return load("historyOn", true);
  }

  /** The entries, newest first. They are read each time, since another tab may have changed them. */
  get entries() {
    const entries = load("history", []);
    return Array.isArray(entries) ? entries.filter((entry) => typeof entry?.text === "string") : [];
  }

  /** Add an entry. It takes the place of the same text, and of the newest one if that is only its beginning. */
  add(entry) {
    if (!this.isOn) return;
    const isSamePair = (other) => other.source === entry.source && other.target === entry.target;
    const entries = this.entries.filter((other, i) => {
      const isReplaced = i ? other.text === entry.text : entry.text.startsWith(other.text);
      return !(isReplaced && isSamePair(other));
    });
    this.write([entry, ...entries].slice(0, LONGEST));
  }

  write(entries) {
    while (!save("history", entries) && entries.length > 1) entries = entries.slice(0, -1);
    this.draw();
  }

  draw() {
    const { entries } = this;
    this.toggle.checked = this.isOn;
    this.clear.hidden = !entries.length;
    this.note.hidden = entries.length > 0;
    this.note.textContent = this.isOn ? "Translations appear here." : "Nothing is kept.";
    this.list.replaceChildren(...entries.map((entry) => this.item(entry)));
  }

  item(entry) {
    const item = this.template.cloneNode(true);
    const [restore, remove] = item.querySelectorAll("button");
    item.querySelector(".pair").textContent = `${entry.detected ?? entry.source} → ${entry.target}`;
    item.querySelector(".source").textContent = entry.text;
    item.querySelector(".target").textContent = entry.translation;
    restore.addEventListener("click", () => this.restore(entry));
    remove.addEventListener("click", () => {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      const place = [...this.list.children].indexOf(next) - (next === item.nextElementSibling ? 1 : 0);
      const isThis = (other) => JSON.stringify(other) === JSON.stringify(entry);
      this.write(this.entries.filter((other) => !isThis(other)));
      (this.list.children[place]?.querySelector(".remove") ?? this.toggle).focus();
    });
    return item;
  }
}
