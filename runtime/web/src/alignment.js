/**
 * Word alignment from attention.
 *
 * An attention map is {sourceSubwords, targetSubwords, weights}: S and T subwords, and T rows of S weights. The weights
 * of a row are those of the source subwords when the target subword was chosen.
 */

const EOS_SUBWORD = "</s>";

/**
 * Return [source word, target word] pairs: for each target word, the source word with the most attention. Words are
 * counted from 0 over all parts of a text, and the weights of a word's subwords are added up.
 *
 * continues: for each map, whether its source, and whether its translation, follows the part before without a space.
 * Its first word then continues the last word of that part.
 */
export function wordAlignment(maps, continues) {
  const pairs = new Map();
  let [sourceOffset, targetOffset] = [0, 0];
  let withinTargetWord = true; // no space since the last target word
  maps.forEach(({ sourceSubwords, targetSubwords, weights }, i) => {
    const [sourceContinues, targetContinues] = continues[i];
    withinTargetWord &&= targetContinues;
    if (sourceContinues && sourceOffset) sourceOffset--;
    const [source, target] = [wordNumbers(sourceSubwords), wordNumbers(targetSubwords)];
    const [nSource, nTarget] = [source.at(-1), target.at(-1) + 1]; // of the source without `</s>`
    const sums = Array.from({ length: nTarget }, () => new Float64Array(nSource + 1));
    weights.forEach((row, t) => row.forEach((weight, s) => (sums[target[t]][source[s]] += weight)));
    const eosWord = targetSubwords.at(-1) === EOS_SUBWORD ? nTarget - 1 : null;
    const nTargetWords = eosWord === null ? nTarget : nTarget - 1;
    if (withinTargetWord && nTargetWords && targetOffset) targetOffset--;
    withinTargetWord ||= nTargetWords > 0;
    for (let word = 0; word < nTarget; word++) {
      if (word === eosWord || !nSource) continue;
      const pair = [sourceOffset + largestOf(sums[word].subarray(0, nSource)), targetOffset + word];
      pairs.set(String(pair), pair);
    }
    sourceOffset += nSource;
    targetOffset += nTargetWords;
  });
  return [...pairs.values()];
}

/** Return the index of the first largest number. */
function largestOf(numbers) {
  let best = 0;
  numbers.forEach((number, i) => {
    if (number > numbers[best]) best = i;
  });
  return best;
}

/** Return the number of the word that each subword belongs to. `</s>` is a word of its own. */
function wordNumbers(subwords) {
  let number = -1;
  return subwords.map((subword, i) => {
    if (!i || subword === EOS_SUBWORD || subword.startsWith("▁")) number++;
    return number;
  });
}
