# The command `mamba2`, build/bin/mamba2: src/app/*.cpp.

# add_app(): where src/app/main.cpp is, the program; its target is mamba2_app.
function(add_app)
  if(NOT EXISTS "${PROJECT_SOURCE_DIR}/src/app/main.cpp")
    return()
  endif()
  find_package(CLI11 REQUIRED)
  find_package(nlohmann_json REQUIRED)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/app/*.cpp")
  add_executable(mamba2_app ${sources})
  set_target_properties(mamba2_app PROPERTIES OUTPUT_NAME mamba2)
  target_link_libraries(mamba2_app PRIVATE mamba2_settings mamba2::mamba2 CLI11::CLI11 nlohmann_json::nlohmann_json)
  # The libraries for command lines and JSON are compiled once for all commands, and quickly: what takes time is in the library.
  target_compile_options(mamba2_app PRIVATE $<$<CONFIG:Release>:-O1>)
  target_precompile_headers(mamba2_app PRIVATE <CLI/CLI.hpp> <nlohmann/json.hpp> <mamba2/language_model.hpp>)
  if(TARGET chapters)
    add_dependencies(chapters mamba2_app)
  endif()
  install(TARGETS mamba2_app)
endfunction()
