# The table of contents is the dependency graph: a chapter's program links the chapters up to its own, and no later one.

# add_chapters(): every folder chapters/NN_name, in order.
#   mamba2_NN      the objects of chapter NN: its definitions of what src/mamba2 declares
#   chapter_NN     its program (demo.cpp)
#   figures_NN     where there is a figures.cpp: the program that computes the data of the chapter's figures
#   record_NN      where there is a record.cpp: the program that makes what recorded/ keeps of runs that take longer than a build
#   exercises_NN, solutions_NN, check_NN ...: see Exercises.cmake
# A chapter that needs more libraries names them in chapters/NN_name/chapter.cmake:
#   set(chapter_libraries ICU::uc)
#   chapters       all of them, and the library
# A long chapter is several literate files: chapters/NN_name/parts.txt names those that follow name.cpp, in the order of reading.
# What later chapters may choose anew is defined in a file of its own, chapters/NN_name/choices/what.cpp: of the files of one name
# a program links the last one up to its chapter, and the library the last one of all.
function(add_chapters)
  if(MAMBA2_TESTS)
    add_custom_target(chapters)
    plan_wrong_answers()
  endif()
  file(GLOB folders CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/chapters" "${PROJECT_SOURCE_DIR}/chapters/[0-9][0-9]_*")
  list(SORT folders)
  set(objects "")  # of the chapters so far
  set(chosen "")   # names of choices so far; choice_NAME is the target that defines it
  set(all_libraries "")
  foreach(folder IN LISTS folders)
    string(SUBSTRING ${folder} 0 2 number)
    string(SUBSTRING ${folder} 3 -1 name)
    set(here "${PROJECT_SOURCE_DIR}/chapters/${folder}")
    set(chapter_libraries "")
    set(objects_before ${objects})
    include("${here}/chapter.cmake" OPTIONAL)
    list(APPEND all_libraries ${chapter_libraries})

    set(parts "")
    if(EXISTS "${here}/parts.txt")
      file(STRINGS "${here}/parts.txt" parts)
      set_property(DIRECTORY "${PROJECT_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${here}/parts.txt")
    endif()
    set(sources "")
    list(FILTER parts EXCLUDE REGEX "^choices/")  # linked by choice, see below
    foreach(file IN ITEMS ${name}.cpp ${parts})
      literate_source(source "${here}/${file}")  # the code without the prose, see Book.cmake
      list(APPEND sources "${source}")
    endforeach()
    add_library(mamba2_${number} OBJECT ${sources})
    target_link_libraries(mamba2_${number} PRIVATE mamba2_settings PUBLIC ${chapter_libraries})
    set_target_properties(mamba2_${number} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    compile_tensors_once(mamba2_${number})
    list(APPEND objects mamba2_${number})
    set(MAMBA2_CHAPTER_${name} mamba2_${number} PARENT_SCOPE)  # for those who need one chapter: by its name

    file(GLOB choices CONFIGURE_DEPENDS "${here}/choices/*.cpp")
    foreach(file IN LISTS choices)
      cmake_path(GET file STEM choice)
      literate_source(source "${file}")
      set(choice_${choice} mamba2_${number}_${choice})
      add_library(${choice_${choice}} OBJECT "${source}")
      target_link_libraries(${choice_${choice}} PRIVATE mamba2_settings ${chapter_libraries})
      set_target_properties(${choice_${choice}} PROPERTIES POSITION_INDEPENDENT_CODE ON)
      compile_tensors_once(${choice_${choice}})
      list(APPEND chosen ${choice})
    endforeach()
    list(REMOVE_DUPLICATES chosen)
    set(own ${objects})
    list(REMOVE_ITEM own ${objects_before})
    list(TRANSFORM choices REPLACE ".*/(.*)\\.cpp" "mamba2_${number}_\\1")
    set(MAMBA2_OBJECTS_${number} ${own} ${choices} PARENT_SCOPE)  # all that this chapter adds to the library
    set(so_far ${objects})
    foreach(choice IN LISTS chosen)
      list(APPEND so_far ${choice_${choice}})
    endforeach()
    set(MAMBA2_UP_TO_${name} "${so_far}" PARENT_SCOPE)

    if(MAMBA2_TESTS)
      add_chapter_program(chapter_${number} "${here}/demo.cpp" "${so_far}")
      add_chapter_program(figures_${number} "${here}/figures.cpp" "${so_far}")
      add_record(${number} ${folder})
      add_exercises(${number} ${folder} "${so_far}")
      add_chapter_tests(${number} ${folder} "${so_far}")
    endif()
  endforeach()
  set(MAMBA2_CHAPTERS "${folders}" PARENT_SCOPE)
  set(MAMBA2_CHAPTER_OBJECTS "${so_far}" PARENT_SCOPE)
  set(MAMBA2_CHAPTER_LIBRARIES "${all_libraries}" PARENT_SCOPE)
endfunction()

# compile_for_newer_processors(file): for chapter.cmake. A file of inner loops is compiled once more for each newer level of the
# instruction set, with MAMBA2_INSTRUCTION_SET as the level's name; the program picks one when it starts.
macro(compile_for_newer_processors file)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    literate_source(loops "${here}/${file}")
    foreach(level IN ITEMS x86-64-v3 x86-64-v4)
      string(REPLACE "-" "_" set ${level})
      add_library(mamba2_${number}_${set} OBJECT "${loops}")
      target_link_libraries(mamba2_${number}_${set} PRIVATE mamba2_settings)
      target_compile_definitions(mamba2_${number}_${set} PRIVATE MAMBA2_INSTRUCTION_SET=${set})
      target_compile_options(mamba2_${number}_${set} PRIVATE -march=${level})
      set_target_properties(mamba2_${number}_${set} PROPERTIES POSITION_INDEPENDENT_CODE ON)
      list(APPEND objects mamba2_${number}_${set})
    endforeach()
  endif()
endmacro()

# add_chapter_program(target source chapters): a program, if its source is there, from the chapters up to its own.
function(add_chapter_program target source chapters)
  if(EXISTS "${source}")
    if(source MATCHES "/demo\\.cpp$")
      literate_source(source "${source}")
    endif()
    add_executable(${target} "${source}")
    add_dependencies(chapters ${target})
    target_link_libraries(${target} PRIVATE mamba2_settings ${chapters})
    compile_tensors_once(${target})
  endif()
endfunction()

# add_record(number folder): record_NN, with the whole library, whose fast operations a long run wants; and for each record a test that
# repeats its first steps, labelled `chapter_NN`.
function(add_record number folder)
  set(here "${PROJECT_SOURCE_DIR}/chapters/${folder}")
  if(EXISTS "${here}/record.cpp")
    add_executable(record_${number} "${here}/record.cpp")
    target_link_libraries(record_${number} PRIVATE mamba2_settings mamba2::mamba2)
    target_compile_definitions(record_${number} PRIVATE RECORDED="${here}/recorded" MODELS="${PROJECT_SOURCE_DIR}/models")
    file(GLOB records CONFIGURE_DEPENDS "${here}/recorded/*.txt")
    foreach(record IN LISTS records)
      cmake_path(GET record STEM name)
      add_test(NAME record_${number}.${name} COMMAND record_${number} ${name} --repeat)
      set_tests_properties(record_${number}.${name} PROPERTIES LABELS "programs;chapter_${number}" TIMEOUT 300)
    endforeach()
  endif()
endfunction()

# compile_tensors_once(target): xtensor takes as long to compile as what a chapter does with it, so the header of tensors is compiled
# before the rest: once for the library, once for programs, which are compiled with other flags. The first target brings it.
function(compile_tensors_once target)
  get_target_property(kind ${target} TYPE)
  get_property(first GLOBAL PROPERTY tensors_compiled_for_${kind})
  if(first)
    target_precompile_headers(${target} REUSE_FROM ${first})
  else()
    target_precompile_headers(${target} PRIVATE <mamba2/tensor.hpp>)
    set_property(GLOBAL PROPERTY tensors_compiled_for_${kind} ${target})
  endif()
endfunction()

# add_chapter_tests(number folder chapters): the program runs and what it claims ("agree to 1e-12: yes") holds, and the tests of
# the chapter's grader; all labelled `chapter_NN`.
function(add_chapter_tests number folder chapters)
  if(TARGET chapter_${number})
    add_test(NAME chapter_${number}.program COMMAND chapter_${number})
    set_tests_properties(chapter_${number}.program PROPERTIES
      LABELS "programs;chapter_${number}" TIMEOUT 120 FAIL_REGULAR_EXPRESSION "(agree|equal|same)[^\n]*: no")
  endif()
  add_grader_tests(${number} ${folder} "${chapters}")
endfunction()

# add_mamba2_library(): all chapters as one library, the one that programs link.
function(add_mamba2_library)
  set(objects "")
  foreach(chapter IN LISTS MAMBA2_CHAPTER_OBJECTS)
    list(APPEND objects $<TARGET_OBJECTS:${chapter}>)
  endforeach()
  add_library(mamba2 ${objects})
  if(TARGET chapters)
    add_dependencies(chapters mamba2)
  endif()
  add_library(mamba2::mamba2 ALIAS mamba2)
  target_compile_features(mamba2 PUBLIC cxx_std_20)
  target_include_directories(mamba2 PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<INSTALL_INTERFACE:include>)
  target_link_libraries(mamba2 PUBLIC xtensor xtensor-blas PRIVATE ${MAMBA2_CHAPTER_LIBRARIES})
  set_target_properties(mamba2 PROPERTIES LINKER_LANGUAGE CXX)
endfunction()
