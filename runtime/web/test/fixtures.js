/** The fixtures that every host tests against. */

import { readFileSync } from "node:fs";

/** Return the content of a file in runtime/fixtures. */
export function fixture(name) {
  return JSON.parse(readFileSync(new URL(`../../fixtures/${name}.json`, import.meta.url), "utf-8"));
}
