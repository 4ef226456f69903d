// Text normalisation with ICU, like normalise in runtime/normalisation.py. docs/file-format.md describes the rules.
#pragma once

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <string>
#include <vector>

constexpr int NORMALISATION = 2;  // the newest version of the rules that this header knows

namespace normalisation {
using Text = std::vector<UChar32>;

struct Range {
    UChar32 first, last;
};

template <size_t N>
bool in(const Range (&ranges)[N], UChar32 c) {
    for (const Range& range : ranges) {
        if (c >= range.first && c <= range.last) return true;
    }
    return false;
}

// Version 1
constexpr Range SPACES_1[] = {{0x9, 0xd}, {0x20, 0x20}, {0x85, 0x85}, {0x2028, 0x2029}};
constexpr Range INVISIBLE_1[] = {{0x0, 0x1f}, {0x7f, 0x9f}, {0xfeff, 0xfeff}};

// Version 2
constexpr Range SPACES_2[] = {{0x9, 0xd},       {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
                              {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
constexpr Range INVISIBLE_2[] = {
    {0x0, 0x1f},         {0x7f, 0x9f},     {0xad, 0xad},     {0x34f, 0x34f},     {0x61c, 0x61c},
    {0x115f, 0x1160},    {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200b},   {0x200e, 0x200f},
    {0x202a, 0x202e},    {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
    {0xffa0, 0xffa0},    {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
constexpr Range MONGOLIAN_LETTERS[] = {{0x1820, 0x18aa}};
constexpr Range MONGOLIAN_SELECTORS[] = {{0x180b, 0x180f}};
constexpr Range FLAG_TAGS[] = {{0xe0030, 0xe0039}, {0xe0061, 0xe007a}};
constexpr UChar32 BLACK_FLAG = 0x1f3f4, LAST_FLAG_TAG = 0xe007f;

constexpr UChar32 NON_JOINER = 0x200c, JOINER = 0x200d;
constexpr uint8_t VIRAMA = 9;  // its canonical combining class
constexpr Range JOINING_SCRIPTS[] = {{0x600, 0x109f},   {0x1700, 0x18af}, {0x1900, 0x1cff},
                                     {0xa800, 0xaaff},  {0xabc0, 0xabff}, {0xfb50, 0xfdff},
                                     {0xfe70, 0xfefe},  {0x10a00, 0x11fff}, {0x1e900, 0x1e95f}};

inline Text nfc(const Text& text) {
    UErrorCode status = U_ZERO_ERROR;
    const auto joined = icu::UnicodeString::fromUTF32(text.data(), static_cast<int32_t>(text.size()));
    const auto result = icu::Normalizer2::getNFCInstance(status)->normalize(joined, status);
    Text out;
    for (int32_t i = 0; i < result.length(); i = result.moveIndex32(i, 1)) out.push_back(result.char32At(i));
    return out;
}

// Turns runs of spaces into one plain space, with none at either end.
template <size_t N>
Text collapse(const Text& text, const Range (&spaces)[N]) {
    Text out;
    for (UChar32 c : text) {
        if (!in(spaces, c)) {
            out.push_back(c);
        } else if (!out.empty() && out.back() != ' ') {
            out.push_back(' ');
        }
    }
    if (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
}

// Returns the end of a sequence that starts at i and is kept whole, or i: a Mongolian letter with its selectors, or a
// flag with the tags that spell its region.
inline size_t kept_sequence(const Text& text, size_t i) {
    size_t end = i + 1;
    if (in(MONGOLIAN_LETTERS, text[i])) {
        while (end < text.size() && in(MONGOLIAN_SELECTORS, text[end])) ++end;
        return end > i + 1 ? end : i;
    }
    if (text[i] != BLACK_FLAG) return i;
    while (end < text.size() && in(FLAG_TAGS, text[end])) ++end;
    return end > i + 1 && end < text.size() && text[end] == LAST_FLAG_TAG ? end + 1 : i;
}

inline bool is_joining(UChar32 c) { return in(JOINING_SCRIPTS, c) && (U_GET_GC_MASK(c) & (U_GC_L_MASK | U_GC_M_MASK)); }

inline bool is_symbol(UChar32 c) { return c >= 0x2000 && (U_GET_GC_MASK(c) & U_GC_S_MASK); }

inline bool is_needed(UChar32 joiner, UChar32 before, UChar32 after) {  // -1 at an end of the text
    if (before >= 0 && u_getCombiningClass(before) == VIRAMA) return true;
    const bool left = is_joining(before), right = is_joining(after);
    return (left && right) || (joiner == JOINER && (left || right || (is_symbol(before) && is_symbol(after))));
}

// Removes joiners that no script or emoji needs; of a run at most the first stays.
inline Text needed_joiners(const Text& text) {
    Text out;
    for (size_t i = 0; i < text.size();) {
        if (text[i] != NON_JOINER && text[i] != JOINER) {
            out.push_back(text[i++]);
            continue;
        }
        size_t end = i;
        while (end < text.size() && (text[end] == NON_JOINER || text[end] == JOINER)) ++end;
        if (is_needed(text[i], i ? text[i - 1] : -1, end < text.size() ? text[end] : -1)) out.push_back(text[i]);
        i = end;
    }
    return out;
}

inline Text version_1(Text text) {
    Text visible;
    for (UChar32 c : text) {
        if (in(SPACES_1, c) || !in(INVISIBLE_1, c)) visible.push_back(c == 0x2581 ? '_' : c);
    }
    return nfc(collapse(visible, SPACES_1));
}

inline Text version_2(const Text& text) {
    Text visible;
    for (size_t i = 0; i < text.size();) {
        const size_t end = kept_sequence(text, i);
        if (end == i && (in(SPACES_2, text[i]) || !in(INVISIBLE_2, text[i]))) {
            visible.push_back(text[i] == 0x2581 ? '_' : text[i]);  // SentencePiece writes U+2581 for a space
        }
        for (size_t j = i; j < end; ++j) visible.push_back(text[j]);
        i = end == i ? i + 1 : end;
    }
    Text result = nfc(collapse(visible, SPACES_2));
    for (;;) {  // again, because NFC changes the neighbours of other joiners
        const Text shorter = nfc(needed_joiners(result));
        if (shorter == result) return result;
        result = collapse(shorter, SPACES_2);
    }
}
}  // namespace normalisation

// Returns a line in Unicode NFC without invisible characters, with single spaces and none at either end. Invalid UTF-8
// becomes U+FFFD. version: of the rules, from 1 to NORMALISATION.
inline std::string normalise(const std::string& line, int version = NORMALISATION) {
    const auto decoded = icu::UnicodeString::fromUTF8(line);
    normalisation::Text text;
    for (int32_t i = 0; i < decoded.length(); i = decoded.moveIndex32(i, 1)) text.push_back(decoded.char32At(i));
    text = version == 1 ? normalisation::version_1(text) : normalisation::version_2(text);
    std::string out;
    icu::UnicodeString::fromUTF32(text.data(), static_cast<int32_t>(text.size())).toUTF8String(out);
    return out;
}
