#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of walk_fuzz and invalidation_queue_fuzz into fuzz/corpus/: inputs whose walks reach the page."""
import pathlib
import struct

here = pathlib.Path(__file__).resolve().parent / "corpus"


def save(target, name, data):
    folder = here / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def word(page, index, to, flags):
    """A pointer to page `to` with twelve flag bits, as walk_fuzz takes it."""
    return bytes([page, index, to, flags & 255, flags >> 8])


def tables():
    """Pages: 0 root, 1 context, 2 directory, 3 PASID table, 4-7 first stage, 10-13 second stage, identity."""
    m = word(0, 0, 1, 1) + word(1, 4, 2, 0x1D) + word(2, 0, 3, 1)
    for pasid, flags in ((1, 0x49), (2, 0x89), (3, 0xC9), (4, 0x109)):
        m += word(3, pasid * 8, 10 if pasid in (2, 3) else 0, flags)
        m += bytes([3, pasid * 8 + 1, pasid, 0, 0x40])
        m += word(3, pasid * 8 + 2, 4 if pasid in (1, 3) else 0, 0x11)
    for page in (4, 5, 6):
        m += word(page, 0, page + 1, 7) + word(page + 6, 0, page + 7, 3)
    for i in range(32):
        m += word(7, i, i, 7) + word(13, i, i, 3)
    return m


def request(pasid, access, iova, kind=0):
    return bytes([access | kind << 5, 1, 1, pasid, 0, 0, 0, 0]) + struct.pack("<Q", iova)


def register(offset, value):
    return bytes([1]) + struct.pack("<HBQ", offset, 1, value)


def descriptor(low, high=0):
    return bytes([0]) + struct.pack("<QQ", low, high)


def main():
    for name, shape in (("bare", b"\x70\0\0\1"), ("cached", b"\x70\xff\xff\1"), ("rev3", b"\x75\x5a\x2f\1")):
        requests = b"".join(request(p, a, 0x9000, k) for p in (1, 2, 3, 4) for a in (1, 2, 9) for k in (0, 1))
        save("walk_fuzz", name, shape + requests[: 16 * 31] + b"\0" + tables())
    all_types = [0x11, 0x21, (1 << 16) | 0x31, 0x12, 0x22, 0x32, 3, 4, 0x15, 0x25, 0x26, 0x36, 0x37, 7, 0x17, 8, 9, 5]
    for i, shape in enumerate((0, 0x33, 0xFF)):
        ops = b"".join(descriptor(d) for d in all_types)
        ask = bytes([3, 1, 1]) + struct.pack("<H", 1) + b"\1\0\0" + struct.pack("<Q", 0x9000)
        page = bytes([5]) + struct.pack("<H", 1) + b"\1\0\0\x0f" + struct.pack("<Q", 0x9000)
        save("invalidation_queue_fuzz", f"types{i}", bytes([shape]) + ops + ask + page + descriptor(0) + b"\6" + ask)
        events = b"".join(register(o, 0) for o in (0x38, 0xA0, 0xE0))
        save("invalidation_queue_fuzz", f"events{i}", bytes([shape]) + events + ask + register(0x34, 0xFF) + ops + b"\7\7")


if __name__ == "__main__":
    main()
