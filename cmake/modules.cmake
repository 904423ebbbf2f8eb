# SPDX-License-Identifier: Apache-2.0
# keymill_module(NAME SOURCES f.c... LINKS below...): one static library, one folder's subject.
# A module's LINKS name only what stands below it (tests/arch/layers.sh reads the includes and agrees).
function(keymill_module name)
  cmake_parse_arguments(M "" "" "SOURCES;LINKS" ${ARGN})
  add_library(km_${name} STATIC ${M_SOURCES})
  target_include_directories(km_${name} PUBLIC ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR})
  target_link_libraries(km_${name} PUBLIC ${M_LINKS})
endfunction()

# keymill_unit(NAME LINKS modules...): tests/unit/test_NAME.c, a cmocka program and a ctest of the same name.
function(keymill_unit name)
  cmake_parse_arguments(U "" "" "LINKS" ${ARGN})
  add_executable(test_${name} ${CMAKE_SOURCE_DIR}/tests/unit/test_${name}.c)
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(test_${name} PRIVATE ${U_LINKS} PkgConfig::CMOCKA)
  add_test(NAME unit.${name} COMMAND test_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()
