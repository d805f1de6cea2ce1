# The exercises of a chapter, chapters/NN_name:
#   exercises_stub.cpp  the stubs as the book gives them: kept in the repository, never edited by a reader
#   exercises.cpp       the reader's own copy: made from the stubs where it is missing, ignored by git
#   solutions.cpp       ours
#   exercises_test.cpp  the grader, built once and linked with each of the three
#   wrong_answers.json  plausible mistakes, each a replacement in a solution, that the grader has to refuse

# What the exercises are compiled with: quickly, kindly, and with every index checked.
add_library(exercise_settings INTERFACE)
target_compile_features(exercise_settings INTERFACE cxx_std_20)
target_include_directories(exercise_settings INTERFACE "${PROJECT_SOURCE_DIR}/src")
target_link_libraries(exercise_settings INTERFACE xtensor xtensor-blas)
target_compile_definitions(exercise_settings INTERFACE XTENSOR_ENABLE_ASSERT)
target_compile_options(exercise_settings INTERFACE -Wall -Wextra -Wno-unused-parameter $<$<CONFIG:Release>:-O1>
  -g1)  # so that a verdict can name the line of a crash
if(MAMBA2_SANITIZE)
  target_compile_definitions(exercise_settings INTERFACE GRADER_SANITIZED)  # they reserve more than there is
  target_compile_options(exercise_settings INTERFACE -fsanitize=${MAMBA2_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(exercise_settings INTERFACE -fsanitize=${MAMBA2_SANITIZE})
endif()

# The program around the graders, and the precompiled header that makes a verdict quick.
add_library(grader OBJECT EXCLUDE_FROM_ALL "${PROJECT_SOURCE_DIR}/src/exercises/grader.cpp"
  "${PROJECT_SOURCE_DIR}/src/exercises/place.cpp")
set_source_files_properties("${PROJECT_SOURCE_DIR}/src/exercises/place.cpp" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)  # defines throw
target_link_libraries(grader PRIVATE exercise_settings)
target_precompile_headers(grader PRIVATE <exercises/grader.hpp>)

# All graders, so that the first verdict is as quick as the next: everything but the reader's own file is built.
add_custom_target(graders)

# exercise_object(target source): one source file of an exercise, compiled with the precompiled header.
function(exercise_object target source)
  add_library(${target} OBJECT EXCLUDE_FROM_ALL "${source}")
  target_link_libraries(${target} PRIVATE exercise_settings)
  target_precompile_headers(${target} REUSE_FROM grader)
endfunction()

# exercise_program(target source number here chapters): a grader linked with one of its answers.
function(exercise_program target source number here chapters)
  add_executable(${target} EXCLUDE_FROM_ALL "${source}")
  target_include_directories(${target} PRIVATE "${here}")
  target_precompile_headers(${target} REUSE_FROM grader)
  target_link_libraries(${target} PRIVATE exercise_settings grader grader_${number} ${chapters})
endfunction()

# add_exercises(number folder chapters): the targets of one chapter's exercises.
#   grader_NN     the grader's object
#   exercises_NN  the grader with the reader's file;  stubs_NN: with the stubs;  solutions_NN: with the solutions
#   check_NN      builds exercises_NN and runs it
function(add_exercises number folder chapters)
  set(here "${PROJECT_SOURCE_DIR}/chapters/${folder}")
  if(NOT EXISTS "${here}/exercises_test.cpp")
    return()
  endif()
  if(NOT EXISTS "${here}/exercises_stub.cpp")
    message(FATAL_ERROR
      "chapters/${folder} has exercises but no exercises_stub.cpp. The stubs are kept in exercises_stub.cpp; "
      "exercises.cpp beside it is the reader's copy, made from it and ignored by git. If the stubs lie in exercises.cpp:\n"
      "  mv chapters/${folder}/exercises.cpp chapters/${folder}/exercises_stub.cpp")
  endif()
  if(NOT EXISTS "${here}/exercises.cpp")
    file(COPY_FILE "${here}/exercises_stub.cpp" "${here}/exercises.cpp")
  endif()
  exercise_object(grader_${number} "${here}/exercises_test.cpp")
  target_include_directories(grader_${number} PRIVATE "${here}")
  foreach(kind IN ITEMS exercises stubs solutions)
    set(source ${kind})
    if(kind STREQUAL stubs)
      set(source exercises_stub)
    endif()
    exercise_program(${kind}_${number} "${here}/${source}.cpp" ${number} "${here}" "${chapters}")
  endforeach()
  add_dependencies(graders grader_${number} stubs_${number})
  add_custom_target(check_${number} COMMAND exercises_${number} USES_TERMINAL VERBATIM
    COMMENT "Grading chapters/${folder}/exercises.cpp")
endfunction()
