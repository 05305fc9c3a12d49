# Helpers that make a target of a folder. A new source file needs no edit: sources are globbed, tests end in _test.cc.

set(GPTC_WARNINGS -Wall -Wextra -Wshadow=local -Wno-missing-field-initializers -Werror)

add_library(gptc_flags INTERFACE)
target_compile_options(gptc_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${GPTC_WARNINGS};-fno-math-errno>)
target_include_directories(gptc_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(GPTC_SANITIZE)
  # What GCC 12 puts between a variant and its check it then takes for uninitialized.
  target_compile_options(gptc_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${GPTC_SANITIZE};-fno-omit-frame-pointer;-Wno-maybe-uninitialized>)
  target_link_options(gptc_flags INTERFACE -fsanitize=${GPTC_SANITIZE})
endif()

# Reading headers is most of a small file's compilation: those that nearly all files include are read once. Not with ccache,
# which shares objects between builds and checkouts, and cannot where headers are precompiled.
set(precompile ON)
if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(precompile OFF)
endif()
option(GPTC_PRECOMPILED_HEADERS "Precompile the headers that nearly all files include" ${precompile})
if(GPTC_PRECOMPILED_HEADERS)
  # GCC 12 warns wrongly of moved strings; it keeps that to itself within system headers, but not where they are precompiled.
  target_compile_options(gptc_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-array-bounds;-Wno-restrict;-Wno-stringop-overflow;-Wno-stringop-overread>)
endif()
set(GPTC_COMMON_HEADERS <algorithm> <functional> <map> <memory> <optional> <span> <string> <string_view> <utility> <vector>
    ${CMAKE_SOURCE_DIR}/ir/base/attributes.h ${CMAKE_SOURCE_DIR}/ir/base/status.h ${CMAKE_SOURCE_DIR}/ir/base/text.h
    ${CMAKE_SOURCE_DIR}/ir/base/type.h)

# gptc_precompile(NAME DEPS target... [HEADERS header...]): the common headers for a target, shared by all with the same
# flags, and HEADERS, which are then its own. TEST: for a test program, with GoogleTest's.
function(gptc_precompile name)
  if(NOT GPTC_PRECOMPILED_HEADERS)
    return()
  endif()
  cmake_parse_arguments(ARG "TEST" "" "DEPS;HEADERS" ${ARGN})
  # Whether a dependency brings OpenMP's flags with it.
  set(openmp FALSE)
  foreach(dependency ${ARG_DEPS})
    if(dependency STREQUAL OpenMP::OpenMP_CXX)
      set(openmp TRUE)
    elseif(TARGET ${dependency})
      get_target_property(brings ${dependency} GPTC_OPENMP)
      if(brings)
        set(openmp TRUE)
      endif()
    endif()
  endforeach()
  set_target_properties(${name} PROPERTIES GPTC_OPENMP ${openmp})
  if(ARG_HEADERS)
    target_precompile_headers(${name} PRIVATE ${GPTC_COMMON_HEADERS} ${ARG_HEADERS})
    return()
  endif()
  set(shared precompiled)
  set(headers ${GPTC_COMMON_HEADERS})
  if(ARG_TEST)
    set(shared ${shared}_test)
    list(APPEND headers <gmock/gmock.h> <gtest/gtest.h>)
  endif()
  if(openmp)
    set(shared ${shared}_openmp)
  endif()
  if(NOT TARGET ${shared})
    file(WRITE ${CMAKE_BINARY_DIR}/precompiled/${shared}.cc "")
    add_library(${shared} OBJECT ${CMAKE_BINARY_DIR}/precompiled/${shared}.cc)
    target_link_libraries(${shared} PRIVATE gptc_flags $<$<BOOL:${openmp}>:OpenMP::OpenMP_CXX>)
    if(ARG_TEST)  # a program's code, not a library's
      target_link_libraries(${shared} PRIVATE GTest::gmock GTest::gtest)
      set_target_properties(${shared} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(${shared} PRIVATE -fPIE)
    endif()
    target_precompile_headers(${shared} PRIVATE ${headers})
  endif()
  target_precompile_headers(${name} REUSE_FROM ${shared})
endfunction()

# gptc_library(NAME [DEPS target...] [SUBFOLDERS folder...] [HEADERS header...]): a static library of the *.cc of this
# folder and of the subfolders named, without tests. HEADERS are costly ones that all its files include.
function(gptc_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;SUBFOLDERS;HEADERS" ${ARGN})
  set(patterns *.cc)
  foreach(folder ${ARG_SUBFOLDERS})
    list(APPEND patterns ${folder}/*.cc)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} ${patterns})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC gptc_flags ${ARG_DEPS})
    gptc_precompile(${name} DEPS ${ARG_DEPS} HEADERS ${ARG_HEADERS})
  else()  # headers alone
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE gptc_flags ${ARG_DEPS})
  endif()
endfunction()

# gptc_test(NAME [DEPS target...] [SUBFOLDERS folder...] [TIMEOUT seconds] [SHARDS number]): one GoogleTest program of the
# *_test.cc, run by ctest as that many tests, so that others run beside a long one.
function(gptc_test name)
  if(NOT GPTC_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TIMEOUT;SHARDS" "DEPS;SUBFOLDERS" ${ARGN})
  set(patterns *_test.cc)
  foreach(folder ${ARG_SUBFOLDERS})
    list(APPEND patterns ${folder}/*_test.cc)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} ${patterns})
  if(NOT sources)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE gptc_flags ${ARG_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE GPTC_SOURCE_DIR="${CMAKE_SOURCE_DIR}" GPTC_BINARY_DIR="${CMAKE_BINARY_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  # What tests do takes its time in the libraries.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  gptc_precompile(${name} TEST DEPS ${ARG_DEPS})
  if(NOT ARG_SHARDS)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
    return()
  endif()
  math(EXPR last "${ARG_SHARDS} - 1")
  foreach(shard RANGE ${last})
    add_test(NAME ${name}_${shard} COMMAND ${name})
    # The cost puts them first: whatever is short fills the gaps.
    set_tests_properties(${name}_${shard} PROPERTIES TIMEOUT ${ARG_TIMEOUT} COST 100
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${ARG_SHARDS};GTEST_SHARD_INDEX=${shard}")
  endforeach()
endfunction()
