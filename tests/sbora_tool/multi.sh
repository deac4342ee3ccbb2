#!/bin/sh
# multi.sh TOOL MAKE_FILES SCRATCH [KILLS]: many tasks in one model, by sbora_tool multi: results, errors, and what is
# left when it is killed at KILLS random points of claim, merge and remove.
set -eu
tool=$1 make_files=$2 scratch=$3 kills=${4:-200}
rm -rf "$scratch"
mkdir -p "$scratch"
"$make_files" "$scratch"
cd "$scratch"
failures=0

fail() { echo "$*"; failures=$((failures + 1)); }
check() { "$@" || fail "failed: $*"; }

# expect CODE PATTERN ARGUMENT...: multi ends with CODE, and what it says has a match of PATTERN (grep -E).
expect() {
    code=$1 pattern=$2
    shift 2
    status=0
    "$tool" multi "$@" >output 2>&1 || status=$?
    if [ "$status" != "$code" ] || { [ -n "$pattern" ] && ! grep -qE -e "$pattern" output; }; then
        fail "sbora_tool multi $*: exit code $status, expected $code, and a match of: $pattern"
        sed 's/^/    /' output
    fi
}

base=base/model.safetensors

# Usage
expect 2 'A subcommand is required'
expect 2 '--base.*required' init ledger.json
expect 2 '--kind: fc isn.t one of fa.fb' claim ledger.json math --kind fc
expect 2 'nowhere' status nowhere.json

# Four tasks on disjoint columns.
expect 0 '5 modules, ledger in ledger.json' init ledger.json --base base
expect 1 'there is one already' init ledger.json --base base
for task in math law code facts; do
    expect 0 "'$task' owns 10 columns or rows of 5 modules" \
        claim ledger.json $task --rank 2 --adapter adapters/$task
done
seed=10
for task in math law code facts; do
    "$make_files" adapters/$task $seed
    seed=$((seed + 1))
done
expect 2 '3 columns asked for, 2 of 10 are left' claim ledger.json more --rank 3
expect 2 '1 rows asked for, 0 of 12 are left, since others own columns' claim ledger.json more --kind fb --rank 1
expect 2 "no module is named 'x_proj'" claim ledger.json more --modules x_proj
expect 2 'has an adapter already' claim ledger.json more --rank 1 --adapter adapters/math
expect 0 "'again' owns 4 columns or rows of 2 modules" claim ledger.json again --rank 2 --modules q_proj
expect 0 '' transfer ledger.json again more
expect 0 '' release ledger.json more
expect 0 '^A math \(version 1\): 10 columns or rows of 5 modules, adapters/math$' status ledger.json --svg ledger.svg
expect 0 '^\[[A-D.]*\]      2 of     10 columns free  model.layers.0.self_attn.q_proj$' status ledger.json
check grep -q '^</svg>$' ledger.svg
expect 0 'the base and the adapters of 4 tasks are the ledger' verify ledger.json --base base
expect 2 'the ledger is of another base' verify ledger.json --base base_bf16

# All merged in any order are the same bytes; any of them removed, those of a model that never had it.
expect 0 '4 tasks merged' merge ledger.json --base base --output all.safetensors
expect 2 'all.safetensors is there already' merge ledger.json --base base --output all.safetensors
for order in 'math law code facts' 'facts code law math' 'law facts math code'; do
    # shellcheck disable=SC2086
    expect 0 '' merge ledger.json --base base --output order.safetensors --force $order
    check cmp all.safetensors order.safetensors
done
expect 0 'the base and 4 tasks, to the last bit: math, law, code, facts' verify ledger.json --base base --model all.safetensors
expect 0 '' merge ledger.json --base base --output without.safetensors law facts
cp all.safetensors removed.safetensors
expect 0 '1 tasks removed, 3 left' remove ledger.json --base base --model removed.safetensors code
expect 0 '1 tasks removed, 2 left' remove ledger.json --base base --model removed.safetensors math
check cmp without.safetensors removed.safetensors
expect 2 "'math' isn't in removed.safetensors" remove ledger.json --base base --model removed.safetensors math
expect 2 "no task 'nobody'" remove ledger.json --base base --model removed.safetensors nobody
expect 0 '2 tasks removed, 0 left' remove ledger.json --base base --model removed.safetensors law facts
check cmp $base removed.safetensors

# Combined: of disjoint tasks the same bytes as merging them.
expect 0 '2 tasks in one adapter of 5 modules' combine ledger.json math law --output both --method cat
expect 0 '' merge ledger.json --base base --output two.safetensors math law
"$tool" merge both --base base --output both.safetensors --whole >/dev/null
check cmp two.safetensors both.safetensors
expect 2 'has an adapter already' combine ledger.json math --output both
expect 2 '--weights: 1 for 2 tasks' combine ledger.json math law --output ties --weights 0.5
expect 0 '' combine ledger.json math law --output ties --method ties --density 0.5 --weights 0.5,-1
"$tool" convert ties ties_peft --to peft >/dev/null || fail "a combined adapter isn't exported"

