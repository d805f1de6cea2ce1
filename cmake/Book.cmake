# The book: programs run and captured, figures drawn, pages woven, Doxygen run, everything bound into build/book/html.
#   book   build/book/html/index.html
#   pdf    build/book/the-annotated-mamba-2.pdf
#   epub   build/book/the-annotated-mamba-2.epub
#   picture  docs/screenshot.png, which the README shows: its first page as it looks now
# Only what changed is made again. Measured programs run one at a time.

if(NOT DEFINED Python3_EXECUTABLE AND EXISTS /usr/bin/python3)
  set(Python3_EXECUTABLE /usr/bin/python3)  # the system's, which has Debian's modules
endif()
find_package(Python3 3.9 COMPONENTS Interpreter)

set(BOOK_DIR "${PROJECT_BINARY_DIR}/book")
set(WEAVER_DIR "${PROJECT_SOURCE_DIR}/docs/weaver")
# The weaver: ${WEAVER} COMMAND ARGUMENT... Python keeps what it compiles of it in the build folder.
set(WEAVER ${CMAKE_COMMAND} -E env "PYTHONPYCACHEPREFIX=${PROJECT_BINARY_DIR}/pycache" "${Python3_EXECUTABLE}" "${WEAVER_DIR}")
option(BOOK_DRAFT "Make the book even where pages have errors; they are only reported" OFF)

# literate_source(result original): the file to compile for a literate .cpp. With Python it is a tangled copy, which
# changes only when the code does: editing prose compiles nothing again. Without, it is the original itself.
function(literate_source result original)
  if(NOT Python3_Interpreter_FOUND)
    set(${result} "${original}" PARENT_SCOPE)
    return()
  endif()
  file(RELATIVE_PATH name "${PROJECT_SOURCE_DIR}" "${original}")
  set(tangled "${PROJECT_BINARY_DIR}/tangled/${name}")
  set(${result} "${tangled}" PARENT_SCOPE)
  get_property(known GLOBAL PROPERTY literate_sources)
  if(tangled IN_LIST known)
    return()  # compiled a second time, with other flags
  endif()
  set_property(GLOBAL APPEND PROPERTY literate_sources "${tangled}")
  add_custom_command(OUTPUT "${tangled}"
    COMMAND ${WEAVER} tangle "${original}" "${tangled}"
    DEPENDS "${original}" "${WEAVER_DIR}/tangle.py" "${WEAVER_DIR}/literate.py"
    COMMENT "Tangling ${name}" VERBATIM)
endfunction()

