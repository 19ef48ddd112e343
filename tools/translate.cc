// SPDX-License-Identifier: Apache-2.0
// iommusim translate: a list of requests in, a list of answers out.
#include "tools/commands.h"
#include "tools/error.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/requests.h"
#include "tools/snapshot.h"

#include <unistd.h>

namespace po = boost::program_options;

namespace ims {

int cmd_translate(int argc, char **argv) {
  Options o(
      "translate SNAPSHOT... --requests FILE.tsv [options]",
      "Answers translation requests out of a snapshot: *.regs, ELF64 cores and FILE@ADDRESS (raw memory), in any\n"
      "number and order. Requests are TSV with the columns source, pasid, access, iova and perhaps type; answers\n"
      "repeat them and add status, output, page, fault, record, refs. Each request starts with all caches empty;\n"
      "a translation does not profit from what it has read itself either. Accessed and dirty bits are set in the\n"
      "program's copy of the memory and stay set from request to request; no answer depends on them.",
      "  iommusim translate mem.elf iommu.regs --requests requests.tsv -o answers.tsv");
  o.positional("snapshot", "files", -1);
  add_config_options(o, "what the snapshot says");
  o.add()("requests,r", po::value<std::string>()->value_name("FILE.tsv"),
          "the requests; - is standard input")("warm", "caches live on from request to request, sized as configured")(
      "output,o", po::value<std::string>()->value_name("FILE"), "answers go here, whole or not at all");
  if (!o.parse(argc, argv))
    return 0;
  if (!o.has("snapshot"))
    fail("translate: no snapshot, expected files: *.regs, ELF64 cores, FILE@ADDRESS");
  if (!o.has("requests"))
    fail("translate: no --requests, expected a TSV file");

  bool warm = o.has("warm");
  Snapshot snapshot(o.list("snapshot"), config_sources(o), warm ? Snapshot::CACHES_CONFIGURED : Snapshot::CACHES_NONE);
  RequestReader requests(o.text("requests"), snapshot.arch().source_bits);
  Output output(o.text("output"));

  bool progress = isatty(STDERR_FILENO) && !(o.text("output").empty() && isatty(STDOUT_FILENO));
  unsigned long count = 0;
  std::string block = requests.header() + answer_columns + "\n";
  ims_request request;
  try {
    while (requests.next(&request)) {
      ims_result result;
      ims_translate(snapshot.iommu(), &request, &result);
      if (snapshot.arch().forget)
        snapshot.arch().forget(snapshot.iommu(), result);
      block += requests.line();
      append_answer(&block, result);
      block += '\n';
      if (block.size() > 1 << 16) {
        output.write(block);
        block.clear();
      }
      if (++count % (1 << 18) == 0 && progress)
        std::fprintf(stderr, "\r%lu requests", count);
    }
  } catch (...) {
    if (progress && count >> 18)
      std::fprintf(stderr, "\n");
    throw;
  }
  output.write(block);
  output.commit();
  if (progress && count >> 18)
    std::fprintf(stderr, "\r%lu requests\n", count);
  return 0;
}

} // namespace ims
