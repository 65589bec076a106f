// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/string_loop.hpp"

namespace hv::decode {
namespace {
enum class Form { Ins, Outs, Other };
Form form_of(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD: return Form::Ins;
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD: return Form::Outs;
    default: return Form::Other;
    }
}
u8 element_bytes(ZydisDecodedInstruction const& i) {
    bool const byte = i.mnemonic == ZYDIS_MNEMONIC_INSB || i.mnemonic == ZYDIS_MNEMONIC_OUTSB;
    bool const word = i.mnemonic == ZYDIS_MNEMONIC_INSW || i.mnemonic == ZYDIS_MNEMONIC_OUTSW;
    return byte ? 1 : word ? 2 : 4;
}
} // namespace

Result<Emulated, EmulationFailure> string_io(CpuView& cpu, GuestAccess& memory, MmioTarget& devices,
                                             PortTarget& ports, IoExit const& exit) {
    Code const code = HV_TRY(fetch_code(cpu, memory));
    Decoded decoded;
    HV_TRY(decode_full(code, decoded));
    Form const form = form_of(decoded.instruction.mnemonic);
    if (form != (exit.in ? Form::Ins : Form::Outs) || element_bytes(decoded.instruction) != exit.size_bytes) {
        return Emulated{}; // another processor rewrote the code: let the guest execute what is there now
    }
    MemoryBus bus{cpu, memory, &devices};
    StringLoop loop{cpu, code.mode, decoded, exit.size_bytes};
    if (form == Form::Ins) {
        loop.uses_destination();
        return loop.run([&]() -> Result<void, EmulationFailure> {
            LinearOperand const to = HV_TRY(loop.destination());
            // The port is read only once it is certain that the value can be stored.
            Place const place = HV_TRY(bus.locate(to.linear, to.size_bytes, Access::W, to.stack));
            return bus.write(place, ports.read(exit.port, exit.size_bytes));
        });
    }
    loop.uses_source();
    return loop.run([&]() -> Result<void, EmulationFailure> {
        LinearOperand const from = HV_TRY(loop.source());
        Place const place = HV_TRY(bus.locate(from.linear, from.size_bytes, Access::R, from.stack));
        u64 const value = HV_TRY(bus.read(place));
        ports.write(exit.port, exit.size_bytes, static_cast<u32>(value));
        return {};
    });
}
} // namespace hv::decode
