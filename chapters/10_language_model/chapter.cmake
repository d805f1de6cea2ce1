# Configurations and the headers of safetensors files are JSON.
find_package(nlohmann_json 3.10 REQUIRED)
set(chapter_libraries $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)  # headers only: who links the library needs none
