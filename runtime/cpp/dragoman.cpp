// Translates standard input line by line with a Dragoman file, using ONNX Runtime, SentencePiece and ICU.
//
//   dragoman FILE.onnx [BEAM] < source > translation
//
// A line that is longer than the model takes is reported, and its translation is left empty. translator.h says what
// else differs from the Python runtime.
#include <cstdlib>
#include <iostream>

#include "translator.h"

int main(int argc, char** argv) try {
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // before the first call of ONNX Runtime, which may else contact a host
    if (argc < 2) throw std::runtime_error("usage: dragoman FILE.onnx [BEAM] < source > translation");
    Translator translate(argv[1]);
    if (argc > 2) translate.beam_size = std::stoll(argv[2]);
    std::string line;
    for (size_t number = 1; std::getline(std::cin, line); ++number) try {
        std::cout << translate(line).text << '\n';
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
