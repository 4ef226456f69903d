/** The worker of `RemoteTranslator`. It holds one translator. */

import { serve } from "./src/serving.js";

// ONNX Runtime starts its threads from the script that it stands in. A bundler may have put it into this one.
const isThread = self.name?.startsWith("em-pthread");
if (isThread) import("onnxruntime-web/wasm");
else serve();
