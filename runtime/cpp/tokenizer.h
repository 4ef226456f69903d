// Text to token ids and back, with SentencePiece.
#pragma once
#include <sentencepiece_processor.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "normalisation.h"

constexpr int64_t EOS = 3;  // `</s>`; ids 0 to 2 are `<pad>`, `<unk>` and `<s>`

class Tokenizer {
public:
    // model: a serialised SentencePiece model. normalisation: the version of the rules for text, see normalisation.h.
    Tokenizer(const std::string& model, int normalisation) : normalisation_(normalisation) {
        check(processor_.LoadFromSerializedProto(model));
    }

    // Returns the ids of a text, closed by `</s>`.
    std::vector<int64_t> encode(const std::string& text) const {
        std::vector<int> subwords;
        check(processor_.Encode(normalise(text, normalisation_), &subwords));
        std::vector<int64_t> ids(subwords.begin(), subwords.end());
        ids.push_back(EOS);
        return ids;
    }

    // Returns the text of ids without the special ones. It is normalised, so it is always one line.
    std::string decode(const int64_t* ids, size_t count) const {
        std::vector<int> subwords;
        for (size_t i = 0; i < count; ++i) {
            if (ids[i] > EOS) subwords.push_back(static_cast<int>(ids[i]));
        }
        std::string text;
        check(processor_.Decode(subwords, &text));
        return normalise(text, normalisation_);
    }

private:
    static void check(const sentencepiece::util::Status& status) {
        if (!status.ok()) throw std::runtime_error(status.ToString());
    }

    sentencepiece::SentencePieceProcessor processor_;
    int normalisation_;
};
