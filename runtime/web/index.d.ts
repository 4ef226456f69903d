/** Dragoman: run a translator, classifier or tagger from one ONNX file. */

/** A URL, in Node also the path of a file, or the bytes of a file. */
export type ModelSource = string | URL | ArrayBuffer | Uint8Array | Blob | Response;

/** Several texts. A string is one text, although it is iterable, too. */
type Texts = Iterable<string> & object;

export interface LoadOptions {
  /**
   * Threads of ONNX Runtime, from 1; 0 for one per core. Default: 1. In a browser, more than 1 needs a page that is
   * cross-origin isolated. In WebAssembly, the first model that is loaded sets the number for all.
   */
  threads?: number;
  /** Also check that the file gives the results that it gave at export. Default: false. */
  selfTest?: boolean;
  /** Called while the file arrives over the network, with the bytes received and the total; 0 if that is unknown. */
  onProgress?: (received: number, total: number) => void;
  /** Ends the loading. */
  signal?: AbortSignal;
  /** The module of ONNX Runtime. Default: in Node onnxruntime-node if it is installed; else onnxruntime-web. */
  onnxruntime?: unknown;
}

/** Metadata of a file; see docs/file-format.md. */
export interface Metadata {
  task: "translate" | "classify" | "tag";
  sourceLanguage: string;
  targetLanguage: string;
  maxSource: number;
  maxSentences: number;
  normalisation: number;
  defaults: Record<string, number>;
  config: Record<string, unknown>;
  card: Record<string, unknown>;
  quantisation: Record<string, unknown>;
  selection: Record<string, number>;
  labels: string[];
  precision: "float32" | "int8";
  /** True if the network has attention, which word alignments need. */
  hasAttention: boolean;
  /** SHA-256 of the file. */
  checksum: string;
}

export interface TranslateOptions {
  /** Beam size, from 1 (greedy search). Default: the file's own; if `nBest` is above 1, at least `2 * nBest`. */
  beam?: number;
  /** Most translations to return, from 1 to `beam`. The search may find fewer different ones. Default: 1. */
  nBest?: number;
  /** Exponent A in score = log-probability / length ** A, from 0 to 5. Default: the file's own. */
  lengthPenalty?: number;
  /** Longest translation of a part in ids. Default: the file's own. */
  maxLength?: number;
  /** Also return word alignments and attention. Default: false. */
  alignments?: boolean;
  /** Further strings that the translation must keep: of one text, or for several texts those of each. */
  protected?: Iterable<string> | Iterable<Iterable<string>>;
  /** Largest number of parts to translate at once. Default: 32. */
  batchSize?: number;
  /** Largest number of source ids in a batch of more than one part, with padding. Default: 512. */
  batchTokens?: number;
  /** Ends the translation between two batches: it rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface Hypothesis {
  text: string;
  /** Log-probability / length ** lengthPenalty, averaged over the parts of the text. Higher is better. */
  score: number;
  /** False if a part reached its length limit, so that the end of its translation may be missing. */
  complete: boolean;
}

/** Attention of the best hypothesis of one part: T rows of S weights. A row is that of a target subword. */
export interface AttentionMap {
  sourceSubwords: string[];
  targetSubwords: string[];
  weights: Float32Array[];
}

export interface Translation extends Hypothesis {
  /** Pairs of source word and target word, counted from 0; empty unless `alignments` was given. */
  alignment: [number, number][];
  attention: AttentionMap[];
  /** The n best different translations, best first. */
  hypotheses: Hypothesis[];
  /** Number of parts that were translated separately. */
  parts: number;
  /** Parts that stand as they stood in the source, because no translation kept their protected spans. */
  untranslated: string[];
}

/** What all models have. */
interface Model {
  readonly metadata: Metadata;
  /** Rejects with SelfTestError unless the file gives the results that it gave at export. */
  selfTest(): Promise<void>;
  /** Free the memory of the model. Later calls are rejected with UserError. */
  dispose(): Promise<void>;
}

interface Translating extends Model {
  /** True if the network has attention, which word alignments need. */
  readonly hasAttention: boolean;
  /** Translate one text, or several. Rejects with UserError for a wrong argument, or if ONNX Runtime fails. */
  translate(text: string, options?: TranslateOptions): Promise<Translation>;
  translate(texts: Texts, options?: TranslateOptions): Promise<Translation[]>;
  translate(text: string | Iterable<string>, options?: TranslateOptions): Promise<Translation | Translation[]>;
}

export interface Translator extends Translating {}
export class Translator {
  private constructor();
  /** Rejects with ModelFileError for a file that cannot be used, and with UserError for a wrong argument. */
  static load(source: ModelSource, options?: LoadOptions): Promise<Translator>;
}

/** A worker of a page. */
export interface ModelWorker {
  postMessage(message: unknown): void;
  addEventListener(type: "message" | "messageerror" | "error", listener: (event: any) => void): void;
  terminate(): void;
}

/** A translator in a worker, so that a page responds while it translates. */
export interface RemoteTranslator extends Translating {}
export class RemoteTranslator {
  private constructor();
  /**
   * worker: one that runs `dragoman/worker.js`, as a module. It belongs to the translator, whose `dispose` ends it.
   * A relative URL of the model is relative to the page.
   */
  static load(
    source: string | URL | ArrayBuffer | Uint8Array | Blob,
    options: Omit<LoadOptions, "onnxruntime"> & { worker: ModelWorker },
  ): Promise<RemoteTranslator>;
}

/**
 * Answer the calls of a `RemoteTranslator`, in a worker of your own in place of `dragoman/worker.js`. Call it before the
 * worker waits for anything.
 *
 * load: Returns the translator. Default: `Translator.load`.
 */
export function serve(load?: (source: ModelSource, options: LoadOptions) => Promise<Translator>): void;

export interface Classification {
  label: string;
  probability: number;
  /** [label, probability] of every class, the most probable first. */
  probabilities: [string, number][];
  parts: number;
}

export interface Classifier extends Model {}
export class Classifier {
  private constructor();
  static load(source: ModelSource, options?: LoadOptions): Promise<Classifier>;
  classify(text: string, options?: { batchSize?: number }): Promise<Classification>;
  classify(texts: Texts, options?: { batchSize?: number }): Promise<Classification[]>;
}

export interface Tagged {
  words: string[];
  labels: string[];
  probabilities: number[];
  /** False if a word has more subwords than the training texts, so that its end was not read. */
  complete: boolean;
}

export interface Tagger extends Model {}
export class Tagger {
  private constructor();
  static load(source: ModelSource, options?: LoadOptions): Promise<Tagger>;
  tag(text: string, options?: { batchSize?: number }): Promise<Tagged>;
  tag(texts: Texts, options?: { batchSize?: number }): Promise<Tagged[]>;
}

/** A mistake that the user can correct. The message is one sentence. */
export class UserError extends Error {}
/** A file that is not a usable Dragoman model. */
export class ModelFileError extends UserError {}
/** A file that gives other results here than at export. */
export class SelfTestError extends ModelFileError {}
