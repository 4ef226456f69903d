// A translator from a Dragoman file, with ONNX Runtime's C++ API.
//
// The file holds the encoder, the beam search, the tokenizers and the default settings. A host tokenises, runs the
// graph and detokenises. Names of tensors and metadata are those of runtime/contract.py and runtime/metadata.py; they
// are described in docs/file-format.md.
//
// Unlike the Python runtime, it:
// - does not split text. A text that is longer than the model takes is an error. Give it one sentence: a model trained
//   on single sentences may omit the others.
// - protects no URLs, placeholders and the like.
// - does not report a translation that reached the largest allowed length.
// - translates one text at a time, without batches.
// - checks neither the file's checksum nor its self-test.
#pragma once
#include <onnxruntime_cxx_api.h>

#include <array>
#include <memory>
#include <regex>

#include "tokenizer.h"

struct Translation {
    std::string text;
    float score = 0;  // log-probability / length ** length_penalty
};

class Translator {
public:
    // Throws std::runtime_error, or Ort::Exception, for a file that is no model.
    explicit Translator(const std::string& path) : session_(nullptr) {
        Ort::SessionOptions options;
        options.SetIntraOpNumThreads(1);
        options.DisableCpuMemArena();
        session_ = Ort::Session(environment_, path.c_str(), options);
        if (metadata("schema") != "1") {
            throw std::runtime_error(path + " is not a Dragoman model with schema 1; `dragoman export` makes one");
        }
        const std::string version = metadata("normalisation");
        const int normalisation = version.empty() ? 1 : std::stoi(version);
        if (normalisation > NORMALISATION) throw std::runtime_error(path + " needs a newer version of this program");
        const std::string source = from_base64(metadata("source_tokenizer"));
        const std::string target = from_base64(metadata("target_tokenizer"));
        source_ = std::make_unique<Tokenizer>(source, normalisation);
        target_ = std::make_unique<Tokenizer>(target.empty() ? source : target, normalisation);
        max_source_ = std::stoul(metadata("max_source"));
        const std::string defaults = metadata("defaults");
        beam_size = std::stoll(number(defaults, "beam_size"));
        max_length = std::stoll(number(defaults, "max_length"));
        length_penalty = std::stof(number(defaults, "length_penalty"));
    }

    // Throws std::length_error for a text that is longer than the model takes.
    Translation operator()(const std::string& text) {
        std::vector<int64_t> source = source_->encode(text);
        if (source.size() == 1) return {};  // the text is empty or has only spaces
        if (source.size() > max_source_) {
            throw std::length_error("the text is longer than the model takes; its translation is left empty");
        }
        int64_t length = static_cast<int64_t>(source.size()), n_best = 1;
        int64_t attended = 0;  // hypotheses to return attention for; the tensor's name in the contract
        const std::array<int64_t, 2> shape{1, length};
        std::vector<Ort::Value> inputs;
        inputs.push_back(tensor(source.data(), source.size(), shape.data(), 2));
        inputs.push_back(tensor(&length, 1, shape.data(), 1));
        for (int64_t* scalar : {&beam_size, &n_best, &max_length}) {
            inputs.push_back(tensor(scalar, 1, shape.data(), 0));
        }
        inputs.push_back(tensor(&length_penalty, 1, shape.data(), 0));
        inputs.push_back(tensor(&attended, 1, shape.data(), 0));
        const char* names[] = {"source",     "source_length",  "beam_size", "n_best",
                               "max_length", "length_penalty", "attended"};
        const char* outputs[] = {"target", "score"};
        const auto result = session_.Run(Ort::RunOptions{}, names, inputs.data(), inputs.size(), outputs, 2);
        const int64_t steps = result[0].GetTensorTypeAndShapeInfo().GetShape()[2];
        const int64_t* ids = result[0].GetTensorData<int64_t>();  // (1, K, T), best first
        return {target_->decode(ids, static_cast<size_t>(steps)), *result[1].GetTensorData<float>()};
    }

    int64_t beam_size = 1;
    int64_t max_length = 0;  // in ids
    float length_penalty = 1;

private:
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

    static std::string from_base64(const std::string& text) {
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

    Ort::AllocatorWithDefaultOptions allocator_;
    Ort::Env environment_{ORT_LOGGING_LEVEL_ERROR};
    Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    Ort::Session session_;
    std::unique_ptr<Tokenizer> source_, target_;
    size_t max_source_ = 0;
};
