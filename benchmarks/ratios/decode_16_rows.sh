#!/bin/sh
# Time of a step of greedy decoding with 16 sequences over one with a single one; run.sh calls it.
exec sh "$(dirname "$0")/../llama/random_weights.sh" decode decode_16_rows "$1"