# add_book(): the target `book` and what it is made of.
function(add_book)
  find_program(DOXYGEN_EXECUTABLE doxygen)
  find_program(GNUPLOT_EXECUTABLE gnuplot)
  find_program(DOT_EXECUTABLE dot)
  find_path(KATEX_DIR katex.min.js PATHS /usr/share/javascript/katex /usr/share/nodejs/katex/dist NO_DEFAULT_PATH)
  foreach(need IN ITEMS Python3_Interpreter_FOUND DOXYGEN_EXECUTABLE GNUPLOT_EXECUTABLE DOT_EXECUTABLE KATEX_DIR)
    if(NOT ${need})
      message(STATUS "No target 'book': ${need} is missing (Debian: doxygen gnuplot-nox graphviz libjs-katex python3)")
      return()
    endif()
  endforeach()

  set_property(GLOBAL APPEND PROPERTY JOB_POOLS measured=1)
  book_about()
  book_fonts()
  book_map()

  set(woven_inputs "")
  foreach(folder IN LISTS MAMBA2_CHAPTERS)
    string(SUBSTRING ${folder} 0 2 number)
    string(SUBSTRING ${folder} 3 -1 name)
    book_chapter(${folder} ${number} ${name})
  endforeach()
  add_executable(figures_book EXCLUDE_FROM_ALL "${PROJECT_SOURCE_DIR}/docs/figures.cpp")
  target_link_libraries(figures_book PRIVATE mamba2_settings mamba2::mamba2)
  book_figures(front "${PROJECT_SOURCE_DIR}/docs/figures" figures_book)

  file(GLOB front CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/docs" "${PROJECT_SOURCE_DIR}/docs/*.md")
  foreach(page IN LISTS front)
    list(APPEND woven_inputs "${PROJECT_SOURCE_DIR}/docs/${page}")
  endforeach()
  foreach(module IN ITEMS weave pages chapters exercises markup inline names sections typography literate doxygen report)  # what weaving takes, and what binding takes
    list(APPEND weaving "${WEAVER_DIR}/${module}.py")
  endforeach()
  foreach(module IN ITEMS bind reference api code plain doxygen names typography report)
    list(APPEND binding "${WEAVER_DIR}/${module}.py")
  endforeach()
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/mamba2/*.hpp" "${PROJECT_SOURCE_DIR}/src/demo/*.hpp")
  file(GLOB theme CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/theme/*")

  set(docs "${PROJECT_SOURCE_DIR}/docs")
  add_custom_command(OUTPUT "${BOOK_DIR}/woven/pages.txt" "${BOOK_DIR}/woven/tokens.txt"
    COMMAND ${WEAVER} weave --root "${PROJECT_SOURCE_DIR}" --outputs "${BOOK_DIR}/outputs"
            --figures "${BOOK_DIR}/figures" --data "${BOOK_DIR}/data" --out "${BOOK_DIR}/woven" $<$<BOOL:${BOOK_DRAFT}>:--draft>
    DEPENDS ${weaving} "${docs}/book.json" ${woven_inputs} ${headers}
    COMMENT "Weaving" COMMAND_EXPAND_LISTS VERBATIM)

  file(READ "${docs}/book.json" settings)
  string(JSON BOOK_TITLE GET "${settings}" title)
  configure_file("${docs}/Doxyfile.in" "${BOOK_DIR}/Doxyfile" @ONLY)
  add_custom_command(OUTPUT "${BOOK_DIR}/doxygen.stamp"
    COMMAND ${CMAKE_COMMAND} -E rm -rf "${BOOK_DIR}/doxygen"
    COMMAND ${CMAKE_COMMAND} -E make_directory "${BOOK_DIR}/doxygen"
    COMMAND "${DOXYGEN_EXECUTABLE}" "${BOOK_DIR}/Doxyfile"
    COMMAND ${CMAKE_COMMAND} -E touch "${BOOK_DIR}/doxygen.stamp"
    DEPENDS "${BOOK_DIR}/woven/pages.txt" ${headers} "${BOOK_DIR}/Doxyfile"
    COMMENT "Doxygen" VERBATIM)

  add_custom_command(OUTPUT "${BOOK_DIR}/bound.stamp"
    COMMAND ${WEAVER} bind --root "${PROJECT_SOURCE_DIR}" --woven "${BOOK_DIR}/woven"
            --doxygen "${BOOK_DIR}/doxygen" --theme "${docs}/theme" --katex "${KATEX_DIR}"
            --about "${BOOK_DIR}/about.json" --fonts "${BOOK_DIR}/fonts" --map "${BOOK_DIR}/map/builds_on.svg" --out "${BOOK_DIR}/html"
            $<$<BOOL:${BOOK_DRAFT}>:--draft>
    COMMAND ${CMAKE_COMMAND} -E touch "${BOOK_DIR}/bound.stamp"
    DEPENDS ${binding} ${theme} "${BOOK_DIR}/woven/tokens.txt" "${BOOK_DIR}/doxygen.stamp"
            "${BOOK_DIR}/about.json" ${drawings} ${fonts} "${BOOK_DIR}/map/builds_on.svg"
    COMMENT "Binding the book" COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(book DEPENDS "${BOOK_DIR}/bound.stamp")

  foreach(form IN ITEMS pdf epub)
    set(file "${BOOK_DIR}/the-annotated-mamba-2.${form}")
    add_custom_command(OUTPUT "${file}"
      COMMAND ${WEAVER} ${form} --html "${BOOK_DIR}/html" --book "${BOOK_DIR}/woven/book.json" --out "${file}"
      DEPENDS "${WEAVER_DIR}/browser.py" "${WEAVER_DIR}/${form}.py" "${BOOK_DIR}/bound.stamp" COMMENT "Making the ${form} of the book" VERBATIM)
    add_custom_target(${form} DEPENDS "${file}")
  endforeach()
  add_custom_target(picture COMMAND ${WEAVER} picture --html "${BOOK_DIR}/html" --out "${docs}/screenshot.png" VERBATIM)
  add_dependencies(picture book)
endfunction()

# What one chapter gives to the book: its output, its figures, its texts.
macro(book_chapter folder number name)
  if(TARGET chapter_${number})
    add_custom_command(OUTPUT "${BOOK_DIR}/outputs/${number}.txt"
      COMMAND ${WEAVER} capture "${BOOK_DIR}/outputs/${number}.txt" $<TARGET_FILE:chapter_${number}>
      DEPENDS chapter_${number} "${WEAVER_DIR}/capture.py"
      COMMENT "Running chapter ${number}" VERBATIM)
    list(APPEND woven_inputs "${BOOK_DIR}/outputs/${number}.txt")
  endif()
  book_figures(${number} "${PROJECT_SOURCE_DIR}/chapters/${folder}/figures" figures_${number})
  file(GLOB texts CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/chapters/${folder}/*.cpp" "${PROJECT_SOURCE_DIR}/chapters/${folder}/*.md"
    "${PROJECT_SOURCE_DIR}/chapters/${folder}/parts.txt" "${PROJECT_SOURCE_DIR}/chapters/${folder}/recorded/*.txt"
    "${PROJECT_SOURCE_DIR}/chapters/${folder}/wrong_answers.json")
  list(FILTER texts EXCLUDE REGEX "/(exercises|figures|record)\\.cpp$")
  list(APPEND woven_inputs ${texts})
endmacro()

# The figures of a folder: data from a program, where there is one; then all drawings in one go.
macro(book_figures number folder program)
  file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.gp" "${folder}/*.dot" "${folder}/*.svg")
  file(GLOB records CONFIGURE_DEPENDS "${folder}/../recorded/*.txt")
  set(data_arguments "")
  set(data_stamp "")
  if(TARGET ${program})
    set(data "${BOOK_DIR}/data/${number}")
    set(data_stamp "${data}.stamp")
    set(data_arguments --data "${data}")
    add_custom_command(OUTPUT "${data_stamp}"
      COMMAND ${CMAKE_COMMAND} -E rm -rf "${data}"
      COMMAND ${CMAKE_COMMAND} -E make_directory "${data}"
      COMMAND ${CMAKE_COMMAND} -E env OPENBLAS_NUM_THREADS=1 $<TARGET_FILE:${program}> "${data}"  # the book's own threads excepted
      COMMAND ${CMAKE_COMMAND} -E touch "${data_stamp}"
      DEPENDS ${program} JOB_POOL measured COMMENT "Data for the figures of ${number}" VERBATIM)
  endif()
  if(sources OR data_stamp)
    add_custom_command(OUTPUT "${BOOK_DIR}/figures/${number}/drawn.txt"
      COMMAND ${WEAVER} draw --out "${BOOK_DIR}/figures/${number}"
              --theme "${PROJECT_SOURCE_DIR}/docs/theme" --prefix "f${number}" ${data_arguments}
              --recorded "${folder}/../recorded" ${sources}
      DEPENDS ${sources} ${records} ${data_stamp} "${WEAVER_DIR}/draw.py" "${WEAVER_DIR}/sections.py" "${PROJECT_SOURCE_DIR}/docs/theme/plot.gp"
      COMMENT "Drawing the figures of ${number}" VERBATIM)
    list(APPEND drawings "${BOOK_DIR}/figures/${number}/drawn.txt")
    list(APPEND woven_inputs "${BOOK_DIR}/figures/${number}/drawn.txt")
  endif()
endmacro()

# The map of what builds on what, read off the chapters' object files and includes and compared with what the chapters say.
macro(book_map)
  set(lines "")
  set(compiled "")
  set(said "")
  foreach(folder IN LISTS MAMBA2_CHAPTERS)
    string(SUBSTRING ${folder} 0 2 number)
    string(SUBSTRING ${folder} 3 -1 name)
    set(library "")
    foreach(target IN LISTS MAMBA2_OBJECTS_${number})
      list(APPEND library $<TARGET_OBJECTS:${target}>)
    endforeach()
    set(program "")
    if(TARGET chapter_${number})
      set(program $<TARGET_OBJECTS:chapter_${number}>)
    endif()
    list(APPEND compiled ${library} ${program})
    list(APPEND said "${PROJECT_SOURCE_DIR}/chapters/${folder}/${name}.cpp")
    string(APPEND lines "${number}|$<JOIN:${library},|>||$<JOIN:${program},|>\n")
  endforeach()
  file(GENERATE OUTPUT "${BOOK_DIR}/map/objects.txt" CONTENT "${lines}")
  file(GLOB interfaces CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/mamba2/*.hpp")
  add_custom_command(OUTPUT "${BOOK_DIR}/map/builds_on.json" "${BOOK_DIR}/map/builds_on.svg"
    COMMAND ${WEAVER} builds_on --root "${PROJECT_SOURCE_DIR}" --objects "${BOOK_DIR}/map/objects.txt" --out "${BOOK_DIR}/map"
            $<$<BOOL:${BOOK_DRAFT}>:--draft>
    DEPENDS "${WEAVER_DIR}/builds_on.py" "${WEAVER_DIR}/draw.py" "${BOOK_DIR}/map/objects.txt" ${compiled} ${said} ${interfaces}
    COMMENT "Drawing the map of the chapters" COMMAND_EXPAND_LISTS VERBATIM)
endmacro()

# The fonts of the pages: the letters that the book uses, cut out of Charis SIL (text) and Inter (headings of boxes, figures).
# Without them the pages use the reader's own fonts.
macro(book_fonts)
  set(fonts "")
  execute_process(COMMAND "${Python3_EXECUTABLE}" -c "import fontTools.subset, brotli" RESULT_VARIABLE no_font_tools ERROR_QUIET)
  set(charis "/usr/share/fonts/truetype/charis/CharisSIL-")
  set(inter "/usr/share/fonts/opentype/inter/Inter-")
  book_font(serif-regular "${charis}Regular.ttf")
  book_font(serif-italic "${charis}Italic.ttf")
  book_font(serif-bold "${charis}Bold.ttf")
  book_font(serif-bolditalic "${charis}BoldItalic.ttf")
  book_font(sans-regular "${inter}Regular.otf")
  book_font(sans-semibold "${inter}SemiBold.otf")
endmacro()

macro(book_font name file)
  if(EXISTS "${file}" AND NOT no_font_tools)
    add_custom_command(OUTPUT "${BOOK_DIR}/fonts/${name}.woff2"
      COMMAND ${CMAKE_COMMAND} -E make_directory "${BOOK_DIR}/fonts"
      COMMAND Python3::Interpreter -m fontTools.subset "${file}" --flavor=woff2 --no-hinting --name-IDs=
              "--unicodes=U+0020-007E,U+00A0-017F,U+0302-0304,U+0391-03C9,U+2010-2015,U+2018-2022,U+2026,U+2032,U+2033,U+2080-2089,U+2190-2193,U+2212,U+221E,U+2248,U+2260,U+2264,U+2265"
              --layout-features=kern,liga,ccmp,mark,tnum --drop-tables+=Silf,Sill,Glat,Gloc,Feat,Silt
              "--output-file=${BOOK_DIR}/fonts/${name}.woff2"
      DEPENDS "${file}" COMMENT "Cutting the font ${name}" VERBATIM)
    list(APPEND fonts "${BOOK_DIR}/fonts/${name}.woff2")
  else()
    message(STATUS "The book does without the font ${name} (Debian: fonts-sil-charis fonts-inter python3-fonttools python3-brotli)")
  endif()
endmacro()

# Which compiler and machine the outputs come from, for the foot of the pages.
function(book_about)
  cmake_host_system_information(RESULT cpu QUERY PROCESSOR_DESCRIPTION)
  cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
  cmake_host_system_information(RESULT system QUERY DISTRIB_PRETTY_NAME)
  string(STRIP "${cpu}" cpu)
  file(CONFIGURE OUTPUT "${BOOK_DIR}/about.json" CONTENT
"{\"compiler\": \"${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}\", \"build\": \"${CMAKE_BUILD_TYPE}\", \"machine\": \"${cpu} (${cores} cores), ${system}\"}\n" @ONLY)
endfunction()
