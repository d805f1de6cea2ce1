# tokenizer.json is JSON; what is a letter, which characters are the same, and regular expressions are ICU's knowledge.
find_package(nlohmann_json 3.10 REQUIRED)
find_package(ICU REQUIRED COMPONENTS uc i18n)
set(chapter_libraries $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> ICU::i18n ICU::uc)
if(MAMBA2_TESTS)  # the chapter's program runs a model of the tests
  literate_source(demo "${here}/demo.cpp")
  set_source_files_properties("${demo}" PROPERTIES COMPILE_DEFINITIONS "TINY_MODEL=\"${PROJECT_SOURCE_DIR}/tests/golden/lm/tiny\"")
endif()
