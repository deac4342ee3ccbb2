#!/bin/sh
# Bytes of f32 weights that greedy decoding reads a second, over the bandwidth of reading; run.sh calls it.
exec sh "$(dirname "$0")/../llama/random_weights.sh" decode decode_of_bw "$1"
