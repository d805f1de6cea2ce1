# Installing the library, so that find_package(mamba2) finds it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# install_mamba2(): the library, its headers, and what CMake needs to find it again.
function(install_mamba2)
  file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/mamba2/*.hpp")
  target_sources(mamba2 PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/src" FILES ${headers})
  set(folder "${CMAKE_INSTALL_LIBDIR}/cmake/mamba2")
  install(TARGETS mamba2 EXPORT mamba2Targets FILE_SET HEADERS)
  install(EXPORT mamba2Targets NAMESPACE mamba2:: DESTINATION "${folder}")
  configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/mamba2Config.cmake.in"
    "${PROJECT_BINARY_DIR}/mamba2Config.cmake" INSTALL_DESTINATION "${folder}")
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/mamba2ConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(FILES "${PROJECT_BINARY_DIR}/mamba2Config.cmake" "${PROJECT_BINARY_DIR}/mamba2ConfigVersion.cmake"
    DESTINATION "${folder}")
endfunction()
