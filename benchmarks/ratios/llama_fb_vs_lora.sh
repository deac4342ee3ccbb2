#!/bin/sh
# The same of FB; run.sh calls it.
exec sh "$(dirname "$0")/../llama/random_weights.sh" whole_step llama_fb_vs_lora "$1"
