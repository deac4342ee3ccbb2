#!/bin/sh
# The same of NF4 weights; run.sh calls it.
exec sh "$(dirname "$0")/../llama/random_weights.sh" decode decode_nf4_of_bw "$1"
