#!/bin/sh
# check_mixed.sh INCLUDE_DIR COMPILER: pairs of flags in one program, the greater ones linked first and never called,
# on an emulated processor that has the lesser ones only.
set -eu
include=$1 compiler=$2
source=$(dirname "$0")/mixed.cpp
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 pairs=0

# unit COMPILER NAME FLAGS
# shellcheck disable=SC2086 # FLAGS are words
unit() { "$1" -std=c++20 -O3 -I "$include" -DUNIT="$2" $3 -c "$source" -o "$work/$2.o"; }

# pair COMPILER EMULATOR PROCESSOR LESSER GREATER
pair() {
    unit "$1" lesser "$4 -DCALLS"
    unit "$1" greater "$5"
    "$1" -static "$work/greater.o" "$work/lesser.o" -o "$work/program"
    pairs=$((pairs + 1))
    "$2" -cpu "$3" "$work/program" 2>"$work/said" && return
    echo "$1: a unit of '$4' linked with one of '$5' fails on $3 with $?"
    failed=1
}

if command -v qemu-x86_64 >/dev/null; then
    case $("$compiler" -dumpmachine) in
    x86_64*)
        pair "$compiler" qemu-x86_64 SandyBridge -mavx -mavx2
        pair "$compiler" qemu-x86_64 SandyBridge -mavx "-mavx -mbmi2"
        pair "$compiler" qemu-x86_64 Haswell "-mavx2 -mfma" -march=skylake-avx512
        pair "$compiler" qemu-x86_64 Haswell "-mavx2 -mfma" "-mavx2 -mfma -mavx512f"
        pair "$compiler" qemu-x86_64 Nehalem -march=nehalem -march=sandybridge
        pair "$compiler" qemu-x86_64 qemu64,-ssse3,-sse4.1 -march=x86-64 -mssse3
        pair "$compiler" qemu-x86_64 qemu64,-ssse3,-sse4.1 -march=x86-64 -march=x86-64-v3
        ;;
    esac
fi
if command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-g++ >/dev/null; then
    pair aarch64-linux-gnu-g++ qemu-aarch64 cortex-a57 -march=armv8-a -march=armv8.2-a+sve
    pair aarch64-linux-gnu-g++ qemu-aarch64 cortex-a57 -march=armv8-a -march=armv8.4-a+lse+dotprod
fi
[ "$pairs" -gt 0 ] || { echo "no emulator here"; exit 77; }
echo "$pairs pairs"
exit $failed
