// SPDX-License-Identifier: Apache-2.0
// gdb_server [OPTION…]: serves two partitions of a fake machine to gdb. Prints `port N` first.
//   port=N            0: any free one
//   image=FILE        loaded flat into partition 1
//   at=ADDRESS        where to, guest-physical
//   entry=ADDRESS     linear, or an offset from cs
//   cs=BASE           of the code segment
//   bits=16|32|64     of the code
//   second=on|off     partition 2
//   trace=1           the line's bytes to stderr
// It ends with its standard input.
#include "hv/gdb/session.hpp"
#include "tests/fakes/debugged_machine.hpp"
#include <arpa/inet.h>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace hv;

namespace {
test::DebuggedMachine g_machine;
gdb::Session g_session{g_machine};

struct Options {
    std::string image;
    u64 port = 0, at = 0x10000, entry = 0x10000, cs = 0, bits = 64;
    bool second = false, trace = false;
    Options(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            std::string_view const word{argv[i]};
            auto const equals = word.find('=');
            std::string const value{equals == word.npos ? "" : word.substr(equals + 1)};
            u64 const number = std::strtoull(value.c_str(), nullptr, 0);
            if (word.starts_with("port=")) port = number;
            if (word.starts_with("image=")) image = value;
            if (word.starts_with("at=")) at = number;
            if (word.starts_with("entry=")) entry = number;
            if (word.starts_with("cs=")) cs = number;
            if (word.starts_with("bits=")) bits = number;
            if (word.starts_with("second=")) second = value == "on";
            if (word.starts_with("trace=")) trace = number != 0;
        }
    }
};

void make_machine(Options const& o) {
    g_machine.partitions.resize(2);
    auto& first = g_machine.partitions[0];
    first.name = "linux";
    first.vps.resize(2);
    first.bits = static_cast<u32>(o.bits);
    if (!o.image.empty()) {
        std::ifstream file{o.image, std::ios::binary};
        first.image.assign(std::istreambuf_iterator<char>{file}, {});
        first.image_at = o.at;
    }
    first.entry = o.entry;
    first.start();
    for (auto& vp : first.vps) {
        vp.set(gdb::RegisterId::CsBase, o.cs);
        vp.set(gdb::RegisterId::Cs, o.cs >> 4);
    }
    auto& second = g_machine.partitions[1];
    second.name = "other";
    second.vps.resize(1);
    second.entry = 0x2000;
    second.start();
    second.on = o.second;
}

void serve(int client, bool trace) {
    for (;;) {
        pollfd fds[] = {{client, POLLIN, 0}, {0, POLLIN, 0}};
        bool const more = g_session.poll();
        if (::poll(fds, 2, more ? 0 : 1) < 0 || fds[1].revents != 0) std::exit(0);
        if (fds[0].revents != 0) {
            u8 bytes[64];
            auto const n = recv(client, bytes, sizeof bytes, 0);
            if (n <= 0) return;
            if (trace) std::fprintf(stderr, "<%.*s>\n", static_cast<int>(n), reinterpret_cast<char*>(bytes));
            g_session.receive({bytes, static_cast<usize>(n)});
        }
        auto const out = g_session.pending();
        if (out.empty()) continue;
        auto const n = send(client, out.data(), std::min<usize>(out.size(), 16), MSG_NOSIGNAL);
        if (n <= 0) return;
        if (trace)
            std::fprintf(stderr, "  [%.*s]\n", static_cast<int>(n),
                         reinterpret_cast<char const*>(out.data()));
        g_session.sent(static_cast<usize>(n));
    }
}
} // namespace

int main(int argc, char** argv) {
    Options const options{argc, argv};
    make_machine(options);
    int const listener = socket(AF_INET, SOCK_STREAM, 0);
    int const one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<u16>(options.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener, 1) != 0)
        return 1;
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    std::printf("port %u\n", ntohs(address.sin_port));
    std::fflush(stdout);
    for (;;) {
        pollfd fds[] = {{listener, POLLIN, 0}, {0, POLLIN, 0}};
        (void)g_session.poll(); // what goes on does so with nobody on the line
        if (::poll(fds, 2, 1) < 0 || fds[1].revents != 0) return 0;
        if (fds[0].revents == 0) continue;
        int const client = accept(listener, nullptr, nullptr);
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        serve(client, options.trace);
        close(client);
    }
}
