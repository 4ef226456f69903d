// Converts standard input line by line with a SentencePiece model: `tokenise MODEL VERSION` prints the ids of texts, and
// `tokenise MODEL VERSION ids` the text of ids. VERSION is that of the rules for text.
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "../../runtime/cpp/tokenizer.h"

int main(int argc, char** argv) {
    std::ifstream file(argv[1], std::ios::binary);
    const Tokenizer tokenizer({std::istreambuf_iterator<char>(file), {}}, std::stoi(argv[2]));
    for (std::string line; std::getline(std::cin, line);) {
        if (argc > 3) {
            std::istringstream words(line);
            const std::vector<int64_t> ids{std::istream_iterator<int64_t>(words), {}};
            std::cout << tokenizer.decode(ids.data(), ids.size());
        } else {
            for (int64_t id : tokenizer.encode(line)) std::cout << id << ' ';
        }
        std::cout << '\n';
    }
}
