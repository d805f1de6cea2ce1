# Products in bfloat16 by oneDNN, where chapter `fast` found it.
if(ONEDNN_FOUND)
  literate_source(products "${here}/compact_products.cpp")
  set_source_files_properties("${products}" PROPERTIES COMPILE_DEFINITIONS MAMBA2_ONEDNN)
endif()
compile_for_newer_processors(compact_loops.cpp)
