// SPDX-License-Identifier: Apache-2.0
#include "hv/init/trace/demangle.hpp"
#include <catch2/catch.hpp>
#include <string>

using namespace hv;

namespace {
std::string shown(std::string_view mangled) {
    char space[256];
    TextBuffer out{space};
    init::demangle(out, mangled);
    return std::string{out.text()};
}
} // namespace

TEST_CASE("names of functions lose their parameters and keep their scopes", "[demangle]") {
    CHECK(shown("_ZN2hv5panicEPKc") == "hv::panic");
    CHECK(shown("_ZNK2hv4init10ElfSymbols4findEm") == "hv::init::ElfSymbols::find");
    CHECK(shown("_ZN2hv4init12_GLOBAL__N_15startERNS_3CpuE") == "hv::init::(anonymous)::start");
    CHECK(shown("_Z7hv_mainPKN7ballast7handoff8BootInfoE") == "hv_main");
    CHECK(shown("_ZL5localv") == "local");
}

TEST_CASE("constructors, destructors and operators", "[demangle]") {
    CHECK(shown("_ZN2hv9LockGuardC1ERNS_8SpinLockE") == "hv::LockGuard::LockGuard");
    CHECK(shown("_ZN2hv9LockGuardD2Ev") == "hv::LockGuard::~LockGuard");
    CHECK(shown("_ZN2hv3FoopLEi") == "hv::Foo::operator pL");
}

TEST_CASE("template arguments are left out, whatever nests in them", "[demangle]") {
    CHECK(shown("_ZN2hv4init7ConsoleIN7drivers9Uart16550INS_4arch7RealCpuEEELm65536EE4pollEv") ==
          "hv::init::Console<...>::poll");
    CHECK(shown("_ZN2hv9log_errorIJhmEEEvSt17basic_string_viewIcSt11char_traitsIcEEDpRKT_") ==
          "hv::log_error<...>");
    CHECK(shown("_ZN2hv3mapILNS_6AccessE3EEEvm") == "hv::map<...>");
    CHECK(shown("_ZN2hv3mapILb1ELin5EEEvm") == "hv::map<...>");
}

TEST_CASE("what is not C++ or is cut short stays as it is", "[demangle]") {
    CHECK(shown("memcpy") == "memcpy");
    CHECK(shown("exception_entry_common") == "exception_entry_common");
    CHECK(shown("") == "");
    for (std::string_view bad : {"_Z", "_ZN", "_ZN2hv", "_ZN99hvE", "_ZN2hvIE", "_ZN0E", "_ZN2hvILE",
                                 "_ZN2hvIS", "_ZN99999999999999999999999999hvE"}) {
        CHECK(shown(bad) == bad);
    }
}
