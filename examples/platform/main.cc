// SPDX-License-Identifier: Apache-2.0
// A platform of somebody else's (ram.h, dma.h, and the processor below) around an IOMMU out of iommusim:
//
//   dma ----> iommu ----> ram          cpu --registers--> iommu --interrupt--> cpu
//
// The processor builds page tables in the RAM, programs the IOMMU, lets the engine read through it, takes the page away,
// invalidates, and is told of the fault that follows.
#include "dma.h"
#include "ram.h"

#include "iommu/vtd/vtd.h"
#include "model/iommu.h"
#include "pasid/vtd.h"
#include "pgtable/build.h"

#include <cstdio>
#include <cstdlib>
#include <string>

using namespace sc_core;
using namespace ims::model; // Iommu, IommuConfig, IommuObserver, DmaExtension

enum : uint32_t { SOURCE = 0x0018 /* 00:03.0 */, PASID = 5, DOMAIN_ID = 1 };
enum : uint64_t { IOVA = 0x7000'0000'0000, PAGE = 0x40'0000, MEMORY = 16 << 20 };
enum : uint64_t {
  QUEUE = 0x1000,
  STATUS = 0x3000,
  ROOT = 0x4000,
  CONTEXT = 0x5000,
  DIRECTORY = 0x6000,
  PASIDS = 0x7000
};

static void check(bool ok, const char *what) {
  if (ok)
    return;
  fprintf(stderr, "platform: %s\n", what);
  exit(1);
}

// Told of every step that a translation takes, with its time: prints it.
class Story : public IommuObserver {
  void step(Ticks begin, Ticks end, uint64_t, unsigned, ims_step_kind kind, const ims_step &s, bool hit) override {
    std::string what = kind == IMS_STEP_PROBE
                           ? std::string("look into the ") + ims_cache_name(s.cache) + (hit ? ": hit" : "")
                           : std::string("read the ") + ims_structure_name(s.what);
    if (kind != IMS_STEP_PROBE && s.level)
      what += ", level " + std::to_string(s.level);
    if (kind == IMS_STEP_UPDATE)
      what = "set accessed or dirty in the " + std::string(ims_structure_name(s.what));
    printf("  %8.3f ns  + %6.3f  %s\n", begin / 1000.0, (end - begin) / 1000.0, what.c_str());
  }
};

class Cpu : public sc_module {
public:
  tlm_utils::simple_initiator_socket<Cpu> registers;
  tlm_utils::simple_target_socket<Cpu> interrupts;

  Cpu(sc_module_name name, Iommu &iommu, ims_mem &memory, Dma &dma)
      : sc_module(name), registers("registers"), interrupts("interrupts"), iommu_(iommu), memory_(memory), dma_(dma) {
    SC_HAS_PROCESS(Cpu);
    SC_THREAD(run);
    interrupts.register_b_transport(this, &Cpu::interrupt);
  }

private:
  // A load or a store of the processor to a register takes its time.
  uint64_t mmio(bool write, uint32_t offset, unsigned size, uint64_t value = 0) {
    tlm::tlm_generic_payload p;
    p.set_command(write ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND);
    p.set_address(offset);
    p.set_data_ptr(reinterpret_cast<unsigned char *>(&value));
    p.set_data_length(size);
    p.set_streaming_width(size);
    sc_time t = SC_ZERO_TIME;
    registers->b_transport(p, t);
    check(p.is_response_ok(), "a register does not answer");
    wait(t);
    return value;
  }
  void put(uint32_t offset, unsigned size, uint64_t value) { mmio(true, offset, size, value); }
  uint64_t get(uint32_t offset, unsigned size) { return mmio(false, offset, size); }

  // An interrupt message is a write of 4 bytes.
  void interrupt(tlm::tlm_generic_payload &p, sc_time &) {
    memcpy(&message_, p.get_data_ptr(), 4);
    printf("  %8.3f ns  interrupt %u\n", sc_time_stamp().to_seconds() * 1e9, message_);
    p.set_response_status(tlm::TLM_OK_RESPONSE);
    interrupted_.notify();
  }

