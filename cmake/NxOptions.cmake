# Options of the build, and the flags that every target of ours gets (interface target nx_flags).

set(NX_DEPS "${CMAKE_SOURCE_DIR}/.deps" CACHE PATH "what scripts/setup fetched: include/ lib/ bin/")
set(NX_ENGINE "shared" CACHE STRING "shared: prebuilt library for development; static: compiled from source, for releases")
set_property(CACHE NX_ENGINE PROPERTY STRINGS shared static)
set(NX_SANITIZER "" CACHE STRING "address (with undefined), thread, fuzzer (with address and undefined), or empty")
set_property(CACHE NX_SANITIZER PROPERTY STRINGS "" address thread fuzzer)
option(NX_COVERAGE "measure test coverage" OFF)
option(NX_RELEASE "release binary: static libraries where there are any, hardened, nothing that points into this tree" OFF)

if(NOT EXISTS "${NX_DEPS}/include/wasmtime.h")
  message(FATAL_ERROR "The dependencies are not set up (nothing in ${NX_DEPS}). Run: scripts/setup")
endif()

# deps.lock is the one place that says which engine is linked.
file(STRINGS "${CMAKE_SOURCE_DIR}/scripts/deps/deps.lock" lines REGEX "^[A-Z_]+=")
foreach(line IN LISTS lines)
  string(REGEX MATCH "^([A-Z_]+)=(.*)$" _ "${line}")
  set(NX_LOCK_${CMAKE_MATCH_1} "${CMAKE_MATCH_2}")
endforeach()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/scripts/deps/deps.lock")
if(NX_ENGINE STREQUAL "static")
  set(NX_ENGINE_LINKAGE "static ${NX_LOCK_ENGINE_STATIC_VERSION}")
else()
  set(NX_ENGINE_LINKAGE "shared ${NX_LOCK_ENGINE_SHARED_VERSION} (development)")
endif()

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)  # gnu17
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

add_library(nx_flags INTERFACE)
target_compile_definitions(nx_flags INTERFACE
  _GNU_SOURCE
  NX_VERSION="${PROJECT_VERSION}"
  NX_ENGINE_LINKAGE="${NX_ENGINE_LINKAGE}"
  NX_ENGINE_STATIC=$<STREQUAL:${NX_ENGINE},static>)
target_compile_options(nx_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wvla -Wformat=2 -Werror
  # libFuzzer declares its entry points nowhere, so fuzz targets set NX_FUZZER.
  $<$<NOT:$<BOOL:$<TARGET_PROPERTY:NX_FUZZER>>>:-Wmissing-prototypes>
  # Messages of bounded size are cut on purpose, everywhere; gcc's guess at where that can happen is no help.
  $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
  # Bytes of events and of guest memory are read through several types.
  -fno-strict-aliasing
  # Paths of the build machine belong neither into messages nor into debug information.
  "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
target_link_libraries(nx_flags INTERFACE Threads::Threads)

if(NX_RELEASE)
  target_compile_options(nx_flags INTERFACE -fstack-protector-strong -fstack-clash-protection
    -ffunction-sections -fdata-sections)
  target_compile_definitions(nx_flags INTERFACE _FORTIFY_SOURCE=2)
  target_link_options(nx_flags INTERFACE -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed
    -Wl,--gc-sections -static-libgcc)
else()
  # A development binary finds the server that set-up compiled; a release has its own beside it.
  target_compile_definitions(nx_flags INTERFACE NX_NATS_SERVER_FALLBACK="${NX_DEPS}/bin/nats-server")
endif()

set(sanitizers "")
if(NX_SANITIZER STREQUAL "address")
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(NX_SANITIZER STREQUAL "thread")
  set(sanitizers -fsanitize=thread)
elseif(NX_SANITIZER STREQUAL "fuzzer")
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "NX_SANITIZER=fuzzer needs clang: cmake --preset fuzz")
  endif()
  # Every layer is instrumented for coverage; only the fuzz targets get libFuzzer's main.
  set(sanitizers -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
elseif(NX_SANITIZER)
  message(FATAL_ERROR "unknown NX_SANITIZER '${NX_SANITIZER}'")
endif()
if(sanitizers)
  target_compile_options(nx_flags INTERFACE ${sanitizers} -fno-omit-frame-pointer
    # Instrumented code hides from gcc what it knows of plain code, and it warns of what it can't see.
    $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(nx_flags INTERFACE ${sanitizers})
  # Shadow memory of the engine's pool: keep what a sanitizer has to map small.
  target_compile_definitions(nx_flags INTERFACE NX_RT_POOL_SLOTS_MAX=64 NX_SANITIZER="${NX_SANITIZER}")
endif()
if(NX_COVERAGE)
  target_compile_options(nx_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(nx_flags INTERFACE --coverage)
endif()

# nx_build_flags(TARGET): what every target compiled from our own source gets.
function(nx_build_flags target)
  target_link_libraries(${target} PRIVATE nx_flags)
  get_target_property(type ${target} TYPE)
  if(NX_SANITIZER AND type STREQUAL "EXECUTABLE")
    target_sources(${target} PRIVATE "${CMAKE_SOURCE_DIR}/tests/sanitizers/options.c")
  endif()
endfunction()
