// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/target_description.hpp"

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

class Describer {
  public:
    Describer(Layout layout, DocumentWindow& out) : layout_{layout}, out_{out} {}
    void run();

  private:
    void attribute(std::string_view name, std::string_view value) {
        out_.put(" ");
        out_.put(name);
        out_.put("=\"");
        out_.put(value);
        out_.put("\"");
    }
    void attribute(std::string_view name, u64 value) {
        out_.put(" ");
        out_.put(name);
        out_.put("=\"");
        out_.decimal(value);
        out_.put("\"");
    }
    void element(char const* name, char const* text) {
        out_.put("<");
        out_.put(name);
        out_.put(">");
        out_.put(text);
        out_.put("</");
        out_.put(name);
        out_.put(">");
    }
    void flags(FlagsType const& type, u32 bytes);
    void types(Feature feature);
    void reg(RegisterCursor const& r);
    Layout layout_;
    DocumentWindow& out_;
};

void Describer::flags(FlagsType const& type, u32 bytes) {
    out_.put("<flags");
    attribute("id", type.name);
    attribute("size", bytes);
    out_.put(">");
    u32 bit = 0;
    for (char const* p = type.bits; *p != 0;) {
        char const* const first = p;
        u32 skip = 0;
        for (; *p != 0 && *p != ' '; ++p) {
            skip = skip * 10 + static_cast<u32>(*p - '0');
        }
        std::string_view const name{first, static_cast<usize>(p - first)};
        if (*p == ' ') ++p;
        if (*first <= '9') {
            bit += skip;
            continue;
        }
        out_.put("<field");
        attribute("name", name);
        attribute("start", bit);
        attribute("end", bit);
        out_.put("/>");
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
    out_.put("<reg name=\"");
    RegisterEntry const& e = r.entry();
    out_.put(e.name);
    if (e.count != 1) out_.decimal(r.index() + (e.first == RegisterId::R8 ? 8 : 0));
    if (e.type == RegisterType::Half) out_.put("h");
    out_.put("\"");
    attribute("bitsize", r.wire_bytes() * 8);
    if (e.type != RegisterType::Int) attribute("type", kTypeNames[static_cast<u32>(e.type)]);
    if (r.first_of_block()) attribute("regnum", r.number());
    out_.put("/>");
}

void Describer::run() {
    out_.put("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">");
    // Files of the other kinds can be used with each, as far as gdb can: the session's `monitor arch`.
    constexpr char const *k64 = "i386:x86-64", *k32 = "i386", *k16 = "i8086";
    bool const wide = layout_.arch == Arch::X64;
    element("architecture", wide ? k64 : layout_.arch == Arch::I386 ? k32 : k16);
    element("compatible", wide ? k32 : k64);
    if (wide) element("compatible", k16);
    for (Feature f : {Feature::Core, Feature::Segments, Feature::System, Feature::Sse, Feature::Avx}) {
        bool open = false;
        for (RegisterCursor r{layout_}; r.valid(); r.next()) {
            if (r.feature() != f) continue;
            if (!open) {
                out_.put("<feature");
                attribute("name", kFeatureNames[static_cast<u32>(f)]);
                out_.put(">");
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
