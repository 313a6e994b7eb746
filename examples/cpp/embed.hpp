#pragma once

#include <string>
#include <vector>

constexpr int SIZE = 112;  // side of a crop, "input": {"size"} of model.json

// Returns the templates of crops, one row each, of unit length.
//   pixels: n * 3 * SIZE * SIZE values 0 to 255, the planes red, green, blue of each crop.
std::vector<float> embed(const std::string& model, std::vector<float>& pixels, int n);
