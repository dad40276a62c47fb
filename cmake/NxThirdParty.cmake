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

# Shared in releases too: nats.c has no archive in Debian and needs the shared OpenSSL, and one process holds one OpenSSL.
# scripts/release ships these beside the binary.
nx_dep(crypto MODULE libcrypto)
nx_dep(ssl MODULE libssl)
nx_dep(nats MODULE libnats)

# Debian's libcurl.a needs libraries that have no archive (Kerberos), so a release compiles a lean one from its crate.
set(NX_STATIC "${NX_DEPS}/static")
if(NX_RELEASE)
  add_library(nx_dep_curl STATIC IMPORTED GLOBAL)
  set_target_properties(nx_dep_curl PROPERTIES IMPORTED_LOCATION "${NX_STATIC}/lib/libcurl.a")
  target_include_directories(nx_dep_curl SYSTEM INTERFACE "${NX_STATIC}/include")
  target_compile_definitions(nx_dep_curl INTERFACE CURL_STATICLIB)
  # The zlib that curl brings is everybody's: two copies in one process would be one too many.
  pkg_check_modules(NX_PC_zlib REQUIRED zlib)
  add_library(nx_dep_zlib STATIC IMPORTED GLOBAL)
  set_target_properties(nx_dep_zlib PROPERTIES IMPORTED_LOCATION "${NX_STATIC}/lib/libz.a")
  target_include_directories(nx_dep_zlib SYSTEM INTERFACE ${NX_PC_zlib_INCLUDE_DIRS})
  target_link_libraries(nx_dep_curl INTERFACE nx_dep_zlib nx_dep_ssl nx_dep_crypto)
else()
  nx_dep(curl MODULE libcurl)
  nx_dep(zlib MODULE zlib)
endif()

add_library(nx_dep_llhttp STATIC IMPORTED GLOBAL)
set_target_properties(nx_dep_llhttp PROPERTIES IMPORTED_LOCATION "${NX_DEPS}/lib/libllhttp.a")
target_include_directories(nx_dep_llhttp SYSTEM INTERFACE "${NX_DEPS}/include")

if(NX_ENGINE STREQUAL "static")
  if(NOT EXISTS "${NX_STATIC}/lib/libnexus_engine.a")
    message(FATAL_ERROR "The static engine is not set up. Run: scripts/setup release")
  endif()
  add_library(nx_dep_wasmtime STATIC IMPORTED GLOBAL)
  set_target_properties(nx_dep_wasmtime PROPERTIES IMPORTED_LOCATION "${NX_STATIC}/lib/libnexus_engine.a")
  target_include_directories(nx_dep_wasmtime SYSTEM INTERFACE "${NX_STATIC}/include")
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
