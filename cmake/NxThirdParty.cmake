# Imported targets nx_dep_NAME. Third-party headers are SYSTEM (imported), so their warnings are not ours.
# A layer names what it adapts in nx_layer(... EXTERN ...); scripts/check-layers refuses the headers anywhere else.
# A release takes the static library wherever Debian has one.

find_package(PkgConfig REQUIRED)

# nx_dep(NAME MODULE pkg-config-module ARCHIVE libx.a [NEEDS libs of the archive])
function(nx_dep name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "MODULE;ARCHIVE" "NEEDS")
  pkg_check_modules(NX_PC_${name} REQUIRED IMPORTED_TARGET ${arg_MODULE})
  add_library(nx_dep_${name} INTERFACE IMPORTED GLOBAL)
  if(NX_RELEASE AND arg_ARCHIVE)
    find_library(NX_ARCHIVE_${name} NAMES ${arg_ARCHIVE} REQUIRED)
    target_include_directories(nx_dep_${name} SYSTEM INTERFACE ${NX_PC_${name}_INCLUDE_DIRS})
    target_link_libraries(nx_dep_${name} INTERFACE "${NX_ARCHIVE_${name}}" ${arg_NEEDS})
  else()
    target_link_libraries(nx_dep_${name} INTERFACE PkgConfig::NX_PC_${name})
  endif()
endfunction()

nx_dep(uv MODULE libuv ARCHIVE libuv_a.a NEEDS dl rt)
nx_dep(fyaml MODULE libfyaml ARCHIVE libfyaml.a)
nx_dep(jansson MODULE jansson ARCHIVE libjansson.a)
nx_dep(crypto MODULE libcrypto ARCHIVE libcrypto.a NEEDS dl)
nx_dep(ssl MODULE libssl ARCHIVE libssl.a NEEDS nx_dep_crypto)

# libcurl and nats.c have no usable archive in Debian: a release compiles both from pinned sources (scripts/setup release).
nx_dep(curl MODULE libcurl)
nx_dep(nats MODULE libnats)

add_library(nx_dep_llhttp STATIC IMPORTED GLOBAL)
set_target_properties(nx_dep_llhttp PROPERTIES IMPORTED_LOCATION "${NX_DEPS}/lib/libllhttp.a")
target_include_directories(nx_dep_llhttp SYSTEM INTERFACE "${NX_DEPS}/include")

if(NX_ENGINE STREQUAL "static")
  set(engine "${NX_DEPS}/engine-static")
  if(NOT EXISTS "${engine}/lib/libnexus_engine.a")
    message(FATAL_ERROR "The static engine is not set up. Run: scripts/setup release")
  endif()
  add_library(nx_dep_wasmtime STATIC IMPORTED GLOBAL)
  set_target_properties(nx_dep_wasmtime PROPERTIES IMPORTED_LOCATION "${engine}/lib/libnexus_engine.a")
  target_include_directories(nx_dep_wasmtime SYSTEM INTERFACE "${engine}/include")
  target_link_libraries(nx_dep_wasmtime INTERFACE m dl Threads::Threads)
else()
  # The prebuilt library has no soname: link it by name, find it by the rpath that CMake writes.
  add_library(nx_dep_wasmtime SHARED IMPORTED GLOBAL)
  set_target_properties(nx_dep_wasmtime PROPERTIES
    IMPORTED_LOCATION "${NX_DEPS}/lib/libwasmtime.so" IMPORTED_NO_SONAME TRUE)
  target_include_directories(nx_dep_wasmtime SYSTEM INTERFACE "${NX_DEPS}/include")
endif()

if(BUILD_TESTING)
  nx_dep(cmocka MODULE cmocka)
endif()
