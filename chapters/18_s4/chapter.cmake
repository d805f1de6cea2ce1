# The Fourier transform of long sequences is FFTW's business (Debian: libfftw3-dev).
find_library(FFTW3_LIBRARY fftw3 REQUIRED)
find_path(FFTW3_INCLUDE_DIR fftw3.h REQUIRED)
set(chapter_libraries "${FFTW3_LIBRARY}")
literate_source(fourier "${here}/fourier.cpp")
if(NOT FFTW3_INCLUDE_DIR IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
  set_source_files_properties("${fourier}" PROPERTIES INCLUDE_DIRECTORIES "${FFTW3_INCLUDE_DIR}")
endif()
