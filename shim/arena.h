// SPDX-License-Identifier: Apache-2.0
// The arena: one shared mapping, made before main at one address and inherited over fork, in which the whole state of the
// simulator lies. Everything that the library links allocates here (malloc, new and mmap are wrapped at link time), so that
// all processes of a program see one machine. Pages are backed by the host when they are used.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Makes the arena; false: the host refuses. The largest of a few sizes that it gives.
bool shim_arena_init(void);
bool shim_arena_has(const void *p);

// What malloc and its like become. Safe from any thread and process; NULL when the arena is full. Before
// shim_arena_init() they are the C library's.
void *shim_alloc(size_t size);
void *shim_zalloc(size_t size);
void *shim_realloc(void *p, size_t size);
void shim_free(void *p);

// Whole pages, filled with zero.
void *shim_pages(size_t size);
void shim_pages_free(void *p, size_t size);

#ifdef __cplusplus
}
#endif
