// compare_crops MODEL A.ppm B.ppm THRESHOLD: are two aligned faces the same person?
//
// A crop is a binary PPM of 112x112 pixels, aligned to the "positions" of model.json:
//   visavis embed photo.jpg ... or a detector of yours and a similarity transform.
// Exit status: 0 the same, 1 different, 2 an error.
#include <exception>
#include <fstream>
#include <iostream>
#include <limits>
#include <stdexcept>

#include "embed.hpp"

// Reads a crop and appends its planes.
static void read_ppm(const std::string& path, std::vector<float>& pixels) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  int width = 0, height = 0, white = 0;
  file >> magic >> width >> height >> white;
  file.ignore(1);
  if (!file || magic != "P6" || width != SIZE || height != SIZE || white != 255) {
    throw std::runtime_error(path + ": not a binary PPM of 112x112 pixels with 8 bits");
  }
  std::vector<char> bytes(3 * SIZE * SIZE);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    throw std::runtime_error(path + ": ends early");
  }
  for (int channel = 0; channel < 3; ++channel) {
    for (int k = 0; k < SIZE * SIZE; ++k) {
      pixels.push_back(static_cast<unsigned char>(bytes[3 * k + channel]));
    }
  }
}

int main(int count, char** arguments) try {
  if (count != 5) {
    std::cerr << "usage: compare_crops MODEL A.ppm B.ppm THRESHOLD\n";
    return 2;
  }
  const float threshold = std::stof(arguments[4]);
  std::vector<float> pixels;
  read_ppm(arguments[2], pixels);
  read_ppm(arguments[3], pixels);
  const auto templates = embed(arguments[1], pixels, 2);
  const size_t dimension = templates.size() / 2;
  float score = 0;  // cosine similarity: both have unit length
  for (size_t k = 0; k < dimension; ++k) score += templates[k] * templates[dimension + k];
  std::cout.precision(std::numeric_limits<float>::max_digits10);
  std::cout << score << (score >= threshold ? " same\n" : " different\n");
  return score >= threshold ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 2;
}
