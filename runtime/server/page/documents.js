/** Documents: the drop zone, and a row for each document with its progress, errors and download. */

import { translateFile, wait } from "./api.js";
import { Failure, sentence } from "./failure.js";

const MIB = 1 << 20;

export class Documents {
  /**
   * @param settings The settings of the server.
   * @param parameters A function that returns the languages and the API key of a request, or throws a Failure.
   */
  constructor(settings, parameters) {
    this.settings = settings;
    this.parameters = parameters;
    this.endings = settings.supportedFilesFormat;
    this.list = document.getElementById("document-list");
    this.template = document.getElementById("document-row").content.firstElementChild;
    this.last = Promise.resolve(); // one document after the other
    const input = document.getElementById("file");
    input.accept = this.endings.join(",");
    input.disabled = false;
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = ""; // so that the same file can be chosen again
    });
    const limit = Math.floor(settings.fileSizeLimit / MIB);
    document.getElementById("file-limit").textContent = limit ? ` A file may have up to ${limit} MiB.` : "";
    document.getElementById("file-endings").textContent = this.endings.join(" ");
    this.acceptDrops();
  }

  /** Accept files that are dropped anywhere on the page. */
  acceptDrops() {
    const { classList } = document.body;
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      classList.add("dragging");
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) classList.remove("dragging");
    });
    addEventListener("drop", (event) => {
      classList.remove("dragging");
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    for (const file of files) {
      const row = new Row(this.template.cloneNode(true), file.name);
      this.list.prepend(row.element);
      try {
        this.check(file);
        const parameters = this.parameters();
        this.last = this.last.then(() => row.run(file, parameters));
      } catch (error) {
        row.fail(error);
      }
    }
    document.getElementById("documents").scrollIntoView({ block: "nearest" });
  }

  check(file) {
    const name = file.name.toLowerCase();
    if (!this.endings.some((ending) => name.endsWith(ending))) {
      throw new Failure("This type of file is not supported. “File types” lists those that are");
    }
    if (file.size > this.settings.fileSizeLimit) {
      const [size, limit] = [file.size, this.settings.fileSizeLimit].map((bytes) => (bytes / MIB).toFixed(1));
      throw new Failure(`The file has ${size} MiB, and the server takes at most ${limit} MiB`);
    }
  }
}

class Row {
  constructor(element, name) {
    this.element = element;
    this.part = (selector) => element.querySelector(selector);
    this.part(".name").textContent = name;
    this.controller = new AbortController();
    this.button = this.part("button");
    this.button.setAttribute("aria-label", `Cancel ${name}`);
    this.part("progress").setAttribute("aria-label", name);
    this.name = name;
    this.tell("Waiting");
    this.button.addEventListener("click", () => {
      if (this.controller.signal.aborted || this.isDone) {
        this.element.remove();
        document.getElementById("file").focus();
      } else {
        this.controller.abort();
        this.end("Cancelled.");
      }
    });
  }

  async run(file, parameters) {
    const { signal } = this.controller;
    while (!signal.aborted && !this.isDone) {
      try {
        this.tell("Sending");
        this.finish(await translateFile(file, parameters, (n, all) => this.progress(n, all), signal));
      } catch (error) {
        if (signal.aborted) return;
        if (!error.retryAfter) return this.fail(error);
        this.tell(sentence(error));
        await wait(error.retryAfter, signal).catch(() => {});
      }
    }
  }

  progress(translated, segments) {
    const bar = this.part("progress");
    bar.max = segments || 1;
    bar.value = translated;
    this.tell(`${translated} of ${segments} segments`);
  }

  finish({ path, listed }) {
    const link = this.part(".download");
    link.href = path;
    link.download = "";
    link.hidden = false;
    this.end("Translated. The server keeps it for 10 minutes.");
    if (!listed.length) return;
    const details = this.part("details");
    const segments = listed.length === 1 ? "1 segment" : `${listed.length} segments`;
    details.firstElementChild.textContent = `${segments} to look at`;
    for (const { place, problems } of listed) {
      const item = document.createElement("li");
      item.textContent = `${place}: ${problems.join("; ")}`;
      details.lastElementChild.append(item);
    }
    details.hidden = false;
  }

  fail(error) {
    const prefix = `${this.name}: `; // which stands above the message already
    if (error.message.startsWith(prefix)) error = new Failure(error.message.slice(prefix.length));
    this.part(".state").classList.add("error");
    this.end(sentence(error));
  }

  end(message) {
    this.isDone = true;
    this.part("progress").hidden = true;
    this.button.textContent = "Remove";
    this.button.setAttribute("aria-label", `Remove ${this.name} from the list`);
    this.tell(message);
  }

  tell(message) {
    this.part(".state").textContent = message;
  }
}
