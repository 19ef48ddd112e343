#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of smmuv2_fuzz into fuzz/corpus/: banks of every kind whose walks reach the page."""
import pathlib
import struct

here = pathlib.Path(__file__).resolve().parent / "corpus" / "smmuv2_fuzz"

ROWS = """SCTLR ACTLR RESUME TCR2 TTBR0 TTBR1 TCR CONTEXTIDR MAIR0 MAIR1 FSR FSRRESTORE FAR FSYNR0 FSYNR1 IPAFAR TLBIVA
TLBIVAA TLBIASID TLBIALL TLBIVAL TLBIVAAL TLBIIPAS2 TLBIIPAS2L TLBSYNC TLBSTATUS""".split()
WIDE = {"TTBR0", "TTBR1", "FAR", "IPAFAR", "TLBIVA", "TLBIVAA", "TLBIVAL", "TLBIVAAL", "TLBIIPAS2", "TLBIIPAS2L"}


def bank(n, row, value):
    return struct.pack("<BBB", 0, n, ROWS.index(row)) + value.to_bytes(8 if row in WIDE else 4, "little")


def kind(n, cbar, cba2r=1):
    return struct.pack("<BB", 3, n) + cbar.to_bytes(3, "little") + bytes([cba2r])


def descriptor(page, index, to, flags):
    return struct.pack("<BBBBHB", 2, page, index, to, flags, 0)


def request(sid, iova, access=1):
    return struct.pack("<BBBQ", 4, access, sid, iova)


def setup(sctlr):
    """Bank 0: stage 2, pages 0 to 3. Bank 1: nested over it, pages 4 to 7. Bank 2: stage 1. Bank 3: AArch32, pages 5 to 7."""
    m = b""
    for page in range(3):
        m += descriptor(page, 0, page + 1, 3) + descriptor(page + 4, 0, page + 5, 3)
    for i in range(32):
        m += descriptor(3, i, i, 0x7FF) + descriptor(7, i, i, 0xF43)
    m += kind(0, 9) + bank(0, "TCR", 0x80050090) + bank(0, "TTBR0", 0) + bank(0, "SCTLR", sctlr)
    m += kind(1, 3 << 16 | 9) + kind(2, 1 << 16 | 3) + kind(3, 1 << 16 | 5, 0)
    for n in (1, 2, 3):
        m += bank(n, "TCR2", 0x38015) + bank(n, "TCR", 0x80800000 if n == 3 else 0x00800010)
        m += bank(n, "TTBR0", (5 if n == 3 else 4) << 12 | n << 48) + bank(n, "MAIR0", 0x4404FF)
        m += bank(n, "SCTLR", sctlr)
    return m


def main():
    here.mkdir(parents=True, exist_ok=True)
    asks = b"".join(request(s, 0x9000 + s * 8, a) for a in (1, 2, 9, 5) for s in range(5))
    tlbi = b"".join(bank(n, r, 9 | 1 << 48 if r in WIDE else 1) for n in range(4) for r in ROWS if r.startswith("TLBI"))
    holes = descriptor(7, 9, 0, 0) + descriptor(3, 6, 0, 0)
    ends = b"".join(bank(n, "FSR", 0xFFFFFFFF) + bank(n, "RESUME", n & 1) for n in range(4))
    for name, shape, sctlr in (("bare", b"\0\0", 0x121), ("cached", b"\x40\x3f", 0x121), ("stalls", b"\x04\xff", 0x0E1)):
        data = shape + setup(sctlr) + asks + asks + tlbi + asks + holes + asks + ends + asks
        (here / name).write_bytes(data)


if __name__ == "__main__":
    main()
