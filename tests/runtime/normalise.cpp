// Prints each line of standard input normalised by the version of the rules that the argument names.
#include <iostream>

#include "../../runtime/cpp/normalisation.h"

int main(int, char** argv) {
    for (std::string line; std::getline(std::cin, line);) std::cout << normalise(line, std::stoi(argv[1])) << '\n';
}
