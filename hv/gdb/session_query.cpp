// SPDX-License-Identifier: Apache-2.0
// q: what gdb asks about the session and the machine.
#include "hv/gdb/document_window.hpp"
#include "hv/gdb/session.hpp"
#include "hv/gdb/target_description.hpp"

namespace hv::gdb {
void Session::query(std::string_view text) {
    Scanner words{text};
    if (words.eat("qXfer:")) return transfer(words);
    if (words.eat("qRcmd,")) return monitor(words);
    if (words.eat("qAttached")) return out_.packet("1"); // else gdb kills what it leaves
    if (text == "qC") {
        if (!is_attached(current_)) return unknown();
        out_.begin();
        out_.put("QC");
        put_thread(current_, vp_);
        return out_.end();
    }
    if (words.eat("qSymbol:")) return ok(); // no symbols are wanted
    unknown();
}

/// object:read:annex:offset,length. Source: GDB manual, "General Query Packets", qXfer.
void Session::transfer(Scanner words) {
    std::string_view const object = words.word(':');
    u64 offset = 0, bytes = 0;
    if (words.word(':') != "read") return unknown();
    std::string_view const annex = words.word(':');
    if (!words.number(offset) || !words.eat(',') || !words.number(bytes)) return error();
    if (object == "features") {
        if (annex != "target.xml") return error(0);
        Layout& layout = inferiors_[current_].layout;
        if (offset == 0) {
            layout = chosen_layout();
            inferiors_[current_].hinted_bits = static_cast<u8>(layout.code_bits());
        }
        DocumentWindow out{out_, offset, bytes};
        return describe(layout, out);
    }
    if (object == "threads") {
        DocumentWindow out{out_, offset, bytes};
        return put_threads(out);
    }
    if (object == "memory-map") {
        if (!physical_) return error(); // gdb would refuse virtual addresses outside the map, too
        DocumentWindow out{out_, offset, bytes};
        return put_memory_map(out);
    }
    if (object == "osdata") {
        DocumentWindow out{out_, offset, bytes};
        return put_processes(out);
    }
    unknown();
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
            if (multiprocess_) {
                out.put("p");
                out.hex(u64{i} + 1);
                out.put(".");
            }
            out.hex(u64{vp} + 1);
            out.put("\" core=\"");
            out.decimal(vp);
            out.put("\" name=\"cpu");
            out.decimal(vp);
            out.put("\">");
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
    u32 count = target_.memory_map(current_, regions_);
    if (count > kMaxRegions) count = kMaxRegions;
    for (u32 i = 0; i < count; ++i) {
        MemoryRegion const& r = regions_[i];
        if (r.kind != MemoryRegion::Kind::Ram && r.kind != MemoryRegion::Kind::HotAdded) continue;
        out.put("<memory type=\"ram\" start=\"0x");
        out.hex(r.first);
        out.put("\" length=\"0x");
        out.hex(r.bytes);
        out.put("\"/>");
    }
    out.put("</memory-map>");
}

/// `info os processes`: the partitions, on or off.
void Session::put_processes(DocumentWindow& out) {
    out.put("<osdata type=\"processes\">");
    for (u32 i = 0; exists(u64{i} + 1); ++i) {
        InferiorInfo const info = target_.inferior(i);
        out.put("<item><column name=\"pid\">");
        out.decimal(u64{i} + 1);
        out.put("</column><column name=\"user\">");
        out.put(info.crashed ? "crashed" : info.waits ? "waits" : info.on ? "on" : "off");
        out.put("</column><column name=\"command\">");
        out.put_escaped(info.name);
        out.put("</column></item>");
    }
    out.put("</osdata>");
}
} // namespace hv::gdb
