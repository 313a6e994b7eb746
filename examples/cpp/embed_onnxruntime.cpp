#include <onnxruntime_cxx_api.h>

#include "embed.hpp"

std::vector<float> embed(const std::string& model, std::vector<float>& pixels, int n) {
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR);
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(env, model.c_str(), options);

  const int64_t shape[] = {n, 3, SIZE, SIZE};
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  auto input = Ort::Value::CreateTensor<float>(memory, pixels.data(), pixels.size(), shape, 4);
  const char* inputs[] = {"images"};
  const char* outputs[] = {"embeddings"};
  auto results = session.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 1);
  const float* first = results[0].GetTensorData<float>();
  return {first, first + results[0].GetTensorTypeAndShapeInfo().GetElementCount()};
}
