// SPDX-License-Identifier: Apache-2.0
// Calls written down as text and put together by the table of uapi/layout.h: a good call of each ioctl, and what is changed
// in it for a case. A value is a number or a name of the world that the call is made in ("ioas", "memory").
#pragma once

#include "tests/uapi/machine.h"
#include <map>
#include <sstream>

namespace uapi_test {

using Symbols = std::map<std::string, uint64_t>;

// "a=1 b=ioas" in order. A value may be NAME+NUMBER.
inline std::vector<std::pair<std::string, std::string>> Assignments(const std::string &text) {
  std::vector<std::pair<std::string, std::string>> out;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    size_t eq = word.find('=');
    if (eq == word.npos) {
      ADD_FAILURE() << "no value: " << word;
      continue;
    }
    out.emplace_back(word.substr(0, eq), word.substr(eq + 1));
  }
  return out;
}

inline uint64_t ValueOf(const Symbols &symbols, const std::string &text) {
  size_t plus = text.find('+', 1);
  if (plus != text.npos)
    return ValueOf(symbols, text.substr(0, plus)) + ValueOf(symbols, text.substr(plus + 1));
  if (text[0] == '-')
    return ~ValueOf(symbols, text.substr(1)) + 1;
  if (text[0] >= '0' && text[0] <= '9')
    return std::strtoull(text.c_str(), nullptr, 0);
  auto found = symbols.find(text);
  if (found == symbols.end()) {
    ADD_FAILURE() << "unknown name: " << text;
    return 0;
  }
  return found->second;
}

// The bytes of a call: the argument at kBase, what lies apart behind it.
struct CallBytes {
  static constexpr uint64_t kApart = Arena::kBase + 1024, kStride = 1024;
  std::vector<uint8_t> argument;
  struct Blob {
    uint64_t at;
    std::vector<uint8_t> bytes;
  };
  std::vector<Blob> apart;
};

inline CallBytes BuildCall(const ims_uapi_ioctl &row, const std::string &text, const Symbols &symbols) {
  CallBytes call;
  call.argument.resize(row.size);
  auto put = [](std::vector<uint8_t> &bytes, size_t at, unsigned width, uint64_t value) {
    if (bytes.size() < at + width)
      bytes.resize(at + width);
    std::memcpy(&bytes[at], &value, width < 8 ? width : 8);
  };
  const ims_uapi_struct *head = row.part[0].layout;
  if (head && (!std::strcmp(head->field[0].name, "size") || !std::strcmp(head->field[0].name, "argsz")))
    put(call.argument, 0, 4, row.size);
  if (row.flags_mask)
    put(call.argument, 4, 4, row.flags_value);
  if (row.granularity != 0xff)
    call.argument.at(row.granularity_offset) = row.granularity;
  // Structures inside that say their own size.
  for (const ims_uapi_part &p : row.part)
    if (p.layout && !p.pointer && p.offset && !std::strcmp(p.layout->field[0].name, "argsz"))
      put(call.argument, p.offset, 4, row.size - p.offset);
  for (const ims_uapi_part &p : row.part) {
    if (!p.layout || !p.pointer)
      continue;
    call.apart.push_back(
        {CallBytes::kApart + call.apart.size() * CallBytes::kStride, std::vector<uint8_t>(p.layout->size)});
    put(call.argument, p.pointer, 8, call.apart.back().at);
    if (p.length)
      put(call.argument, p.length, 4, p.layout->size);
    if (p.count)
      put(call.argument, p.count, 4, 1);
  }
  for (const auto &[key, value] : Assignments(text)) {
    uint64_t v = ValueOf(symbols, value);
    bool known = false;
    size_t blob = 0;
    for (const ims_uapi_part &p : row.part) {
      if (!p.layout)
        break;
      std::string prefix = p.prefix, rest;
      uint64_t index = 0;
      if (p.pointer && !prefix.empty()) { // "data.x", "data1.x"
        std::string stem = prefix.substr(0, prefix.size() - 1);
        size_t dot = key.find('.');
        if (dot == key.npos || key.compare(0, stem.size(), stem) || dot < stem.size()) {
          blob++;
          continue;
        }
        std::string number = key.substr(stem.size(), dot - stem.size());
        index = number.empty() ? 0 : std::strtoull(number.c_str(), nullptr, 10);
        rest = key.substr(dot + 1);
      } else {
        if (key.compare(0, prefix.size(), prefix))
          continue;
        rest = key.substr(prefix.size());
      }
      for (unsigned i = 0; i < p.layout->fields && !known; i++) {
        const ims_uapi_field &f = p.layout->field[i];
        if (rest != f.name)
          continue;
        known = true;
        if (p.pointer) {
          auto &bytes = call.apart[blob].bytes;
          if (bytes.size() < (index + 1) * p.layout->size)
            bytes.resize((index + 1) * p.layout->size);
          put(bytes, index * p.layout->size + f.offset, f.bytes, v);
          uint32_t count = 0;
          if (p.count)
            std::memcpy(&count, &call.argument[p.count], 4);
          if (p.count && count < index + 1)
            put(call.argument, p.count, 4, index + 1);
        } else if (f.form == IMS_FORM_PAD) { // its first byte
          put(call.argument, p.offset + f.offset, 1, v);
        } else {
          put(call.argument, p.offset + f.offset, f.bytes, v);
        }
      }
      if (p.pointer)
        blob++;
    }
    if (!known)
      ADD_FAILURE() << row.name << "/" << row.variant << ": no field " << key;
  }
  return call;
}

// Puts the bytes where the program's arena is and makes the call.
inline long MakeCall(Machine &m, ims_file *f, uint32_t word, const CallBytes &call) {
  for (const CallBytes::Blob &b : call.apart)
    m.arena.PutBytes(b.bytes.data(), b.bytes.size(), b.at);
  return ims_ioctl(f, word, m.arena.PutBytes(call.argument.data(), call.argument.size()));
}

} // namespace uapi_test
