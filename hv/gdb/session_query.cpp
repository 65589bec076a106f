// SPDX-License-Identifier: Apache-2.0
// q: what gdb asks about the session and the machine.
#include "hv/gdb/document_window.hpp"
#include "hv/gdb/session.hpp"
#include "hv/gdb/target_description.hpp"

namespace hv::gdb {
void Session::query(Scanner words) {
    switch (words.choice("Xfer:\0Rcmd,\0Attached\0Symbol:\0C\0")) {
    case 0: return transfer(words);
    case 1: return monitor(words);
    case 2: return out_.packet("1"); // else gdb kills what it leaves
    case 3: return ok();             // no symbols are wanted
    case 4:
        if (!words.at_end() || !is_attached(current_)) break;
        out_.begin();
        out_.put("QC");
        put_thread(current_, vp_);
        return out_.end();
    default: break;
    }
    unknown();
}

/// object:read:annex:offset,length. Source: GDB manual, "General Query Packets", qXfer.
void Session::transfer(Scanner words) {
    u64 offset = 0, bytes = 0;
    u32 const object = words.choice("features:read:\0threads:read:\0memory-map:read:\0osdata:read:\0");
    if (object == Scanner::kNoChoice) return unknown();
    std::string_view const annex = words.word(':');
    if (!words.number(offset) || !words.eat(',') || !words.number(bytes)) return error();
    Inferior& inferior = inferiors_[current_];
    // With a map gdb would refuse virtual addresses outside it, too.
    if ((object == 0 && annex != "target.xml") || (object == 2 && !physical_)) return error();
    if (object == 0 && offset == 0) {
        inferior.layout = chosen_layout();
        inferior.hinted_bits = static_cast<u8>(inferior.layout.code_bits());
    }
    DocumentWindow out{out_, offset, bytes};
    switch (object) {
    case 0: return describe(inferior.layout, out);
    case 1: return put_threads(out);
    case 2: return put_memory_map(out);
    default: return put_processes(out);
    }
}

Layout Session::chosen_layout() {
    Layout layout;
    ArchChoice const choice = inferiors_[current_].choice;
    u32 const bits = choice == ArchChoice::I386                 ? 32
                     : choice == ArchChoice::I8086              ? 16
                     : choice == ArchChoice::X64 || !standing() ? 64
                                                                : target_.code_bits(current_, vp_);
    layout.arch = bits == 64 ? Arch::X64 : bits == 32 ? Arch::I386 : Arch::I8086;
    // Before `?` nothing stands and nothing can be asked; what then proves missing is shown as unavailable.
    u8 half[16];
    layout.avx = !standing() || target_.read_register(current_, vp_, RegisterId::Ymm0h, half);
    return layout;
}

void Session::put_threads(DocumentWindow& out) {
    out.put("<threads>");
    for (u32 i = 0; i < kMaxInferiors; ++i) {
        if (!is_attached(i)) continue;
        InferiorInfo const info = target_.inferior(i);
        for (u32 vp = 0; vp < info.vps; ++vp) {
            out.put("<thread id=\"");
            if (multiprocess_) out.say("p{:x}.", i + 1);
            out.say("{:x}\" core=\"{}\" name=\"cpu{}\">", vp + 1, vp, vp);
            out.put_escaped(info.name);
            out.put("</thread>");
        }
    }
    out.put("</threads>");
}

/// gdb refuses to touch what is not in it, also by virtual address: empty, which is no limit, unless memory
/// is physical.
void Session::put_memory_map(DocumentWindow& out) {
    out.put("<memory-map>");
    u32 const all = target_.memory_map(current_, regions_), count = all < kMaxRegions ? all : kMaxRegions;
    for (u32 i = 0; i < count; ++i) {
        MemoryRegion const& r = regions_[i];
        if (r.kind != MemoryRegion::Kind::Ram && r.kind != MemoryRegion::Kind::HotAdded) continue;
        out.say("<memory type=\"ram\" start=\"0x{:x}\" length=\"0x{:x}\"/>", r.first, r.bytes);
    }
    if (count != all) { // whoever asks for something there is told by the target
        constexpr u64 kEnd = u64{1} << 52;
        u64 const rest = regions_[count - 1].first + regions_[count - 1].bytes;
        out.say("<memory type=\"ram\" start=\"0x{:x}\" length=\"0x{:x}\"/>", rest, kEnd - rest);
    }
    out.put("</memory-map>");
}

/// `info os processes`: the partitions, on or off.
void Session::put_processes(DocumentWindow& out) {
    out.put("<osdata type=\"processes\">");
    for (u32 i = 0; exists(u64{i} + 1); ++i) {
        InferiorInfo const info = target_.inferior(i);
        out.say("<item><column name=\"pid\">{}</column><column name=\"user\">{}</column><column "
                "name=\"command\">",
                i + 1,
                info.crashed ? "crashed"
                : info.waits ? "waits"
                : info.on    ? "on"
                             : "off");
        out.put_escaped(info.name);
        out.put("</column></item>");
    }
    out.put("</osdata>");
}
} // namespace hv::gdb
