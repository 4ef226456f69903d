/** Dragoman: run a translator, classifier or tagger from one ONNX file. */

export { ModelFileError, SelfTestError, UserError } from "./src/errors.js";
export { Classifier, Tagger } from "./src/labelling.js";
export { RemoteTranslator } from "./src/remote.js";
export { serve } from "./src/serving.js";
export { Translator } from "./src/translator.js";
