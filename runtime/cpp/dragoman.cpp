// Translates standard input line by line with a Dragoman file: ONNX Runtime's C++ API, SentencePiece, and ICU for NFC.
//
//   dragoman FILE.onnx [BEAM] < source > translation
//
// The file holds encoder, beam search, tokenizer and defaults; a host tokenises, runs and detokenises. The names here
// are those of runtime/bundle.py. What this small host leaves out: splitting of text that is longer than the model
// takes (reported, and the line left empty) or has more sentences than it learnt from (so give it one sentence a line:
// it may leave out the others), a word on translations that reached the longest length allowed, batches, and the file's
// checksum and self-test.
#include <onnxruntime_cxx_api.h>
#include <sentencepiece_processor.h>
#include <unicode/normalizer2.h>
#include <unicode/unistr.h>

#include <array>
#include <iostream>
#include <regex>
#include <vector>

namespace {
constexpr int64_t PAD = 0, EOS = 3;

std::string from_base64(const std::string& text) {
    static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    uint32_t bits = 0;
    int count = 0;
    for (char c : text) {
        const auto value = alphabet.find(c);  // not found: the padding at the end
        if (value == std::string::npos) break;
        bits = bits << 6 | static_cast<uint32_t>(value);
        if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xff);
    }
    return out;
}

// tokenizer.py's normalise: NFC, no control characters, single spaces, nothing at the ends.
std::string normalise(const std::string& line) {
    UErrorCode status = U_ZERO_ERROR;
    icu::UnicodeString kept;
    const auto text = icu::UnicodeString::fromUTF8(line);  // broken UTF-8 becomes U+FFFD
    for (int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1)) {
        const UChar32 c = text.char32At(i);
        if (c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0x2028 || c == 0x2029) {
            if (!kept.isEmpty() && !kept.endsWith(u' ')) kept.append(u' ');
        } else if (!(c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0xfeff)) {
            kept.append(c);
        }
    }
    if (kept.endsWith(u' ')) kept.truncate(kept.length() - 1);
    std::string out;
    icu::Normalizer2::getNFCInstance(status)->normalize(kept, status).toUTF8String(out);
    return out;
}

struct Translator {
    explicit Translator(const std::string& path) : session_(nullptr) {
        Ort::SessionOptions options;
        options.SetIntraOpNumThreads(1);
        options.DisableCpuMemArena();
        session_ = Ort::Session(environment_, path.c_str(), options);
        if (metadata("schema") != "1") throw std::runtime_error(path + " is not a Dragoman file of schema 1");
        const std::string source = from_base64(metadata("source_tokenizer"));
        const std::string target = from_base64(metadata("target_tokenizer"));
        check(source_.LoadFromSerializedProto(source));
        check(target_.LoadFromSerializedProto(target.empty() ? source : target));
        longest_source_ = std::stoul(metadata("max_source"));
        const std::string defaults = metadata("defaults");
        beam = std::stoll(number(defaults, "beam_size"));
        max_length_ = std::stoll(number(defaults, "max_length"));
        length_penalty_ = std::stof(number(defaults, "length_penalty"));
    }

    std::string operator()(const std::string& line) {
        std::vector<int> pieces;
        check(source_.Encode(normalise(line), &pieces));
        if (pieces.empty()) return "";  // nothing but spaces
        std::vector<int64_t> source(pieces.begin(), pieces.end());
        source.push_back(EOS);
        if (source.size() > longest_source_) throw std::length_error("is longer than the model takes; left empty");
        int64_t length = static_cast<int64_t>(source.size()), n_best = 1, attended = 0;
        const std::array<int64_t, 2> rows{1, length};
        std::vector<Ort::Value> inputs;
        inputs.push_back(tensor(source.data(), source.size(), rows.data(), 2));
        inputs.push_back(tensor(&length, 1, rows.data(), 1));
        for (int64_t* scalar : {&beam, &n_best, &max_length_}) inputs.push_back(tensor(scalar, 1, rows.data(), 0));
        inputs.push_back(tensor(&length_penalty_, 1, rows.data(), 0));
        inputs.push_back(tensor(&attended, 1, rows.data(), 0));
        const char* names[] = {"source",     "source_length",  "beam_size", "n_best",
                               "max_length", "length_penalty", "attended"};
        const char* wanted[] = {"target"};
        const auto out = session_.Run(Ort::RunOptions{}, names, inputs.data(), inputs.size(), wanted, 1);
        const int64_t steps = out[0].GetTensorTypeAndShapeInfo().GetShape()[2];
        const int64_t* ids = out[0].GetTensorData<int64_t>();  // (1, K, T), best first
        std::vector<int> translation;
        for (int64_t t = 0; t < steps; ++t) {
            if (ids[t] > EOS) translation.push_back(static_cast<int>(ids[t]));
        }
        std::string text;
        check(target_.Decode(translation, &text));
        return normalise(text);
    }

    template <typename T>
    Ort::Value tensor(T* data, size_t count, const int64_t* shape, size_t rank) {
        return Ort::Value::CreateTensor<T>(memory_, data, count, shape, rank);
    }

    std::string metadata(const std::string& key) {
        const auto all = session_.GetModelMetadata();
        const auto value = all.LookupCustomMetadataMapAllocated(("dragoman." + key).c_str(), allocator_);
        return value ? value.get() : "";
    }

    static std::string number(const std::string& json, const std::string& key) {
        std::smatch found;
        const std::regex pattern("\"" + key + "\": *([-+0-9.eE]+)");
        return std::regex_search(json, found, pattern) ? found[1].str() : throw std::runtime_error("no " + key);
    }

    static void check(const sentencepiece::util::Status& status) {
        if (!status.ok()) throw std::runtime_error(status.ToString());
    }

    Ort::AllocatorWithDefaultOptions allocator_;
    Ort::Env environment_{ORT_LOGGING_LEVEL_ERROR};
    Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    Ort::Session session_;
    sentencepiece::SentencePieceProcessor source_, target_;
    size_t longest_source_ = 0;
    int64_t max_length_ = 0;
    float length_penalty_ = 1;
    int64_t beam = 1;
};
}  // namespace

int main(int argc, char** argv) try {
    if (argc < 2) throw std::runtime_error("usage: dragoman FILE.onnx [BEAM] < source > translation");
    Translator translate(argv[1]);
    if (argc > 2) translate.beam = std::stoll(argv[2]);
    std::string line;
    for (size_t number = 1; std::getline(std::cin, line); ++number) try {
        std::cout << translate(line) << '\n';
    } catch (const std::length_error& error) {
        std::cerr << "dragoman: line " << number << " " << error.what() << '\n';
        std::cout << '\n';
    }
    if (!std::cout.flush()) throw std::runtime_error("cannot write the translations");
    return 0;
} catch (const std::exception& error) {
    std::cerr << "dragoman: " << error.what() << '\n';
    return 2;
}
