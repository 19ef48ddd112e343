// SPDX-License-Identifier: Apache-2.0
// Command lines.
#include "tools/options.h"
#include "tools/error.h"
#include "trace/nearest.h"

#include <iostream>

namespace po = boost::program_options;

namespace ims {

Options::Options(const char *usage, const char *sentence, const char *example)
    : usage_(usage), sentence_(sentence), example_(example), named_("Options", 100, 50) {
  named_.add_options()("help,h", "this text");
}

void Options::positional(const char *name, const char *sentence, int most) {
  all_.add_options()(name, po::value<std::vector<std::string>>(), sentence);
  places_.add(name, most);
}

void Options::print_help() const {
  std::cout << "Usage: iommusim " << usage_ << "\n\n" << sentence_ << "\n\n" << named_;
  if (!example_.empty())
    std::cout << "\nExample:\n" << example_ << "\n";
}

bool Options::parse(int argc, char **argv) {
  // Asking for help wins over whatever else is wrong with the line.
  for (int i = 1; i < argc; i++) {
    std::string_view word = argv[i];
    if (word == "--")
      break;
    if (word == "--help" || word == "-h") {
      print_help();
      return false;
    }
  }
  size_t space = usage_.find(' ');
  std::string command = usage_.substr(0, space);
  all_.add(named_);
  int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  try {
    po::store(po::command_line_parser(argc, argv).options(all_).positional(places_).style(style).run(), values_);
    po::notify(values_);
  } catch (const po::unknown_option &e) {
    std::string word = e.get_option_name();
    std::vector<std::string> names;
    for (const auto &option : named_.options())
      names.push_back("--" + option->long_name());
    fail("%s: unknown option %s; the nearest is %s", command.c_str(), quoted(word).c_str(),
         nearest(word, names).c_str());
  } catch (const po::too_many_positional_options_error &) {
    fail("%s: too many words; expected: iommusim %s", command.c_str(), usage_.c_str());
  } catch (const po::error &e) {
    fail("%s: %s; see iommusim %s --help", command.c_str(), e.what(), command.c_str());
  }
  return true;
}

} // namespace ims
