#!/bin/sh
# The paper's comparison on its task data, as the table in the README: a byte-level base model pre-trained on the
# commonsense text, fine-tuned on the arithmetic one with SBoRA-FA and -FB of rank 2r and LoRA of rank r, three
# seeds each.
#
#   sh examples/llama/compare.sh DATA [OPTION...]      options go to llama; SEEDS="1 2 3" are the seeds
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -ge 1 ] && [ -d "$1" ] || { echo "usage: sh examples/llama/compare.sh DATA [OPTION...]" >&2; exit 2; }
data=$1
shift
out=${OUTPUT:-compare_out}
common=$data/commonsense
mkdir -p "$out"

results=
for seed in ${SEEDS:-1 2 3}; do
    sh "$root/examples/run.sh" llama \
        --base_data "$common/train_arc_easy.json,$common/train_openbookqa.json,$common/train_boolq.json" \
        --data_path "$data/arithmetic/train.json" --seed "$seed" --output_dir "$out/seed-$seed" \
        --cache_dir "$out/cache" "$@" >"$out/seed-$seed.log" || {
        echo "compare.sh: seed $seed failed, see $out/seed-$seed.log" >&2
        exit 1
    }
    results="$results $out/seed-$seed/results.txt"
done

# shellcheck disable=SC2086
awk '
    $1 == "result" {
        split($2, key, ".")
        method = key[1]; what = key[2]
        n[method, what]++
        sum[method, what] += $3
        squares[method, what] += $3 * $3
    }
    function mean(m, w) { return sum[m, w] / n[m, w] }
    function spread(m, w,   v) {
        if (n[m, w] < 2) return 0
        v = (squares[m, w] - sum[m, w] ^ 2 / n[m, w]) / (n[m, w] - 1)
        return v > 0 ? sqrt(v) : 0
    }
    function loss(m, w) { return sprintf("%.3f ± %.3f", mean(m, w), spread(m, w)) }
    END {
        print "| method | trainable parameters | optimiser state | step | peak memory | task loss | base-text loss |"
        print "|---|---|---|---|---|---|---|"
        printf "| base model | | | | | %s | %s |\n", loss("lora", "task_loss_before"), loss("lora", "base_loss_before")
        split("sbora_fa sbora_fb lora", methods, " ")
        split("SBoRA-FA, 2r|SBoRA-FB, 2r|LoRA, r", names, "|")
        for (i = 1; i <= 3; i++) {
            m = methods[i]
            if (!n[m, "parameters"]) continue
            printf "| %s | %d | %.2f MB | %.0f ms | %.0f MiB | %s | %s |\n", names[i], mean(m, "parameters"),
                mean(m, "optimiser_bytes") / 1e6, mean(m, "step_ms"), mean(m, "peak_bytes") / 1048576,
                loss(m, "task_loss_after"), loss(m, "base_loss_after")
        }
    }' $results
