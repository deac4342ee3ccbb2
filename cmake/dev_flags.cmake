# Warnings for code of this repository only. Never exported: users pick their own.
add_library(sbora_dev_flags INTERFACE)
target_compile_options(sbora_dev_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
