#include "runtime/formats/npy.h"

#include <cstring>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"

namespace gptc {
namespace {

TEST(Npy, FileIsAsNumpyReadsIt) {
  const std::string path = ::testing::TempDir() + "/losses.npy";
  std::vector<float> values(6);
  std::iota(values.begin(), values.end(), 0.5f);
  {
    auto writer = NpyWriter::Create(path, 2, 3);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE(writer->Append(std::span(values).first(4)).ok());
    ASSERT_TRUE(writer->Append(std::span(values).subspan(4)).ok());
    ASSERT_TRUE(writer->Finish().ok());
  }
  auto bytes = ReadFileToString(path);
  ASSERT_TRUE(bytes.ok());
  ASSERT_EQ(bytes->size(), 128 + 24u);
  EXPECT_EQ(bytes->substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  EXPECT_EQ(bytes->substr(10, 60), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } ");
  EXPECT_EQ((*bytes)[127], '\n');
  std::vector<float> back(6);
  std::memcpy(back.data(), bytes->data() + 128, 24);
  EXPECT_EQ(back, values);
}

TEST(Npy, FolderThatIsNotThereIsAnError) {
  EXPECT_FALSE(NpyWriter::Create(::testing::TempDir() + "/no/such/folder/x.npy", 1, 1).ok());
}

}  // namespace
}  // namespace gptc
