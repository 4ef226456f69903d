/**
 * Compare this package with answers of Python: node compare.mjs CASES.json PACKAGE.
 *
 * Prints the number of cases that agree and the first ones that differ, as JSON.
 */

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [cases, folder] = process.argv.slice(2);
const from = (path) => import(pathToFileURL(`${folder}/${path}`));

const checks = {
  async ids({ tokenizer, normalisation, rows }) {
    const { Tokenizer } = await from("src/tokenizer.js");
    const tokens = new Tokenizer(Buffer.from(tokenizer, "base64"), normalisation);
    return rows.map(({ text, ids, decoded }) => {
      const found = tokens.encode(text);
      return [
        { text, ids, decoded },
        { text, ids: found, decoded: tokens.decode(ids) },
      ];
    });
  },

  async decodings({ tokenizer, normalisation, rows }) {
    const { Tokenizer } = await from("src/tokenizer.js");
    const tokens = new Tokenizer(Buffer.from(tokenizer, "base64"), normalisation);
    return rows.map(({ ids, decoded }) => [
      { ids, decoded },
      { ids, decoded: tokens.decode(ids) },
    ]);
  },
};

const results = [];
for (const { kind, ...values } of JSON.parse(await readFile(cases, "utf-8"))) {
  const pairs = await checks[kind](values);
  const different = pairs.filter(([expected, found]) => JSON.stringify(expected) !== JSON.stringify(found));
  results.push({
    kind,
    agree: pairs.length - different.length,
    differ: different.length,
    first: different.slice(0, 5),
  });
}
console.log(JSON.stringify(results));
