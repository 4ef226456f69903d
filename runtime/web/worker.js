/** The worker of `RemoteTranslator`. It holds one translator. */

import { serve } from "./src/serving.js";

serve();
