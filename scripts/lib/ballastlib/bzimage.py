# SPDX-License-Identifier: Apache-2.0
"""A bzImage and the kernel packed in it."""
import struct
import subprocess

from .say import Failure

# What the payload of a bzImage begins with (Linux, scripts/extract-vmlinux), and what unpacks it.
_UNPACKERS = ((b"\x02!L\x18", ("lz4", "-d", "-c")), (b"(\xb5/\xfd", ("zstd", "-d", "-c")), (b"\xfd7zXZ\0", ("xz", "-d", "-c")),
              (b"\x1f\x8b\x08", ("gzip", "-d", "-c")))


def unpack(source):
    """The bytes of the uncompressed kernel in a bzImage, an ELF file with its relocations behind it."""
    image = source.read_bytes()
    # x86 boot protocol: setup_sects, payload_offset, payload_length. The last four bytes are the unpacked size.
    begin = ((image[0x1F1] or 4) + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
    payload = image[begin:begin + struct.unpack_from("<I", image, 0x24C)[0]]
    size = struct.unpack("<I", payload[-4:])[0]
    command = next((command for magic, command in _UNPACKERS if payload.startswith(magic)), None)
    if command is None:
        raise Failure(f"{source.name}: its payload is packed in a way that is not known here ({payload[:6].hex()})")
    unpacked = subprocess.run(command, input=payload[:-4], capture_output=True).stdout
    if len(unpacked) != size or not unpacked.startswith(b"\x7fELF"):
        raise Failure(f"{source.name}: {command[0]} gave {len(unpacked)} bytes, not an ELF file of {size}")
    return unpacked
