// Prints score, tab and translation of each line of standard input: `translate FILE.onnx [BEAM [PENALTY LENGTH]]`.
#include <iostream>

#include "../../runtime/cpp/translator.h"

int main(int argc, char** argv) {
    Translator translate(argv[1]);
    if (argc > 2) translate.beam_size = std::stoll(argv[2]);
    if (argc > 4) translate.length_penalty = std::stof(argv[3]), translate.max_length = std::stoll(argv[4]);
    for (std::string line; std::getline(std::cin, line);) {
        const Translation found = translate(line);
        std::cout << found.score << '\t' << found.text << '\n';
    }
}
