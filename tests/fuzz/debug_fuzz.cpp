// SPDX-License-Identifier: Apache-2.0
// A debugger's conditions and points from a hostile wire, and steps through any bytes in any mode.
#include "fuzz_input.hpp"
#include "hv/core/decode/length_decoder.hpp"
#include "hv/core/decode/memory_accesses.hpp"
#include "hv/core/decode/zydis_decode.hpp"
#include "hv/debug/placement.hpp"
#include "tests/unit/debug/step_bed.hpp"
#include <memory>

using namespace hv;
using namespace hv::test;
using namespace hv::debug;

namespace {
struct Context : AgentContext {
    FuzzInput& input;
    unsigned reads = 0;
    explicit Context(FuzzInput& i) : input{i} {}
    bool read_register(u16 number, u64& value) override {
        value = input.get<u16>();
        return number < 64;
    }
    bool read_memory(u64, std::span<u8> to) override {
        ++reads;
        REQUIRE_THAT(to.size() == 1 || to.size() == 2 || to.size() == 4 || to.size() == 8);
        for (u8& byte : to)
            byte = input.get<u8>();
        return !to.empty() && to[0] != 0xee;
    }
};

/// Mostly operations that exist, with constants to work on.
void expression(FuzzInput& in) {
    static constexpr u8 kOps[] = {0x02, 0x05, 0x07, 0x09, 0x0a, 0x0b, 0x0e, 0x13, 0x16, 0x17, 0x1a, 0x20,
                                  0x21, 0x22, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x32, 0x33};
    std::vector<u8> code;
    u64 const bytes = in.below(200);
    while (code.size() < bytes) {
        u8 const choice = in.get<u8>();
        if (choice % 5 < 2) {
            code.insert(code.end(), {0x22, in.get<u8>()});
        } else {
            code.push_back(choice % 16 == 1 ? in.get<u8>() : kOps[choice % sizeof kOps]);
            if (code.back() == 0x20 || code.back() == 0x21) {
                code.insert(code.end(), {0, static_cast<u8>(code.size() + in.below(8))});
            }
        }
    }
    code.push_back(0x27);
    Context context{in};
    auto const value = evaluate(code, context);
    REQUIRE_THAT(context.reads <= kMaxAgentReads);
    if (!value.ok()) REQUIRE_THAT(value.error() <= AgentError::TooManyReads);
}

/// What the table should hold: each point with the constant that is its only condition.
struct Model {
    PointSpec spec;
    u8 value;
    usize padding;
};

std::vector<u8> condition(Model const& m) {
    std::vector<u8> list{static_cast<u8>((m.padding + 3) >> 8), static_cast<u8>(m.padding + 3), 0x22,
                         m.value};
    list.resize(list.size() + m.padding + 1, 0x27);
    return list;
}

void check_placement(FuzzInput& in, PointTable const& table) {
    HardwareBreakpoints guest;
    guest.dr7 = in.get<u32>();
    PlacementRules const rules{
        .unguardable = in.get<u64>(), .code_breakpoints = in.flag(), .registers = in.flag() ? 4u : 3u};
    Placement const p = place(guest, table, rules);
    unsigned guests = 0;
    u64 placed = 0;
    for (unsigned n = 0; n < 4; ++n) {
        guests += (guest.dr7 >> 2 * n & 3) != 0;
        bool const enabled = (p.hardware.dr7 >> 2 * n & 3) != 0;
        REQUIRE_THAT(enabled == (p.owner[n].kind != Placement::Owner::Kind::None));
        guests -= p.owner[n].kind == Placement::Owner::Kind::Guest;
        REQUIRE_THAT((placed & p.owner[n].points) == 0);
        placed |= p.owner[n].points;
    }
    REQUIRE_THAT(guests == 0);
    REQUIRE_THAT((placed & (p.guarded | p.homeless)) == 0 && (p.guarded & p.homeless) == 0);
    REQUIRE_THAT((placed | p.guarded | p.homeless) == table.used());
    OneShot const shot = with_one_shot(p, in.below(8));
    REQUIRE_THAT(sort_hits(p, shot, 1u << shot.number).one_shot);
}

void points(FuzzInput& in) {
    auto const owner = std::make_unique<PointTable>();
    PointTable& table = *owner;
    std::vector<Model> models;
    for (u64 left = in.below(100); left != 0; --left) {
        Model m{
            {static_cast<PointKind>(in.below(4)), in.flag(), in.below(40), 1}, in.get<u8>(), in.below(400)};
        m.spec.bytes = m.spec.kind == PointKind::Execute ? 1 : 1 + in.below(16);
        auto const same = [&](Model const& other) { return other.spec == m.spec; };
        if (in.below(3) == 0) {
            REQUIRE_THAT(table.remove(m.spec) == (std::erase_if(models, same) != 0));
        } else if (auto const index = table.insert(m.spec, condition(m)); index.ok()) {
            std::erase_if(models, same);
            if (table[index.value()].conditions_dropped) m.value = 1;
            models.push_back(m);
        } else {
            REQUIRE_THAT(index.error() == PointTableError::Full && models.size() == PointTable::kPoints);
        }
    }
    Context context{in};
    u64 all = 0;
    for (Model const& m : models) {
        bool found = false;
        for_each_point(table.used() & ~all, [&](unsigned index) {
            if (found || !(table[index].spec == m.spec)) return;
            found = true;
            all |= 1ull << index;
            if (m.spec.kind == PointKind::Execute) {
                REQUIRE_THAT((table.execution_points_at(m.spec.address) >> index & 1) != 0);
            }
            REQUIRE_THAT(table.hit(index, context) == (m.value != 0));
        });
        REQUIRE_THAT(found);
    }
    REQUIRE_THAT(all == table.used());
    check_placement(in, table);
    // And a list that need not make sense.
    std::vector<u8> list(in.below(40));
    for (u8& byte : list)
        byte = in.get<u8>() % 0x30;
    if (auto const index = table.insert({.address = 1000}, list); index.ok())
        (void)table.hit(index.value(), context);
}

void set_mode(StepBed& bed, FuzzInput& in) {
    switch (in.below(6)) {
    case 0: bed.long_mode(); break;
    case 1: bed.compatibility_mode(); break;
    case 2: bed.protected_mode(); break;
    case 3: bed.real_mode(in.below(0x800) << 4); break;
    case 4: bed.virtual_8086(in.below(4)); break;
    default:
        bed.protected_mode();
        bed.cpu[Seg::Cs] = {0x8, 0x9b, 0xffff, 0};
        bed.cpu[Seg::Ss] = {0x10, 0x93, 0xffff, 0};
        break;
    }
}

/// Is it one that TF does not step, says the decoder?
bool special(ZydisDecodedInstruction const& i, ZydisDecodedOperand const& first) {
    switch (i.mnemonic) {
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFD:
    case ZYDIS_MNEMONIC_PUSHFQ:
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_STI: return true;
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_POP:
        // With a memory operand it may be known to fault.
        return first.type == ZYDIS_OPERAND_TYPE_REGISTER && first.reg.value == ZYDIS_REGISTER_SS &&
               i.mnemonic == ZYDIS_MNEMONIC_MOV && i.raw.modrm.mod == 3;
    default:
        return (i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0;
    }
}

void check_instruction(StepBed& bed, decode::Code const& code) {
    decode::StepInstruction const i = decode::step_instruction(bed.cpu, code);
    auto const length = decode::instruction_length(code);
    if (code.mode.code_bits == 64 && code.count >= 3 && decode::looks_ordinary(code.bytes)) {
        REQUIRE_THAT(i.kind == decode::StepInstruction::Kind::Ordinary);
    }
    if (i.kind != decode::StepInstruction::Kind::Ordinary) {
        REQUIRE_THAT(length.ok() && length.value() == i.length);
        REQUIRE_THAT(i.operand_bytes == 1 || i.operand_bytes == 2 || i.operand_bytes == 4 ||
                     i.operand_bytes == 8);
    }
    decode::Decoded decoded;
    if (decode::decode_full(code, decoded).ok() && special(decoded.instruction, decoded.operands[0])) {
        REQUIRE_THAT(i.kind != decode::StepInstruction::Kind::Ordinary);
    }
    decode::MemoryAccesses const accesses = decode::memory_accesses(bed.cpu, code);
    REQUIRE_THAT(accesses.count <= decode::MemoryAccesses::kMax);
    for (decode::MemoryAccess const& a : accesses.span()) {
        REQUIRE_THAT(a.bytes != 0 && a.bytes <= 8192);
        REQUIRE_THAT(code.mode.code_bits == 64 || a.linear <= 0xffff'ffff);
    }
}

void step(FuzzInput& in) {
    static constexpr u8 kFirst[] = {0x17, 0x8e, 0x9c, 0x9d, 0xcc, 0xcd, 0xce, 0xcf, 0xfb, 0x0f, 0xf3, 0xf2};
    static StepBed* const bed_memory = new StepBed; // its memory is large
    StepBed& bed = *bed_memory;
    bed.cpu = FakeCpu{};
    bed.start = {};
    std::fill(bed.memory.ram.begin(), bed.memory.ram.begin() + 0x10000, u8{0});
    set_mode(bed, in);
    for (u64 i = 0; i < 16; ++i)
        bed.memory.ram[StepBed::kCode + i] = in.get<u8>();
    if (in.flag()) bed.memory.ram[StepBed::kCode] = kFirst[in.below(sizeof kFirst)];
    for (unsigned r = 0; r < 16; ++r) {
        bed.cpu.registers[r] = r % 4 == 3 ? in.get<u64>() : in.get<u16>();
    }
    bed.cpu[Reg::Rflags] ^= in.get<u16>() & 0x7fd5;
    bed.cpu.cpl_value = static_cast<u8>(in.below(4));
    bed.cpu.efer_value |= in.get<u8>() & efer::kSce;
    for (unsigned i = 0; i < 16; ++i) { // tables and stacks of noise
        bed.memory.put<u64>(0x9000 + in.below(0x5ff0), in.get<u64>());
    }
    if (in.flag()) bed.cpu.segments[in.below(8)].base += in.get<u32>();
    bed.cpu.control[3] ^= in.get<u8>() & 1; // VME
    bed.start.steps_exactly = in.below(4) == 0;
    bed.start.breakpoints_ignore_cs_base = in.flag();
    if (in.below(4) == 0) bed.start.waiting = Event{Event::Type::Exception, in.get<u8>(), false, 0};

    FakeCpu const before = bed.cpu;
    auto const unchanged = [&] {
        return std::memcmp(before.registers, bed.cpu.registers, sizeof before.registers) == 0 &&
               std::memcmp(before.segments, bed.cpu.segments, sizeof before.segments) == 0;
    };
    if (auto const code = decode::fetch_code(bed.cpu, bed.memory)) check_instruction(bed, code.value());
    StepPlan const plan = bed.plan();
    REQUIRE_THAT(unchanged());
    REQUIRE_THAT(!bed.start.steps_exactly || plan.kind == PlanKind::Native || plan.kind == PlanKind::Repeat ||
                 plan.kind == PlanKind::RunTo);
    REQUIRE_THAT(plan.kind == PlanKind::RunTo || (plan.reachable && plan.breakpoint_works));
    if (plan.kind == PlanKind::Emulate) {
        auto const done = emulate_step(bed.cpu, bed.memory, bed.system, plan);
        REQUIRE_THAT(done.has_value() || unchanged());
        if (done && done->advance_bytes != 0) {
            REQUIRE_THAT(done->advance_bytes == plan.instruction.length);
            REQUIRE_THAT(before.registers[static_cast<u8>(Reg::Rip)] == bed.cpu[Reg::Rip]);
        }
    }
    finish_step(bed.cpu, bed.memory, plan);
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(u8 const* data, usize size) {
    FuzzInput in{data, size};
    switch (in.below(4)) {
    case 0: expression(in); break;
    case 1: points(in); break;
    default: step(in); break;
    }
    return 0;
}
