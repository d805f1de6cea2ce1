# What is kept of a training is described in JSON.
find_package(nlohmann_json 3.10 REQUIRED)
set(chapter_libraries $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)
