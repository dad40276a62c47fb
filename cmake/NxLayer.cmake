# nx_layer(LIBRARY [USES layer libraries] [EXTERN third-party names] [EXCLUDE files])
#
# One folder = one layer = one static library, made of every *.c below the folder.
#   USES    the layers it may use, as in the table of docs/ARCHITECTURE.md (scripts/check-layers holds the same table)
#   EXTERN  the third-party libraries it adapts; their headers reach no other layer, their link flags do
# Siblings see <folder>/include (as "nx/x.h"); the layer's own sources also see the folder itself.
function(nx_layer library)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "USES;EXTERN;EXCLUDE")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
  foreach(file IN LISTS arg_EXCLUDE)
    list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
  list(TRANSFORM arg_EXTERN PREPEND nx_dep_)

  if(NOT sources)  # headers only, so far
    add_library(${library} INTERFACE)
    target_include_directories(${library} INTERFACE "${CMAKE_CURRENT_SOURCE_DIR}/include")
    target_link_libraries(${library} INTERFACE ${arg_USES})
    return()
  endif()
  add_library(${library} STATIC ${sources})
  target_include_directories(${library}
    PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/include"
    PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  # In one call, so that the order of archives on the linker's line is: this layer, what it uses, third party.
  target_link_libraries(${library} PUBLIC ${arg_USES} PRIVATE ${arg_EXTERN})
  nx_build_flags(${library})
endfunction()
