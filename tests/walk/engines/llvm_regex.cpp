// Henry Spencer's regular expressions, as LLVM carries them on: a near relative of what MySQL used up to 5.7.
// Arguments: a file of ids and a file of patterns, one a line. For each pattern one line: how many ids match and their
// sum, or "invalid" and why.
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Regex.h"

#include <fstream>
#include <iostream>
#include <string>
#include <vector>

int main(int count, char **arguments) {
  if (count != 3) return 2;
  std::vector<std::string> ids;
  std::string line;
  for (std::ifstream file(arguments[1]); std::getline(file, line);) ids.push_back(line);
  for (std::ifstream file(arguments[2]); std::getline(file, line);) {
    llvm::Regex pattern(line);
    std::string why;
    if (!pattern.isValid(why)) {
      std::cout << "invalid " << why << '\n';
      continue;
    }
    unsigned long long matched = 0, sum = 0;
    for (const auto &id : ids)
      if (pattern.match(id)) {
        ++matched;
        sum += std::stoull(id);
      }
    std::cout << matched << ' ' << sum << '\n';
  }
}