  // Memory as the builder of page tables wants it: tables come out of the platform's own RAM, one after the other.
  ims_pgt_mem tables() {
    ims_pgt_mem m = {};
    m.ctx = this;
    m.load64 = [](void *me, uint64_t at, uint64_t *v) {
      return ims_mem_load64(&static_cast<Cpu *>(me)->memory_, at, v);
    };
    m.store64 = [](void *me, uint64_t at, uint64_t v) {
      return ims_mem_store64(&static_cast<Cpu *>(me)->memory_, at, v);
    };
    m.alloc = [](void *me, unsigned log2size, uint64_t *at) -> int { // zero as the RAM is at first
      *at = static_cast<Cpu *>(me)->next_table_;
      static_cast<Cpu *>(me)->next_table_ += 1ull << log2size;
      return 0;
    };
    m.free = [](void *, uint64_t, unsigned) {};
    return m;
  }

  void build_tables() {
    // A first stage that maps one page, nested on a second stage that leaves addresses as they are.
    const ims_pgt_mem mem = tables();
    ims_x86_fs_format(&first_format_, 52, true, false);
    first_.fmt = &first_format_;
    first_.levels = 4;
    first_.in_bits = 48;
    ims_vtd_ss_format(&second_format_, 52, true, true, true, false);
    second_.fmt = &second_format_;
    second_.levels = 4;
    second_.in_bits = 48;
    check(!ims_pgt_create(&first_, &mem) && !ims_pgt_create(&second_, &mem), "no page tables");
    check(!ims_pgt_map(&second_, &mem, 0, 0, MEMORY, IMS_PERM_R | IMS_PERM_W, 0, 1), "second stage");
    check(!ims_pgt_map(&first_, &mem, IOVA, PAGE, 4096, IMS_PERM_R | IMS_PERM_W | IMS_PERM_U, IMS_MAP_A, 1),
          "first stage");

    // Root, context, PASID directory, PASID entry: VT-d 9.1 to 9.6.
    uint64_t entry[IMS_VTD_PE_WORDS] = {};
    ims_vtd_pe_set(entry, IMS_VTD_PE_P, 1);
    ims_vtd_pe_set(entry, IMS_VTD_PE_PGTT, IMS_VTD_PGTT_NESTED);
    ims_vtd_pe_set(entry, IMS_VTD_PE_DID, DOMAIN_ID);
    ims_vtd_pe_set(entry, IMS_VTD_PE_PWSNP, 1);
    ims_vtd_pe_set(entry, IMS_VTD_PE_AW, 2); // a second stage of 4 levels
    ims_vtd_pe_set(entry, IMS_VTD_PE_SSPTPTR, second_.root >> 12);
    ims_vtd_pe_set(entry, IMS_VTD_PE_FSPTPTR, first_.root >> 12);
    ims_mem_write(&memory_, PASIDS + ims_vtd_pasid_table_offset(PASID), entry, sizeof entry);
    ims_mem_store64(&memory_, DIRECTORY + ims_vtd_pasid_dir_offset(PASID), PASIDS | 1);
    ims_mem_store64(&memory_, CONTEXT + (SOURCE & 0x7f) * 32, DIRECTORY | 1 << 3 | 1); // with PASIDs; present
    ims_mem_store64(&memory_, ROOT + (SOURCE >> 8) * 16, CONTEXT | 1);
  }

