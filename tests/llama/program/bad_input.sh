#!/bin/sh
# bad_input.sh LLAMA: everything that a user can get wrong gives one clear line and exit code 2, at once.
set -u
# shellcheck source=small_run.sh
. "$(dirname "$0")/small_run.sh"

small_run --output_dir "$work/base" --max_steps 1 >/dev/null 2>&1 || fail "no base model"
base=$(echo "$work"/cache/base-*)
cat >"$work/rows.json" <<'END'
[{"instruction": "one?", "input": "", "output": "1", "answer": "1"},
 {"instruction": "two?", "input": "", "output": "2", "answer": "2"},
 {"instruction": "three?", "input": "", "output": "3", "answer": "3"}]
END

# refused NAME PATTERN OPTION...: exit code 2 and one message that matches (several lines where it is a list of
# tensors), within seconds.
refused() {
    name=$1 pattern=$2
    shift 2
    timeout 60 "$llama" "$@" >"$work/out" 2>"$work/err"
    code=$?
    [ $code = 2 ] || fail "$name: exit code $code: $(cat "$work/err")"
    [ "$(grep -c '^llama: ' "$work/err")" = 1 ] || fail "$name: not one message: $(cat "$work/err")"
    grep -q -- "$pattern" "$work/err" || fail "$name: no \"$pattern\" in: $(cat "$work/err")"
    echo "$name: $(head -n 3 "$work/err")"
}
# The same for a fine-tuning of a checkpoint; the last ones of repeated options count.
tune() {
    name=$1 pattern=$2 model=$3 data=$4
    shift 4
    refused "$name" "$pattern" --base_model "$model" --data_path "$data" --output_dir "$work/out_dir" \
        --val_set_size 1 --max_steps 1 --batch_size 2 --micro_batch_size 2 "$@"
}
copy() {
    rm -rf "$work/model"
    cp -r "$base" "$work/model"
}

copy
mv "$work/model/model.safetensors" "$work/model/model-00001-of-00002.safetensors"
echo '{"metadata": {}, "weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors",
 "model.embed_tokens.weight": "model-00002-of-00002.safetensors"}}' >"$work/model/model.safetensors.index.json"
tune "missing shard" model-00002-of-00002 "$work/model" "$work/rows.json"

copy
truncate -s -1000 "$work/model/model.safetensors"
tune "truncated file" model.safetensors "$work/model" "$work/rows.json"

copy
sed -i 's/LlamaForCausalLM/GPT2LMHeadModel/; s/"model_type": *"llama"/"model_type": "gpt2"/' "$work/model/config.json"
tune "another architecture" gpt2 "$work/model" "$work/rows.json"

tune "no model" config.json "$work/nowhere" "$work/rows.json"
tune "no data" rows.txt.json "$base" "$work/rows.txt.json"

echo '[{"question": "one?", "output": "1"}]' >"$work/fields.json"
tune "wrong fields" instruction "$base" "$work/fields.json"
echo '[{"instruction": "one?", "output": 1}]' >"$work/types.json"
tune "wrong types" output "$base" "$work/types.json"
echo '[{"instruction": ' >"$work/broken.json"
tune "broken JSON" broken.json "$base" "$work/broken.json"
echo '[]' >"$work/empty.json"
tune "no rows" empty.json "$base" "$work/empty.json"
: >"$work/nothing.json"
tune "empty file" nothing.json "$base" "$work/nothing.json"

tune "rank too large" rank "$base" "$work/rows.json" --lora_r 4096
tune "unknown module" x_proj "$base" "$work/rows.json" --target_modules x_proj
tune "nothing to train on" val_set_size "$base" "$work/rows.json" --val_set_size=3
tune "no such checkpoint" checkpoint "$base" "$work/rows.json" --resume_from_checkpoint "$work/nowhere.safetensors"
tune "broken test file" instruction "$base" "$work/rows.json" --eval_files "$work/fields.json"

# Whatever was wrong above was seen before anything was written.
[ ! -e "$work/out_dir" ] || fail "refused, but wrote: $(find "$work/out_dir")"
printf 'instruction,output\none?\n' >"$work/rows.csv"
tune "CSV of too few fields" "rows.csv: row 0: the number of fields is 1" "$base" "$work/rows.csv"
gzip -c "$work/rows.json" >"$work/rows.json.gz"
tune "gzip" gunzip "$base" "$work/rows.json.gz"
iconv -f UTF-8 -t UTF-16 "$work/rows.json" >"$work/utf16.json"
tune "UTF-16" iconv "$base" "$work/utf16.json"
[ ! -e "$work/out_dir" ] || fail "refused, but wrote $(find "$work/out_dir")"

: >"$work/file"
refused "unwritable folder" output_dir --base_model "$base" --data_path "$work/rows.json" --output_dir "$work/file/dir"
refused "nonsense number" learning_rate --learning_rate fast
refused "unknown option" learning-rate --learning-rate 1
refused "embedded: rank too large" rank --lora_r 4096 --output_dir "$work/out_dir"
refused "embedded: unknown module" x_proj --target_modules x_proj --output_dir "$work/out_dir"
refused "embedded: too little text" base_data --base_data "$work/rows.json" --output_dir "$work/out_dir"
