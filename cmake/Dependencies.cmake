# Every library the project stands on, all from Debian's packages (scripts/setup installs them).
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(absl REQUIRED)
find_package(dnnl REQUIRED)
find_package(HWY REQUIRED CONFIG NAMES hwy HWY)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)

# Debian's flatbuffers package carries the compiler and the headers; the headers are all that is linked.
find_program(FLATC flatc REQUIRED)
find_path(FLATBUFFERS_INCLUDE_DIR flatbuffers/flatbuffers.h REQUIRED)
find_library(FLATBUFFERS_LIBRARY flatbuffers REQUIRED)

if(GPTC_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(GPTC_BUILD_BENCH)
  find_package(benchmark REQUIRED)
endif()
