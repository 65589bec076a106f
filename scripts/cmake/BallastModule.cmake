# SPDX-License-Identifier: Apache-2.0
# ballast_module(NAME [DEPS module...] [TARGET_ONLY])
#   Every *.cpp and *.S of the calling folder becomes two static libraries: hv_NAME (freestanding, for the machine) and
#   host_NAME (hosted, ASan + UBSan, for unit tests and fuzzers; not made with TARGET_ONLY). Headers are included from the
#   top of the tree ("hv/mm/frame_table.hpp"). DEPS are the modules this one may include.
# ballast_unit_test(NAME DEPS module...)
#   Every *.cpp of the calling folder becomes the Catch2 program unit_NAME, registered with CTest.

set(BALLAST_WARNINGS -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Wvla)

# -mno-sse keeps guest FPU state untouched by the hypervisor; -mgeneral-regs-only breaks Clang on libstdc++'s headers.
set(BALLAST_TARGET_FLAGS
    -ffreestanding -fbuiltin -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-asynchronous-unwind-tables
    -fno-stack-protector -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -mno-red-zone
    -mno-sse -mno-mmx -mcmodel=kernel -fno-pic -fno-pie -fcf-protection=none -Oz -g
    -ffunction-sections -fdata-sections "-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=")
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
  # With -ffreestanding it calls memcpy for eight bytes, whatever -fbuiltin says: told as a macro, only the library's headers hear of it.
  # There is no bcmp here. And its -Oz leaves a call where what is called is shorter than the call.
  list(REMOVE_ITEM BALLAST_TARGET_FLAGS -ffreestanding)
  list(APPEND BALLAST_TARGET_FLAGS -U__STDC_HOSTED__ -D__STDC_HOSTED__=0 -Wno-builtin-macro-redefined -fno-builtin-bcmp
       "SHELL:-mllvm -inline-threshold=20")
endif()
set(BALLAST_HOST_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O0 -g1)

add_library(ballast_target INTERFACE)
target_include_directories(ballast_target INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(ballast_target INTERFACE
    $<$<COMPILE_LANGUAGE:CXX,C>:${BALLAST_WARNINGS} ${BALLAST_TARGET_FLAGS}> $<$<COMPILE_LANGUAGE:ASM>:-g>)
target_compile_definitions(ballast_target INTERFACE HV_FREESTANDING=1)

add_library(ballast_host INTERFACE)
target_include_directories(ballast_host INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(ballast_host INTERFACE ${BALLAST_WARNINGS} ${BALLAST_HOST_FLAGS})
target_link_options(ballast_host INTERFACE -fsanitize=address,undefined)

function(ballast_module NAME)
  cmake_parse_arguments(M "TARGET_ONLY" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  file(GLOB asm CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.S)
  foreach(world target host)
    set(prefix hv_)
    if(world STREQUAL host)
      if(M_TARGET_ONLY)
        break()
      endif()
      set(prefix host_)
      set(asm "")
    endif()
    if(sources OR asm)
      add_library(${prefix}${NAME} STATIC ${sources} ${asm})
      set(link PUBLIC)
      target_link_libraries(${prefix}${NAME} PRIVATE ballast_${world})
    else()
      add_library(${prefix}${NAME} INTERFACE)
      set(link INTERFACE)
    endif()
    foreach(dep ${M_DEPS})
      target_link_libraries(${prefix}${NAME} ${link} ${prefix}${dep})
    endforeach()
  endforeach()
endfunction()

function(ballast_unit_test NAME)
  cmake_parse_arguments(T "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  add_executable(unit_${NAME} ${sources})
  target_link_libraries(unit_${NAME} PRIVATE ballast_host catch2_main)
  foreach(dep ${T_DEPS})
    target_link_libraries(unit_${NAME} PRIVATE host_${dep})
  endforeach()
  add_test(NAME unit.${NAME} COMMAND unit_${NAME})
  set_property(GLOBAL APPEND PROPERTY BALLAST_UNIT_TESTS unit_${NAME})
endfunction()
