// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/target_description.hpp"
#include "hv/gdb/scanner.hpp"

namespace hv::gdb {
namespace {
/// The names of a flags type's bits from bit 0 up; a number skips as many.
struct FlagsType {
    char const* name;
    char const* bits;
};
// Intel SDM vol 1 "EFLAGS Register", "MXCSR Control and Status Register"; vol 3 "Control Registers",
// "IA32_EFER"; AMD APM vol 2 "Extended Feature Enable Register (EFER)".
constexpr FlagsType kEflags{"i386_eflags", "CF 1 PF 1 AF 1 ZF SF TF IF DF OF 2 NT 1 RF VM AC VIF VIP ID"};
constexpr FlagsType kCr0{"cr0_flags", "PE MP EM TS ET NE 10 WP 1 AM 10 NW CD PG"};
constexpr FlagsType kCr4{
    "cr4_flags", "VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT UMIP LA57 VMXE SMXE 1 FSGSBASE "
                 "PCIDE OSXSAVE KL SMEP SMAP PKE CET PKS"};
constexpr FlagsType kEfer{"efer_flags", "SCE 7 LME 1 LMA NXE SVME LMSLE FFXSR TCE"};
constexpr FlagsType kMxcsr{"i386_mxcsr", "IE DE ZE OE UE PE DAZ IM DM ZM OM UM PM 2 FZ"};

constexpr std::string_view kVector =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" "
    "count=\"2\"/>"
    "<vector id=\"v16\" type=\"int8\" count=\"16\"/><vector id=\"v8\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4\" type=\"int32\" count=\"4\"/><vector id=\"v2\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
    "<field name=\"v16_int8\" type=\"v16\"/><field name=\"v8_int16\" type=\"v8\"/>"
    "<field name=\"v4_int32\" type=\"v4\"/><field name=\"v2_int64\" type=\"v2\"/>"
    "<field name=\"uint128\" type=\"uint128\"/></union>";

/// As the manual's `type=`, by RegisterType.
constexpr char const* kTypeNames[] = {"int",      "code_ptr",  "data_ptr", kEflags.name, kCr0.name, kCr4.name,
                                      kEfer.name, kMxcsr.name, "i387_ext", "vec128",     "uint128"};
constexpr char const* kFeatureNames[] = {"org.gnu.gdb.i386.core", "org.gnu.gdb.i386.segments",
                                         "org.ballast.hv.system", "org.gnu.gdb.i386.sse",
                                         "org.gnu.gdb.i386.avx"};

constexpr char const* kArchNames[] = {"i386:x86-64", "i386", "i8086"}; // by Arch

class Describer {
  public:
    Describer(Layout layout, DocumentWindow& out) : layout_{layout}, out_{out} {}
    void run();

  private:
    void flags(FlagsType const& type, u32 bytes);
    void types(Feature feature);
    void reg(RegisterCursor const& r);
    Layout layout_;
    DocumentWindow& out_;
};

void Describer::flags(FlagsType const& type, u32 bytes) {
    out_.say("<flags id=\"{}\" size=\"{}\">", type.name, bytes);
    u32 bit = 0;
    for (Scanner bits{type.bits}; !bits.at_end();) {
        std::string_view const name = bits.word(' ');
        if (name.front() <= '9') {
            for (u32 skipped = 0; char digit : name) {
                bit -= skipped;
                skipped = skipped * 10 + static_cast<u32>(digit - '0');
                bit += skipped;
            }
            continue;
        }
        out_.say("<field name=\"{}\" start=\"{}\" end=\"{}\"/>", name, bit, bit);
        ++bit;
    }
    out_.put("</flags>");
}

void Describer::types(Feature feature) {
    switch (feature) {
    case Feature::Core: flags(kEflags, 4); break;
    case Feature::System:
        flags(kCr0, layout_.word_bytes());
        flags(kCr4, layout_.word_bytes());
        flags(kEfer, 8);
        break;
    case Feature::Sse:
        out_.put(kVector);
        flags(kMxcsr, 4);
        break;
    default: break;
    }
}

void Describer::reg(RegisterCursor const& r) {
    RegisterEntry const& e = r.entry();
    out_.say("<reg name=\"{}", e.name);
    if (e.count != 1) out_.say("{}", r.index() + (e.first == RegisterId::R8 ? 8 : 0));
    if (e.type == RegisterType::Half) out_.put("h");
    out_.say("\" bitsize=\"{}\" type=\"{}\"", r.wire_bytes() * 8, kTypeNames[static_cast<u32>(e.type)]);
    if (r.first_of_block()) out_.say(" regnum=\"{}\"", r.number());
    out_.put("/>");
}

void Describer::run() {
    // Files of the other kinds can be used with each, as far as gdb can: the session's `monitor arch`.
    out_.say("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
             "<architecture>{}</architecture><compatible>{}</compatible>",
             kArchNames[static_cast<u32>(layout_.arch)],
             layout_.arch == Arch::X64 ? kArchNames[1] : kArchNames[0]);
    if (layout_.arch == Arch::X64) out_.put("<compatible>i8086</compatible>");
    for (Feature f : {Feature::Core, Feature::Segments, Feature::System, Feature::Sse, Feature::Avx}) {
        bool open = false;
        for (RegisterCursor r{layout_}; r.valid(); r.next()) {
            if (r.feature() != f) continue;
            if (!open) {
                out_.say("<feature name=\"{}\">", kFeatureNames[static_cast<u32>(f)]);
                types(f);
                open = true;
            }
            reg(r);
        }
        if (open) out_.put("</feature>");
    }
    out_.put("</target>");
}
} // namespace

void describe(Layout layout, DocumentWindow& out) {
    Describer{layout, out}.run();
}
} // namespace hv::gdb
