# SPDX-License-Identifier: Apache-2.0
# ballast_efi_application(NAME SOURCES file... [LIBRARIES archive...] [OPTIONS flag...])
#   NAME.EFI in the calling folder's build directory, a GNU-EFI application for x86-64 whose entry is efi_main, and NAME.so beside
#   it, which keeps the symbols for gdb. The objects are the library NAME_objects. Whoever calls adds a target for NAME.EFI.

# The link needs GNU ld (the linker script) and GNU objcopy (the PE target), whatever the compiler is.
find_program(BALLAST_EFI_LD NAMES x86_64-linux-gnu-ld.bfd x86_64-linux-gnu-ld ld.bfd ld REQUIRED)
find_program(BALLAST_EFI_OBJCOPY NAMES x86_64-linux-gnu-objcopy objcopy REQUIRED)
find_path(BALLAST_EFI_INCLUDE efi.h PATHS /usr/include/efi REQUIRED)
find_file(BALLAST_EFI_CRT0 crt0-efi-x86_64.o PATHS /usr/lib /usr/lib64/gnuefi REQUIRED)
find_file(BALLAST_EFI_SCRIPT elf_x86_64_efi.lds PATHS /usr/lib /usr/lib64/gnuefi REQUIRED)
find_library(BALLAST_GNUEFI libgnuefi.a PATHS /usr/lib /usr/lib64/gnuefi REQUIRED)

function(ballast_efi_application NAME)
  cmake_parse_arguments(E "" "" "SOURCES;LIBRARIES;OPTIONS" ${ARGN})
  add_library(${NAME}_objects OBJECT ${E_SOURCES})
  target_include_directories(${NAME}_objects PRIVATE ${CMAKE_SOURCE_DIR})
  target_include_directories(${NAME}_objects SYSTEM PRIVATE ${BALLAST_EFI_INCLUDE} ${BALLAST_EFI_INCLUDE}/x86_64)
  target_compile_definitions(${NAME}_objects PRIVATE GNU_EFI_USE_MS_ABI)
  target_compile_options(${NAME}_objects PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${BALLAST_WARNINGS}
      -ffreestanding -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-asynchronous-unwind-tables -fno-stack-protector
      -fpic -fvisibility=hidden -fshort-wchar -mno-red-zone -fcf-protection=none -O2 -g
      $<$<CXX_COMPILER_ID:GNU>:-maccumulate-outgoing-args> ${E_OPTIONS}>)
  set(shared ${CMAKE_CURRENT_BINARY_DIR}/${NAME}.so)
  set(efi ${CMAKE_CURRENT_BINARY_DIR}/${NAME}.EFI)
  add_custom_command(OUTPUT ${shared}
    COMMAND ${BALLAST_EFI_LD} -shared -Bsymbolic -nostdlib -znocombreloc --no-undefined --fatal-warnings
            -T ${BALLAST_EFI_SCRIPT} ${BALLAST_EFI_CRT0} $<TARGET_OBJECTS:${NAME}_objects>
            ${E_LIBRARIES} ${BALLAST_GNUEFI} -o ${shared}
    DEPENDS ${NAME}_objects $<TARGET_OBJECTS:${NAME}_objects>
    COMMAND_EXPAND_LISTS VERBATIM COMMENT "Linking ${NAME}.so")
  add_custom_command(OUTPUT ${efi}
    COMMAND ${BALLAST_EFI_OBJCOPY} -j .text -j .sdata -j .data -j .dynamic -j .dynsym -j .rel -j .rela -j .rel.* -j .rela.*
            -j .reloc --target=efi-app-x86_64 --subsystem=10 ${shared} ${efi}
    DEPENDS ${shared} VERBATIM COMMENT "Making ${NAME}.EFI")
endfunction()
