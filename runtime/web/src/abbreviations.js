/**
 * Abbreviations after whose full stop a sentence continues, by language.
 *
 * A word is in small letters and without its last full stop. The part after a space inside an abbreviation counts by
 * itself: of `z. B.`, only `z` and `B` matter, and single letters are initials everywhere.
 */

// Words before a name or another word: titles, `vs.`, parts of addresses. A sentence never ends after them.
const BEFORE_WORDS = {
  __proto__: null,
  "": "mr mrs ms dr prof st mme mlle hr fr sra gen col sgt capt lt rev mt vs bzw approx",
  en: "messrs maj cpl pvt cmdr adm gov sen pres hon supt insp",
  de: "hrn frl dipl ing inkl exkl ggf evtl sog bspw od bes allg insb verh geb gest hl hrsg zzgl",
  fr: "mgr mm pr vve av apr env cf",
  es: "sr srta sres dr dra prof profa d dña ud uds vd vds ee uu lic ing gral av avda admón ej",
  it: "sig sigg dott prof ing avv arch geom gen on sen mons rag es",
  pt: "sr srs sra sras srta dr dra drs prof profa eng enga av gen cel exmo exma",
  ca: "sra dra av",
  gl: "sra dra av",
  ro: "dl dna ing str bd",
  nl: "dhr mevr mw drs ir ing mr prof dr bijv",
  da: "bl kl",
  nb: "bl kl",
  sv: "bl kl",
  fi: "hra rva tri prof esim ns",
  hu: "dr prof id ifj özv ún",
  cs: "p pí sl dr ing mgr bc mudr judr phdr rndr doc prof arch ul nám tř např tzv tj",
  sk: "p dr ing mgr bc mudr judr phdr rndr doc prof ul nám napr tzv tj",
  pl: "prof dr hab inż mgr doc ks bp abp gen płk mjr kpt por ul al pl os np tzw tj św",
  sl: "g ga dr prof mag ul npr",
  hr: "g gđa dr prof mr ul npr sv",
  ru: "г с проф акад доц ул просп пер пл наб бул св тов напр см",
  uk: "м с проф акад доц вул просп пров пл наб бул св ім тов напр див",
  bg: "проф акад доц инж ул бул св напр вж",
  sr: "др проф ул npr нпр",
  el: "κ κα κκ δρ καθ αγ οδ λεωφ βλ",
  tr: "doç av sn bkz mah cad sok",
  lt: "p prof dr doc g pvz vad",
  lv: "prof dr doc piem kgi",
  et: "hr pr prof dr nt tn",
  hi: "डॉ प्रो श्री श्रीमती पं सु",
  mr: "डॉ प्रा श्री",
  ml: "ഡോ മി പ്രൊ",
  ta: "திரு",
  te: "డా శ్రీ",
  kn: "ಡಾ ಶ್ರೀ",
  gu: "ડૉ શ્રી",
  pa: "ਡਾ",
  bn: "ড ডা প্রফে মো মোঃ",
  ar: "د أ م أد",
  fa: "د م",
};

// Words before a number: `No. 5`, `Fig. 3`, `Jan. 5`. A sentence does not end after them if a number follows.
const BEFORE_NUMBERS = {
  __proto__: null,
  "": "no nos nr fig figs art abb vol p pp ch sec ca tel jan feb mar apr jun jul aug sep sept oct okt nov dec dez",
  en: "pt sect ed par",
  de: "abs kap bd str tab anm ziff lit mio mrd",
  fr: "pag chap t sect janv févr avr juil déc env tél",
  es: "pág págs núm cap fig vol art tel ene abr ago dic",
  it: "pag pagg cap num vol art tel gen mag giu lug ago set ott dic",
  pt: "pág págs cap núm n vol art tel fev abr mai ago set out dez",
  nl: "blz hfst afb art tel",
  da: "s kap afs stk",
  nb: "s kap avs",
  sv: "s kap avs",
  cs: "str s obr tab č čl odst kap sv r tel",
  sk: "str s obr tab č čl ods kap r tel",
  pl: "str s rys tab nr poz art ust rozdz r t tel ok",
  sl: "str sl št čl",
  hr: "str sl br čl",
  ru: "стр с рис табл гл т п пп ст ч разд тел",
  uk: "стор с рис табл гл т п ст ч розд тел",
  bg: "стр фиг табл гл т чл ал тел",
  sr: "стр сл бр чл",
  el: "σελ αρ εικ κεφ τηλ παρ",
  tr: "s sf şek böl tel",
  fi: "s kuv luku n",
  hu: "o old kb tel",
};

// Other codes: languages that share a list, and the three-letter codes of ISO 639.
const SAME_AS = {
  nb: "nn no nob nor",
  hr: "bs hrv",
  ru: "be rus",
  es: "ast spa",
  de: "lb gsw deu ger",
  en: "eng",
  fr: "fra fre",
  it: "ita",
  pt: "por",
  nl: "nld dut",
  da: "dan",
  sv: "swe",
  fi: "fin",
  hu: "hun",
  cs: "ces cze",
  sk: "slk slo",
  pl: "pol",
  sl: "slv",
  sr: "srp",
  uk: "ukr",
  bg: "bul",
  el: "ell gre",
  tr: "tur",
  ro: "ron rum",
  lt: "lit",
  lv: "lav",
  et: "est",
  hi: "hin",
  mr: "mar",
  bn: "ben",
  ar: "ara",
  fa: "fas",
};

/**
 * Return the abbreviations of a language before words, and those before numbers. A language without a list has the
 * common ones.
 *
 * @param {string} language ISO 639 code, without script and region.
 * @returns {[Set<string>, Set<string>]}
 */
export function abbreviations(language) {
  const code = Object.keys(SAME_AS).find((key) => SAME_AS[key].split(" ").includes(language)) ?? language;
  return [BEFORE_WORDS, BEFORE_NUMBERS].map((table) => new Set(`${table[""]} ${table[code] ?? ""}`.split(" ")));
}
