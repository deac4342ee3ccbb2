# Sourced by the tests that run the program: $llama is it, $work a folder that is removed, small_run a short
# training run. `run=exec small_run ... &` makes $! the program itself and not a shell around it.
# shellcheck shell=sh
llama=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The embedded base after one step of pre-training: what it says doesn't matter here. The prompts alone
# fill cutoff_len, so they are what is trained on.
small_run() {
    ${run:-} "$llama" --base_steps 1 --cache_dir "$work/cache" --adapter_name sbora_fa --lora_r 4 --lora_alpha 8 \
        --batch_size 4 --micro_batch_size 2 --cutoff_len 40 --train_on_inputs --max_steps 40 --warmup_steps 5 \
        --val_set_size 4 --eval_step 15 --save_step 2 --seed 7 --threads 2 "$@"
}

fail() {
    echo "failed: $*" >&2
    exit 1
}
