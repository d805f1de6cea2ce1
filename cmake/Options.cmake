# What can be chosen, the compiler's settings, and the libraries that everything uses.

option(MAMBA2_TESTS "Build the tests, the programs of the chapters and the exercises" ${PROJECT_IS_TOP_LEVEL})
option(MAMBA2_WERROR "Treat warnings as errors" OFF)
option(MAMBA2_ASSERT "Check every index of every tensor (slow)" OFF)
option(MAMBA2_NATIVE "Compile for this machine's processor only" OFF)
option(MAMBA2_ONEDNN "Let oneDNN multiply where it is installed" ON)
option(MAMBA2_FUZZ "Build the fuzz targets of tests/fuzz (needs Clang)" OFF)
set(MAMBA2_XTENSOR_SOURCES "" CACHE STRING
  "Folders of the sources of xtl, xtensor and xtensor-blas, separated by semicolons: to be used instead of what is installed")
set(MAMBA2_CATCH2_SOURCE "" CACHE PATH "The folder of Catch2's sources: to be used instead of what is installed")
set(MAMBA2_SANITIZE "" CACHE STRING "Sanitizers to build the library and its tests with, such as address or undefined")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_BUILD_TYPE Release)
endif()
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endif()

# In a folder of another project, that project's targets have to see xtensor's too.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)

# use_xtensor_sources(): the targets xtensor and xtensor-blas from the folders of MAMBA2_XTENSOR_SOURCES; they are all headers.
function(use_xtensor_sources)
  set(folders "")
  foreach(folder IN LISTS MAMBA2_XTENSOR_SOURCES)
    if(EXISTS "${folder}/include")
      string(APPEND folder "/include")
    endif()
    list(APPEND folders "${folder}")
  endforeach()
  foreach(header IN ITEMS xtl/xsequence.hpp xtensor/containers/xtensor.hpp xtensor-blas/xlinalg.hpp)
    find_file(found_${header} ${header} PATHS ${folders} NO_DEFAULT_PATH NO_CACHE)
    if(NOT found_${header})
      message(FATAL_ERROR "MAMBA2_XTENSOR_SOURCES: there is no ${header} in ${MAMBA2_XTENSOR_SOURCES}.\n"
        "It takes the folders of xtl, xtensor (0.26 or newer) and xtensor-blas, separated by semicolons.")
    endif()
  endforeach()
  find_package(BLAS REQUIRED)
  find_package(LAPACK REQUIRED)
  add_library(xtensor INTERFACE IMPORTED GLOBAL)
  add_library(xtensor-blas INTERFACE IMPORTED GLOBAL)
  target_include_directories(xtensor SYSTEM INTERFACE ${folders})
  target_link_libraries(xtensor-blas INTERFACE xtensor ${BLAS_LIBRARIES} ${LAPACK_LIBRARIES})
endfunction()

# OpenBLAS where it is installed, else any BLAS. xtensor-blas's target carries it to the linker.
if(NOT BLA_VENDOR)
  set(BLA_VENDOR OpenBLAS)
  find_package(BLAS QUIET)
  if(NOT BLAS_FOUND)
    unset(BLA_VENDOR)
  endif()
endif()
if(MAMBA2_XTENSOR_SOURCES)
  use_xtensor_sources()
else()
  find_package(xtensor REQUIRED)
  find_package(xtensor-blas REQUIRED)
endif()

# What every target of the project is compiled with. It never reaches those who link the library.
add_library(mamba2_settings INTERFACE)
target_compile_features(mamba2_settings INTERFACE cxx_std_20)
target_include_directories(mamba2_settings INTERFACE "${PROJECT_SOURCE_DIR}/src")
target_link_libraries(mamba2_settings INTERFACE xtensor xtensor-blas)
target_compile_definitions(mamba2_settings INTERFACE $<$<BOOL:${MAMBA2_ASSERT}>:XTENSOR_ENABLE_ASSERT>)
target_compile_options(mamba2_settings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  $<$<BOOL:${MAMBA2_WERROR}>:-Werror>
  # Lets the compiler vectorise loops with conversions and comparisons; never -ffast-math, which changes results.
  -fno-trapping-math -fopenmp-simd
  # From 13 on, GCC sees accesses out of bounds in xtensor's and the standard library's own code that are none: it thinks
  # that a shape of one axis might have more.
  "$<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,13>>:-Wno-array-bounds;-Wno-stringop-overflow>"
  # Clang warns of each loop that a slow build does not vectorise, and counts a change of sign as a conversion, GCC not.
  "$<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed;-Wno-sign-conversion>"
  $<$<BOOL:${MAMBA2_NATIVE}>:-march=native>)
if(MAMBA2_SANITIZE)
  target_compile_options(mamba2_settings INTERFACE
    -fsanitize=${MAMBA2_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(mamba2_settings INTERFACE -fsanitize=${MAMBA2_SANITIZE})
endif()
if(MAMBA2_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "MAMBA2_FUZZ needs Clang and its libFuzzer, and the compiler is ${CMAKE_CXX_COMPILER_ID}.\n"
      "  cmake --preset fuzz")
  endif()
  target_compile_options(mamba2_settings INTERFACE -fsanitize=fuzzer-no-link)  # counts which branches are taken
endif()

# say_what_is_used(): a line on the compiler and one on the libraries, where the whole is configured.
function(say_what_is_used)
  list(GET BLAS_LIBRARIES 0 blas)
  file(REAL_PATH "${blas}" blas)
  set(products "${blas}")
  if(ONEDNN_FOUND)
    set(products "oneDNN where weights are multiplied, else ${blas}")
  endif()
  set(tensors "xtensor ${xtensor_VERSION}")
  if(MAMBA2_XTENSOR_SOURCES)
    set(tensors "xtensor from ${MAMBA2_XTENSOR_SOURCES}")
  endif()
  message(STATUS "Compiler: ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE} ${MAMBA2_SANITIZE}")
  message(STATUS "Tensors: ${tensors}")
  message(STATUS "Products: ${products}")
endfunction()
