// Catch2 2's main program. It compiles for ten seconds, so it stands alone and is built once.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
