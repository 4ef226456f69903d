// Translates standard input line by line with a Dragoman file, using ONNX Runtime's C++ API, SentencePiece, and ICU for
// Unicode normalisation.
//
//   dragoman FILE.onnx [BEAM] < source > translation
//
// The file holds the encoder, the beam search, the tokenizers and the default settings. A host tokenises, runs the
// graph and detokenises. Names of tensors and metadata are those of runtime/contract.py and runtime/metadata.py; they
// are described in docs/file-format.md.
//
// Unlike the Python runtime, this example:
// - does not split text. It reports a line that is longer than the model takes and leaves its translation empty. Give
//   it one sentence a line: a model trained on single sentences may omit the others.
// - does not report a translation that reached the largest allowed length.
// - translates one line at a time, without batches.
// - checks neither the file's checksum nor its self-test.
#include <onnxruntime_cxx_api.h>
#include <sentencepiece_processor.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <regex>
#include <vector>

#include "normalisation.h"

namespace {
constexpr int64_t EOS = 3;  // `</s>`; ids 0 to 2 are `<pad>`, `<unk>` and `<s>`

std::string from_base64(const std::string& text) {
    static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    uint32_t bits = 0;
    int count = 0;
    for (char c : text) {
        const auto value = alphabet.find(c);  // npos for the padding at the end
        if (value == std::string::npos) break;
        bits = bits << 6 | static_cast<uint32_t>(value);
        if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xff);
    }
    return out;
}

struct Translator {
    explicit Translator(const std::string& path) : session_(nullptr) {
        Ort::SessionOptions options;
        options.SetIntraOpNumThreads(1);
        options.DisableCpuMemArena();
        session_ = Ort::Session(environment_, path.c_str(), options);
        if (metadata("schema") != "1") {
            throw std::runtime_error(path + " is not a Dragoman model with schema 1; `dragoman export` makes one");
        }
        const std::string source = from_base64(metadata("source_tokenizer"));
        const std::string target = from_base64(metadata("target_tokenizer"));
        check(source_.LoadFromSerializedProto(source));
        check(target_.LoadFromSerializedProto(target.empty() ? source : target));
        max_source_ = std::stoul(metadata("max_source"));
        const std::string normalisation = metadata("normalisation");
        normalisation_ = normalisation.empty() ? 1 : std::stoi(normalisation);
        if (normalisation_ > NORMALISATION) throw std::runtime_error(path + " needs a newer version of this program");
        const std::string defaults = metadata("defaults");
        beam_size = std::stoll(number(defaults, "beam_size"));
        max_length_ = std::stoll(number(defaults, "max_length"));
        length_penalty_ = std::stof(number(defaults, "length_penalty"));
    }

    std::string operator()(const std::string& line) {
        std::vector<int> subword_ids;
        check(source_.Encode(normalise(line, normalisation_), &subword_ids));
        if (subword_ids.empty()) return "";  // the line is empty or has only spaces
        std::vector<int64_t> source(subword_ids.begin(), subword_ids.end());
        source.push_back(EOS);
        if (source.size() > max_source_) {
            throw std::length_error("the text is longer than the model takes; its translation is left empty");
        }
        int64_t length = static_cast<int64_t>(source.size()), n_best = 1;
        int64_t attended = 0;  // hypotheses to return attention for; the tensor's name in the contract
        const std::array<int64_t, 2> shape{1, length};
        std::vector<Ort::Value> inputs;
        inputs.push_back(tensor(source.data(), source.size(), shape.data(), 2));
        inputs.push_back(tensor(&length, 1, shape.data(), 1));
        for (int64_t* scalar : {&beam_size, &n_best, &max_length_}) {
            inputs.push_back(tensor(scalar, 1, shape.data(), 0));
        }
        inputs.push_back(tensor(&length_penalty_, 1, shape.data(), 0));
        inputs.push_back(tensor(&attended, 1, shape.data(), 0));
        const char* names[] = {"source",     "source_length",  "beam_size", "n_best",
                               "max_length", "length_penalty", "attended"};
        const char* outputs[] = {"target"};
        const auto result = session_.Run(Ort::RunOptions{}, names, inputs.data(), inputs.size(), outputs, 1);
        const int64_t steps = result[0].GetTensorTypeAndShapeInfo().GetShape()[2];
        const int64_t* ids = result[0].GetTensorData<int64_t>();  // (1, K, T), best first
        std::vector<int> translation;
        for (int64_t t = 0; t < steps; ++t) {
            if (ids[t] > EOS) translation.push_back(static_cast<int>(ids[t]));
        }
        std::string text;
        check(target_.Decode(translation, &text));
        return normalise(text, normalisation_);
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
        std::smatch match;
        const std::regex pattern("\"" + key + "\": *([-+0-9.eE]+)");
        return std::regex_search(json, match, pattern)
                   ? match[1].str()
                   : throw std::runtime_error("the file's defaults have no number for " + key);
    }

    static void check(const sentencepiece::util::Status& status) {
        if (!status.ok()) throw std::runtime_error(status.ToString());
    }

    Ort::AllocatorWithDefaultOptions allocator_;
    Ort::Env environment_{ORT_LOGGING_LEVEL_ERROR};
    Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    Ort::Session session_;
    sentencepiece::SentencePieceProcessor source_, target_;
    size_t max_source_ = 0;
    int normalisation_ = 1;
    int64_t max_length_ = 0;
    float length_penalty_ = 1;
    int64_t beam_size = 1;
};
}  // namespace

int main(int argc, char** argv) try {
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // before the first call of ONNX Runtime, which may else contact a host
    if (argc < 2) throw std::runtime_error("usage: dragoman FILE.onnx [BEAM] < source > translation");
    Translator translate(argv[1]);
    if (argc > 2) translate.beam_size = std::stoll(argv[2]);
    std::string line;
    for (size_t number = 1; std::getline(std::cin, line); ++number) try {
        std::cout << translate(line) << '\n';
    } catch (const std::length_error& error) {
        std::cerr << "dragoman: line " << number << ": " << error.what() << '\n';
        std::cout << '\n';
    }
    if (!std::cout.flush()) throw std::runtime_error("cannot write to standard output");
    return 0;
} catch (const std::exception& error) {
    std::cerr << "dragoman: " << error.what() << '\n';
    return 2;
}
