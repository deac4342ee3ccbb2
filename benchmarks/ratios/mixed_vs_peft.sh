#!/bin/sh
# PEFT's time for a forward of 64 tokens of 64 LoRAs over sbora's with FA and FB of the same ranks; run.sh calls it.
exec sh "$(dirname "$0")/../torch/peer.sh" "$1" "torch, peft" mixed.py mixed_vs_peft
