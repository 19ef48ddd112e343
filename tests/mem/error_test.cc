// SPDX-License-Identifier: Apache-2.0
// The table of errors: names, sentences, and what stands for none of them.
#include "mem/error.h"
#include <gtest/gtest.h>
#include <set>
#include <string>

TEST(Error, NamesAndSentencesComeFromTheTable) {
  EXPECT_STREQ(ims_error_name(IMS_ERR_BUS), "BUS");
  EXPECT_STREQ(ims_strerror(IMS_ERR_BUS), "no memory at this address");
  EXPECT_STREQ(ims_error_name(IMS_ERR_OK), "OK");
  EXPECT_STREQ(ims_strerror(0), "no error");
}

TEST(Error, AnyIntegerIsTaken) {
  for (int err : {1, -1000, 2147483647, -2147483647 - 1}) {
    EXPECT_STREQ(ims_error_name(err), "?");
    EXPECT_STREQ(ims_strerror(err), "unknown error");
  }
}

TEST(Error, ValuesNamesAndSentencesAreDistinct) {
  std::set<int> values;
  std::set<std::string> names, sentences;
  int rows = 0;
#define IMS_X(name, value, sentence)                                                                                   \
  rows++;                                                                                                              \
  values.insert(value);                                                                                                \
  names.insert(#name);                                                                                                 \
  sentences.insert(sentence);                                                                                          \
  EXPECT_LE(value, 0);
  IMS_ERRORS(IMS_X)
#undef IMS_X
  EXPECT_EQ(values.size(), static_cast<size_t>(rows));
  EXPECT_EQ(names.size(), static_cast<size_t>(rows));
  EXPECT_EQ(sentences.size(), static_cast<size_t>(rows));
}
