#!/bin/sh
# sh torch/step.sh NAME KIND TYPE BUILD: the ratio NAME, by step.py.
modules=torch
[ "$3" != nf4 ] || modules="torch, bitsandbytes"
exec sh "$(dirname "$0")/peer.sh" "$4" "$modules" step.py "$1" "$2" "$3"
