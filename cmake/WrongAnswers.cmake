# Tests of the graders: the stubs say that they are stubs, the solutions pass, plausible wrong answers are refused.

# plan_wrong_answers(): writes the wrong answers of all chapters as sources under build/wrong_answers/NN (docs/weaver/exercises.py)
# and sets wrong_answers_NN to the names of their programs.
function(plan_wrong_answers)
  if(NOT Python3_Interpreter_FOUND)
    return()
  endif()
  file(GLOB read CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/chapters/*/wrong_answers.json" "${PROJECT_SOURCE_DIR}/chapters/*/solutions.cpp"
    "${PROJECT_SOURCE_DIR}/chapters/*/exercises_test.cpp")
  set_property(DIRECTORY "${PROJECT_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${read} "${WEAVER_DIR}/exercises.py")
  execute_process(COMMAND ${WEAVER} exercises plan --root "${PROJECT_SOURCE_DIR}" --out "${PROJECT_BINARY_DIR}/wrong_answers"
    OUTPUT_VARIABLE lines OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" lines "${lines}")
  foreach(line IN LISTS lines)
    string(REPLACE " " ";" programs "${line}")
    list(POP_FRONT programs number)
    set(wrong_answers_${number} "${programs}" PARENT_SCOPE)
  endforeach()
endfunction()

# add_grader_tests(number folder chapters): for one chapter, labelled `exercises`:
#   chapter_NN.exercises      every exercise has a stub, hints, a solution and three wrong answers; each is as described
#   chapter_NN.stubs          every stub fails with its message
#   chapter_NN.solutions      every solution passes
#   chapter_NN.wrong_answers  every wrong answer is refused by an expectation of the grader
# Their programs are built when they are tested, not with everything else.
function(add_grader_tests number folder chapters)
  set(here "${PROJECT_SOURCE_DIR}/chapters/${folder}")
  if(NOT EXISTS "${here}/exercises_test.cpp")
    return()
  endif()
  set(tests solutions)
  set(programs solutions_${number})
  if(NOT MAMBA2_SANITIZE AND Python3_Interpreter_FOUND)  # under the sanitizers only the solutions are of interest
    list(APPEND tests exercises stubs wrong_answers)
    list(APPEND programs stubs_${number} ${wrong_answers_${number}})
    foreach(name IN LISTS wrong_answers_${number})
      exercise_program(${name} "${PROJECT_BINARY_DIR}/wrong_answers/${number}/${name}.cpp" ${number} "${here}" "${chapters}")
    endforeach()
  endif()
  add_custom_target(exercise_tests_${number} DEPENDS ${programs})

  foreach(test IN LISTS tests)
    add_test(NAME chapter_${number}.${test}
      COMMAND "${PROJECT_SOURCE_DIR}/tests/exercises/test_graders" ${test} ${number} "${PROJECT_BINARY_DIR}"
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    # One build at a time: they share the folder.
    set_tests_properties(chapter_${number}.${test} PROPERTIES
      LABELS "exercises;chapter_${number}" TIMEOUT 600 RESOURCE_LOCK build_folder)
  endforeach()
endfunction()
