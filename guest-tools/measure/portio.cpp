// SPDX-License-Identifier: Apache-2.0
// portio: byte accesses to I/O ports from a guest's shell, one after the other without a pause between them
// ("portio out 0x70 0x7a in 0x71" reads a CMOS byte). The stock kernel has no /dev/port.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/io.h>

int main(int argc, char** argv) {
    if (argc < 3 || iopl(3) != 0) {
        std::fputs("usage (as root): portio {in PORT | out PORT VALUE}...\n", stderr);
        return 2;
    }
    for (int index = 1; index + 1 < argc; index += 2) {
        auto const port = static_cast<unsigned short>(std::strtoul(argv[index + 1], nullptr, 0));
        if (std::strcmp(argv[index], "in") == 0) {
            std::printf("%02x\n", static_cast<unsigned>(inb(port)));
        } else if (std::strcmp(argv[index], "out") == 0 && index + 2 < argc) {
            outb(static_cast<unsigned char>(std::strtoul(argv[index + 2], nullptr, 0)), port);
            ++index;
        } else {
            return 2;
        }
    }
    return 0;
}
