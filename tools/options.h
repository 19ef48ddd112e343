// SPDX-License-Identifier: Apache-2.0
// The command line of a subcommand: Boost.Program_options with the manners of this program. Unknown options name the
// nearest one, --help is printed from the same table, everything wrong is BadInput.
#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <vector>

namespace ims {

class Options {
public:
  // `usage`: "walk SNAPSHOT... --iova ADDR [options]"; `sentence`: what the command does; `example`: one or more lines.
  Options(const char *usage, const char *sentence, const char *example);

  // Options are added to this, as Boost.Program_options has it.
  boost::program_options::options_description_easy_init add() { return named_.add_options(); }

  // Words without a dash go to the option `name` (vector<string>), up to `most` of them (-1: any number).
  void positional(const char *name, const char *sentence, int most);

  // Parses. False: --help was asked for and has been printed.
  bool parse(int argc, char **argv);

  bool has(const char *name) const { return values_.count(name) != 0; }
  bool given(const char *name) const { return values_.count(name) != 0 && !values_[name].defaulted(); }
  template <class T> const T &get(const char *name) const { return values_[name].template as<T>(); }
  std::string text(const char *name) const { return has(name) ? get<std::string>(name) : std::string(); }
  std::vector<std::string> list(const char *name) const {
    return has(name) ? get<std::vector<std::string>>(name) : std::vector<std::string>();
  }

private:
  void print_help() const;
  std::string usage_, sentence_, example_;
  boost::program_options::options_description named_, all_;
  boost::program_options::positional_options_description places_;
  boost::program_options::variables_map values_;
};

} // namespace ims
