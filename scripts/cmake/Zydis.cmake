# SPDX-License-Identifier: Apache-2.0
# Zydis, the instruction decoder, from its Debian source package: zydis_target (freestanding, for the machine) and zydis_host
# (hosted, for unit tests). Link one and include <Zydis/Zydis.h>. Decoder only: no formatter, encoder, AVX-512 or KNC tables.

set(BALLAST_ZYDIS_SOURCE "" CACHE PATH "Zydis source tree; empty: what scripts/setup fetched into build/cache")
set(zydis_source "${BALLAST_ZYDIS_SOURCE}")
if(NOT zydis_source)
  file(GLOB zydis_fetched ${CMAKE_SOURCE_DIR}/build/cache/zydis-*)
  list(POP_BACK zydis_fetched zydis_source)
endif()
if(NOT zydis_source OR NOT EXISTS ${zydis_source}/include/Zydis/Zydis.h)
  message(FATAL_ERROR "The source of Zydis is missing: run scripts/setup")
endif()

set(zydis_files Decoder.c DecoderData.c MetaInfo.c Mnemonic.c Register.c SharedData.c String.c Utils.c Zydis.c)
list(TRANSFORM zydis_files PREPEND ${zydis_source}/src/)
foreach(world target host)
  add_library(zydis_${world} STATIC EXCLUDE_FROM_ALL ${zydis_files})
  target_include_directories(zydis_${world} SYSTEM PUBLIC ${zydis_source}/include)
  target_include_directories(zydis_${world} PRIVATE ${zydis_source}/src)
  target_compile_definitions(zydis_${world} PUBLIC ZYDIS_STATIC_BUILD ZYCORE_STATIC_BUILD ZYDIS_DISABLE_FORMATTER
      ZYDIS_DISABLE_ENCODER ZYDIS_DISABLE_AVX512 ZYDIS_DISABLE_KNC)
endforeach()
target_compile_options(zydis_target PRIVATE ${BALLAST_TARGET_FLAGS} -w)
target_compile_definitions(zydis_target PUBLIC ZYAN_NO_LIBC ZYDIS_NO_LIBC)
target_compile_options(zydis_host PRIVATE ${BALLAST_HOST_FLAGS} -w)
