// SPDX-License-Identifier: Apache-2.0
// Anything on the debugger's line: bytes, packets with a right checksum made of the protocol's own words,
// gdbs that vanish and come again. What goes out must be packets, and partitions nobody attached must not
// notice.
#include "tests/fakes/debugged_machine.hpp"
#include "tests/fakes/gdb_client.hpp"
#include "tests/fuzz/fuzz_choices.hpp"
#include <memory>

using namespace hv;
using namespace hv::test;

namespace {
constexpr std::string_view kWords[] = {"vCont;",
                                       "c",
                                       "s",
                                       "r1000,1010",
                                       "C05",
                                       "S05",
                                       "t",
                                       ":p1.1",
                                       ":p1.-1",
                                       ":p2.1",
                                       ";",
                                       ",",
                                       ":",
                                       "=",
                                       "-1",
                                       "vAttach;",
                                       "vKill;",
                                       "vRun;",
                                       "D;",
                                       "k",
                                       "?",
                                       "!",
                                       "g",
                                       "G",
                                       "p",
                                       "P",
                                       "m",
                                       "M",
                                       "X",
                                       "H",
                                       "Hgp1.2",
                                       "T",
                                       "Z0,1010,1",
                                       "Z2,9000,4",
                                       "z0,1010,1",
                                       ";X3,220127",
                                       ";X4,26000527",
                                       ";cmds:0,X1,27",
                                       "X",
                                       "qXfer:features:read:target.xml:0,",
                                       "qXfer:threads:read::",
                                       "qXfer:memory-map:read::0,100",
                                       "qXfer:osdata:read:processes:0,100",
                                       "qRcmd,",
                                       "68656c70",
                                       "6172636820",
                                       "3136",
                                       "3332",
                                       "70687973206f6e",
                                       "7265736574",
                                       "6d7563",
                                       "QStartNoAckMode",
                                       "QNonStop:1",
                                       "QNonStop:0",
                                       "vStopped",
                                       "vCtrlC",
                                       "vCont;t",
                                       "qSupported:multiprocess+;swbreak+",
                                       "qSupported",
                                       "qAttached:1",
                                       "qC",
                                       "1000",
                                       "ffffffffffffffff",
                                       "1",
                                       "2",
                                       "0",
                                       "vCont;c",
                                       "vCont;s:p1.1;c:p1.-1",
                                       "x",
                                       "}"};

struct World {
    DebuggedMachine machine;
    std::unique_ptr<gdb::Session> session = std::make_unique<gdb::Session>(machine);
    PacketParser line;
    World() {
        machine.partitions.resize(3);
        for (u32 i = 0; i < 3; ++i) {
            auto& p = machine.partitions[i];
            p.name = "p";
            p.memory.resize(64 * KiB);
            p.vps.resize(i + 1);
            p.entry = 0x1000;
            p.image = {0x90, 0xb8, 7, 0, 0, 0, 0x89, 0x04, 0x25, 0, 0x90, 0, 0, 0xeb, 0xf2};
            p.image_at = 0x1000;
            p.start();
        }
        machine.partitions[1].on = false;
        machine.instructions_per_look = 20;
    }
    void receive(std::string_view bytes) {
        session->receive({reinterpret_cast<u8 const*>(bytes.data()), bytes.size()});
    }
    /// Some of what is pending, or all.
    void drain(bool all, u32 most) {
        for (auto out = session->pending(); !out.empty(); out = session->pending()) {
            auto const piece = out.first(!all && out.size() > most ? most : out.size());
            line.take(piece);
            session->sent(piece.size());
            if (!all) return;
        }
    }
};

void step(World& w, FuzzInput& in) {
    switch (below(in, 8)) {
    case 0: {
        auto const bytes = bytes_from(in, below(in, 64));
        w.session->receive(bytes);
        break;
    }
    case 1:
    case 2:
    case 3: { // a request, often one that means something
        std::string data;
        for (u32 n = below(in, 6) + 1; n != 0; --n) {
            data += kWords[below(in, static_cast<u32>(std::size(kWords)))];
        }
        if (one_in(in, 8)) {
            data += static_cast<char>(in.get<u8>());
        }
        std::string const packet = framed(data);
        bool const cut = one_in(in, 16);
        if (!cut && data.starts_with("qSupported"))
            w.line = PacketParser{}; // what was going out ends in mid-packet
        w.receive(std::string_view{packet}.substr(0, cut ? below(in, static_cast<u32>(packet.size()))
                                                         : packet.size()));
        break;
    }
    case 4: w.receive(one_in(in, 2) ? "+" : one_in(in, 2) ? "-" : "\x03"); break;
    case 5: w.drain(false, 1 + below(in, 40)); break;
    case 6: (void)w.session->poll(); break;
    default: w.drain(true, 0); break;
    }
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(u8 const* data, size_t size) {
    static auto const machine = std::make_unique<World>(); // memory is costly to make
    World& w = *machine;
    for (auto& p : w.machine.partitions) {
        w.machine.detach(static_cast<u32>(&p - w.machine.partitions.data()));
        p.start();
    }
    w.machine.partitions[1].on = false;
    w.machine.monitored.clear();
    w.session = std::make_unique<gdb::Session>(w.machine);
    w.line = PacketParser{};
    FuzzInput in{data, size};
    try {
        if (!one_in(in, 3)) {
            w.receive(framed("qSupported:multiprocess+;swbreak+;hwbreak+"));
            w.drain(true, 0);
            w.receive("+");
            w.receive(framed("QStartNoAckMode"));
            w.drain(true, 0);
            if (one_in(in, 2)) w.receive(framed("QNonStop:1"));
            w.receive(framed("vAttach;1"));
            (void)w.session->poll();
            w.drain(true, 0);
        }
        while (!in.empty()) {
            step(w, in);
        }
        w.drain(true, 0);
        // Whatever was, a new gdb is served; what its predecessor was being told may end in mid-packet.
        w.line = PacketParser{};
        w.receive("+" + framed("qSupported:multiprocess+"));
        for (int i = 0; i < 4; ++i) {
            w.drain(true, 0);
            w.receive("+");
        }
        REQUIRE_THAT(!w.line.packets.empty() && w.line.packets[0].starts_with("PacketSize=4000"));
        REQUIRE_THAT(w.line.whole());
    } catch (std::runtime_error const& e) {
        std::fprintf(stderr, "not a packet: %s\n", e.what());
        REQUIRE_THAT(false);
    }
    return 0;
}