  void program() {
    put(IMS_VTD_OFF_RTADDR, 8, ROOT | IMS_VTD_PUT(RTADDR_TTM, 1)); // scalable mode
    put(IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_SRTP));
    put(IMS_VTD_OFF_IQA, 8, QUEUE | IMS_VTD_BITS(IQA_DW)); // descriptors of 32 bytes
    put(IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_QIE));
    put(IMS_VTD_OFF_IEDATA, 4, 1); // interrupt 1: a wait is over
    put(IMS_VTD_OFF_IEADDR, 4, 0xfee00000);
    put(IMS_VTD_OFF_IECTL, 4, 0);
    put(IMS_VTD_OFF_FEDATA, 4, 2); // interrupt 2: a fault
    put(IMS_VTD_OFF_FEADDR, 4, 0xfee00000);
    put(IMS_VTD_OFF_FECTL, 4, 0);
    put(IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_QIE) | IMS_VTD_BITS(GCMD_TE));
    check(get(IMS_VTD_OFF_GSTS, 4) & IMS_VTD_BITS(GSTS_TES), "translation is not on");
  }

  // VT-d 6.5.2: descriptors into the queue in RAM, one register write, and the interrupt that the wait descriptor asks for.
  void invalidate(uint64_t iova) {
    const uint64_t page[4] = {6 | 3 << 4 | DOMAIN_ID << 16 | uint64_t{PASID} << 32, iova};
    const uint64_t wait_then_tell[4] = {5 | 1 << 4 | 1 << 5 | uint64_t{1} << 32, STATUS};
    ims_mem_write(&memory_, QUEUE, page, sizeof page);
    ims_mem_write(&memory_, QUEUE + 32, wait_then_tell, sizeof wait_then_tell);
    put(IMS_VTD_OFF_IQT, 8, 64);
    wait(interrupted_);
    uint64_t status = 0;
    ims_mem_load64(&memory_, STATUS, &status);
    check(message_ == 1 && static_cast<uint32_t>(status) == 1, "the invalidation is not over");
    put(IMS_VTD_OFF_ICS, 4, IMS_VTD_BITS(ICS_IWC));
  }

  Dma::Outcome read(const char *what, char (&text)[64], bool timed = true) {
    printf("%s\n", what);
    Dma::Outcome o = dma_.access(false, IOVA, text, sizeof text, timed);
    printf("  took %s: %u references, %s\n", o.took.to_string().c_str(), o.result.refs, o.ok ? text : "refused");
    return o;
  }

  void run() {
    // The IOMMU's memory is the platform's: sockets are bound now, so its ims_mem may look through them.
    ims_mem_remote ram = iommu_.behind();
    ims_mem_set_remote(&memory_, &ram);
    build_tables();
    ims_mem_write(&memory_, PAGE, "hello through two stages", 25);
    program();

    char text[64];
    Story story;
    iommu_.observe(&story);
    Dma::Outcome cold = read("cold", text);
    check(cold.ok && !strcmp(text, "hello through two stages") && cold.result.output == PAGE, "the page was not read");
    Dma::Outcome warm = read("warm", text);
    check(warm.ok && warm.result.refs == 0 && warm.took < cold.took, "the IOTLB did not help");
    Dma::Outcome loose = read("warm, loosely timed", text, false);
    check(loose.ok && loose.took == warm.took, "the timings differ");
    iommu_.observe(nullptr);

    printf("unmap, invalidate\n");
    const ims_pgt_mem mem = tables();
    check(!ims_pgt_unmap(&first_, &mem, IOVA, 4096, IMS_UNMAP_KEEP, nullptr), "unmap");
    invalidate(IOVA);
    Dma::Outcome gone = read("again", text);
    check(!gone.ok && gone.result.fault == 0x71 && message_ == 2, "no fault: first-stage entry not present");
  }

  Iommu &iommu_;
  ims_mem &memory_;
  Dma &dma_;
  ims_pgt_format first_format_ = {}, second_format_ = {};
  ims_pgt first_ = {}, second_ = {};
  uint64_t next_table_ = 0x10'0000;
  uint32_t message_ = 0;
  sc_event interrupted_;
};

int sc_main(int, char **) {
  ims_mem memory; // without any RAM of its own
  ims_mem_init(&memory);
  auto make = [&](const ims_iommu_bus *bus) {
    ims_vtd_config config;
    ims_vtd_config_default(&config);
    ims_iommu *unit = nullptr;
    check(!ims_vtd_new(&unit, &config, &memory, bus), "no VT-d unit");
    return unit;
  };
  IommuConfig times; // docs/model.md has what can be set
  times.iotlb_ns = 3 * NS;
  Iommu iommu("iommu", make, times);
  Ram ram("ram", MEMORY, sc_time(50, SC_NS));
  Dma dma("dma", SOURCE, PASID);
  Cpu cpu("cpu", iommu, memory, dma);
  dma.socket.bind(iommu.device);
  iommu.memory.bind(ram.socket);
  cpu.registers.bind(iommu.registers);
  iommu.interrupt.bind(cpu.interrupts);
  sc_start();

  printf("%u transactions of the RAM, of which the IOMMU's walks: %llu\n", ram.transactions,
         static_cast<unsigned long long>(iommu.counters().walk_reads));
  return 0;
}
