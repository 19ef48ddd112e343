// SPDX-License-Identifier: Apache-2.0
#include "iommu/option.h"

const char *const ims_words_replacement[] = {"lru", "plru", "fifo", "random", NULL};
const char *const ims_words_own_replacement[] = {"lru", "plru", "fifo", "random", "common", NULL};
const char *const ims_words_off_on[] = {"off", "on", NULL};
