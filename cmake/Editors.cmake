# For editors: build/editors/compile_commands.json says how each file is compiled, the chapters under the names that people edit, not
# those of their copies without prose (they compile as they are written). .clangd points there. Run as a script by add_editors().
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${BUILD}/compile_commands.json" commands)
  string(REPLACE "${BUILD}/tangled/" "${SOURCE}/" commands "${commands}")
  # Precompiled headers are the compiler's own; each file includes what it uses.
  string(REGEX REPLACE " -Winvalid-pch (-Xclang )?-include(-pch)? (-Xclang )?[^ ]+( -Xclang -include -Xclang [^ ]+)?" "" commands "${commands}")
  file(WRITE "${BUILD}/editors/new.json" "${commands}")
  file(COPY_FILE "${BUILD}/editors/new.json" "${BUILD}/editors/compile_commands.json" ONLY_IF_DIFFERENT)
  return()
endif()

# add_editors(): brings that file up to date with each build.
function(add_editors)
  set(stamp "${PROJECT_BINARY_DIR}/editors/stamp")
  add_custom_command(OUTPUT "${stamp}"
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DBUILD=${PROJECT_BINARY_DIR} -P "${PROJECT_SOURCE_DIR}/cmake/Editors.cmake"
    COMMAND ${CMAKE_COMMAND} -E touch "${stamp}"
    DEPENDS "${PROJECT_BINARY_DIR}/compile_commands.json" "${PROJECT_SOURCE_DIR}/cmake/Editors.cmake"
    COMMENT "Telling editors how files are compiled" VERBATIM)
  add_custom_target(editors ALL DEPENDS "${stamp}")
endfunction()