# Any of them merged and any of those removed, in any order, in one file and in shards: the bytes of adapters merged one
# by one without a ledger. multi_sequences does this a thousand times.
number=0
while [ $number -lt 12 ]; do
    from=base ending=.safetensors
    if [ $((number % 2)) = 1 ]; then from=sharded ending=; fi
    to=sequence$number$ending
    shuffled=$(awk -v seed=$number 'BEGIN {
        srand(seed)
        split("math law code facts", task)
        for (i = 4; i > 0; --i) { j = int(rand() * i) + 1; printf "%s ", task[j]; task[j] = task[i] }
    }')
    # shellcheck disable=SC2086
    set -- $shuffled
    shift $((number / 2 % 3)) # the rest are merged, from the third on they are left
    expect 0 "^$# tasks merged" merge ledger.json --base $from --output $to "$@"
    one=$1 two=$2
    shift 2
    expect 0 "^2 tasks removed, $# left" remove ledger.json --base $from --model $to "$two" "$one"
    expect 0 "the base and $# tasks" verify ledger.json --base $from --model $to
    at=$from
    for task; do
        alone=alone$number$task$ending
        "$tool" merge "adapters/$task" --base "$at" --output "$alone" --whole >/dev/null || fail "merging $task alone"
        at=$alone
    done
    if [ $from = base ] && [ $# = 0 ]; then at=$base; fi
    check diff -r "$at" "$to"
    number=$((number + 1))
done

# Experts: each of a stack is a module; those with tensors of their own have one name, not two.
expect 0 '6 modules, ledger' init experts.json --base experts
expect 0 "'math' owns 12 columns or rows of 6 modules" claim experts.json math --rank 2 --adapter adapters/math_experts
expect 0 "'law' owns 6 columns or rows of 3 modules" \
    claim experts.json law --rank 2 --modules gate_up_proj --adapter adapters/law_experts
expect 0 "'code' owns 3 columns or rows of 1 modules" \
    claim experts.json code --rank 3 --modules 'model.layers.0.mlp.experts.down_proj[1]' --adapter adapters/code_experts
expect 2 '4 columns asked for, 3 of 8 are left' \
    claim experts.json more --rank 4 --modules 'model.layers.0.mlp.experts.down_proj[1]'
for task in math law code; do
    "$make_files" adapters/${task}_experts $seed
    seed=$((seed + 1))
done
expect 0 '3 tasks merged' merge experts.json --base experts --output experts_all.safetensors
expect 0 '3 tasks, to the last bit: math, law, code' verify experts.json --base experts --model experts_all.safetensors
expect 0 '2 left' remove experts.json --base experts --model experts_all.safetensors math
at=experts
for task in code law; do
    "$tool" merge adapters/${task}_experts --base $at --output experts_$task.safetensors --whole >/dev/null ||
        fail "merging $task alone"
    at=experts_$task.safetensors
done
check cmp experts_law.safetensors experts_all.safetensors
expect 0 '2 tasks, to the last bit: law, code' verify experts.json --base experts --model experts_all.safetensors
expect 0 '9 modules, ledger' init apart.json --base experts_apart
expect 2 "no module is named 'gate_up_proj'" claim apart.json law --modules gate_up_proj
expect 2 'stacks of experts .*gate_up_proj.*, and in the ledger.s base each expert has tensors of its own' \
    claim apart.json law --of adapters/law_experts
expect 0 "'math' owns 12 columns or rows of 6 modules" \
    claim apart.json math --rank 2 --modules gate_proj,up_proj --adapter adapters/math_apart
"$make_files" adapters/math_apart $seed
expect 0 '1 tasks merged' merge apart.json --base experts_apart --output apart.safetensors
expect 0 '1 tasks, to the last bit: math' verify apart.json --base experts_apart --model apart.safetensors

# What is wrong is named.
printf 'X' | dd of=two.safetensors bs=1 seek=$(($(wc -c <two.safetensors) - 3)) conv=notrunc 2>/dev/null
expect 2 'row [0-9]+, column [0-9]+: expected .*, got ' verify ledger.json --base base --model two.safetensors
mv adapters/law adapters/lost
expect 2 "task 'law': " verify ledger.json --base base
mv adapters/lost adapters/law
sed 's/"base": "./"base": "0/; s/\("indices":\[\)[0-9]*/\199/' ledger.json >edited.json
expect 2 'outside \[0, 10\)' status edited.json

# kill -9 at random points: ledger and model are whole, and agree.
latest=20000 # kill, in microseconds; follows how long commands take here
cp all.safetensors killed.safetensors
number=0 cut=0
while [ $number -lt "$kills" ]; do
    case $((number % 4)) in
    0) set -- remove ledger.json --base base --model killed.safetensors code law ;;
    2) set -- merge ledger.json --base base --output killed.safetensors --force math law code facts ;;
    *) set -- claim ledger.json killed$number --rank 1 --modules k_proj ;;
    esac
    delay=$(awk -v seed=$number -v latest=$latest 'BEGIN { srand(seed); printf "%.6f\n", rand() * latest / 1e6 }')
    "$tool" multi "$@" >/dev/null 2>&1 &
    child=$!
    sleep "$delay"
    if kill -9 $child 2>/dev/null; then cut=$((cut + 1)) latest=$((latest * 5 / 4)); else latest=$((latest * 3 / 4)); fi
    wait $child 2>/dev/null || true
    "$tool" multi status ledger.json >output 2>&1 || fail "after kill $number: $(cat output)"
    grep -q 'killed' output && "$tool" multi release ledger.json killed$number >/dev/null
    "$tool" multi verify ledger.json --base base --model killed.safetensors >output 2>&1 ||
        fail "after kill $number: $(cat output)"
    grep -qE 'math, facts$|math, law, code, facts$' output || fail "after kill $number: $(cat output)"
    number=$((number + 1))
done
[ $cut -gt $((kills / 4)) ] || fail "of $kills commands only $cut were killed while they ran"

[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
