// Belongs to the headers that testing.cmake precompiles; a target needs a source file.
