#!/bin/sh
# run.sh TOOL MAKE_FILES SCRATCH: every command of sbora_tool, its results and its errors.
set -eu
tool=$1 make_files=$2 scratch=$3
rm -rf "$scratch"
mkdir -p "$scratch"
"$make_files" "$scratch"
cd "$scratch"
failures=0

# expect CODE PATTERN ARGUMENT...: sbora_tool ends with CODE, and what it says has a match of PATTERN (grep -E).
expect() {
    code=$1 pattern=$2
    shift 2
    status=0
    "$tool" "$@" >output 2>&1 || status=$?
    if [ "$status" != "$code" ] || ! grep -qE -e "$pattern" output; then
        echo "sbora_tool $*: exit code $status, expected $code, and a match of: $pattern"
        sed 's/^/    /' output
        failures=$((failures + 1))
    fi
}

# One message, one line.
one_line() { [ "$(wc -l <output)" = 1 ] || { echo "more than one line:"; cat output; failures=$((failures + 1)); }; }
check() { "$@" || { echo "failed: $*"; failures=$((failures + 1)); }; }

# Usage
expect 0 'Exit codes: 0 done, 1 failed, 2 wrong' --help
for command in inspect convert merge diff; do expect 0 'PATH' $command --help; done
expect 0 'verify' multi --help
expect 0 '^sbora_tool [0-9]+\.[0-9]+\.[0-9]+$' --version
expect 2 'sbora_tool: A subcommand is required' && one_line
expect 2 'sbora_tool: ' teach && one_line
expect 2 'path.*required' inspect && one_line
expect 2 'PATH.*required|path: the name is empty' inspect '' && one_line
expect 2 '--to: onnx isn.t one of native.official.peft.paca.gguf' convert fa out --to onnx && one_line
expect 2 '--to.*required' convert fa out && one_line
expect 2 '--record-base needs --base' convert fa out --to native --record-base && one_line
expect 2 '--record-base needs --to native' convert fa out --to peft --record-base --base base && one_line
expect 2 '--rslora-flag needs --to peft' convert fa out --to native --rslora-flag && one_line

# inspect
expect 0 'kind +SBoRA-FA' inspect fa
expect 0 'trainable parameters  108' inspect fa
expect 0 'layout +native' inspect fa
expect 0 'seed +5$' inspect fa
expect 0 'scale +2$' inspect fa
expect 0 '^12 x 10 +3 +2 .*model.layers.1.self_attn.q_proj$' inspect fa --list
expect 0 "don't say how large the weights are" inspect fa_official
expect 0 'I64 +\[3\] +base_model.model.model.layers.0.self_attn.k_proj.lora_A' inspect fa_official --list
expect 0 'layout +official' inspect fb_official --base base
expect 0 'kind +SBoRA-FB' inspect fb_official --base base
expect 0 'trainable parameters  120' inspect fb_official --base base/model.safetensors
expect 0 'rsLoRA' inspect fb_rslora
expect 0 "can't be loaded.*is no SBoRA adapter: lora_A: row 0 has 0.5 in column 0" inspect dense_lora
expect 0 "not honoured.*use_dora isn't supported" inspect dora --base base
expect 0 'tensors +6$' inspect base
expect 0 'files +2$' inspect sharded
expect 0 'of BF16 +6 tensors, 530 elements' inspect base_bf16
expect 0 '^F32 +\[12, 10\] +model.layers.0.self_attn.q_proj.weight$' inspect base --list
mkdir empty
expect 2 'no adapter_config.json' inspect empty && one_line
expect 2 'holds several adapters; name one of them' inspect .
expect 2 'nowhere' inspect nowhere && one_line
printf nonsense >broken.safetensors
expect 2 'broken.safetensors: invalid header length|header' inspect broken.safetensors && one_line

# convert: around in a circle, bit for bit
expect 0 'SBoRA-FA adapter of 4 modules, 108 parameters, in circle/official' convert fa circle/official --to official
check cmp circle/official/adapter_model.safetensors fa_official/adapter_model.safetensors
check cmp circle/official/adapter_config.json fa_official/adapter_config.json
expect 0 '' convert circle/official circle/peft --to peft --base base
expect 0 '' convert circle/peft circle/native --to native
expect 0 '^same: 4 modules$' diff fa circle/native
expect 0 '' convert fb_rslora rslora --to peft --rslora-flag
check grep -q '"use_rslora": true' rslora/adapter_config.json
expect 0 '' convert rslora rslora_native --to native
expect 0 '^same: 4 modules$' diff fb_rslora rslora_native
expect 0 '' convert fb_rslora rslora_folded --to peft
check grep -q '"lora_alpha": 10.39' rslora_folded/adapter_config.json
expect 0 '^same: 4 modules$' diff fb_rslora rslora_folded
expect 0 'SBoRA-FA adapter of 4 modules' convert fa circle/paca --to paca
check grep -q '"paca_alpha": ' circle/paca/adapter_config.json
expect 0 'layout +PaCA' inspect circle/paca --base base
expect 0 'I64 +\[3\] +base_model.model.model.layers.0.self_attn.k_proj.paca_indices' inspect circle/paca --list
expect 2 "don't say how large the weights are" convert circle/paca out --to native
expect 0 '' convert circle/paca circle/from_paca --to native --base base
expect 0 '^same: 4 modules$' diff fa circle/from_paca
expect 2 'PaCA trains columns of weights, which is FA; this adapter is FB' convert fb_rslora out --to paca
expect 2 'PaCA has one kind for all modules; this adapter has FA and FB' convert mixed out --to paca
check [ ! -e out ]
expect 2 'has an adapter already; --force replaces it' convert fa circle/peft --to peft && one_line
expect 0 '' convert fb_official circle/peft --to peft --base base --force
expect 2 "don't say how large the weights are" convert fb_official out --to peft
expect 2 "is no SBoRA adapter: lora_A: row 0 has 0.5 in column 0.*lora_B: column 0 has 0.25 in row 0" \
    convert dense_lora out --to native
expect 2 "use_dora isn't supported" convert dora out --to native --base base
check [ ! -e out ]
expect 0 "left out: use_dora isn't supported" convert dora lenient --to native --base base --lenient
expect 0 '^same: 4 modules$' diff fa lenient
expect 0 '' convert fa recorded --to native --base base --record-base
expect 0 'base recorded +of 4 modules' inspect recorded
expect 2 "nowhere" convert fa out2 --to native --base nowhere && one_line

# Gate and up of an expert in one tensor or in two: the same record, and both bases are the one.
for base in experts experts_apart; do
    expect 0 '' convert on_stack recorded_$base --to native --base $base --record-base
    expect 0 'base recorded +of 3 modules' inspect recorded_$base
    for other in experts experts_apart; do
        expect 0 'tensors merged' merge recorded_$base --base $other --output experts_$other.safetensors --force
        expect 2 "isn't the one that the adapter was trained on" \
            merge recorded_$base --base other_$other --output out.safetensors
    done
done
fingerprints() { grep -o '"base[^"]*": *"[0-9a-f]\{16\}"' "$1/adapter_config.json"; }
check [ "$(fingerprints recorded_experts)" = "$(fingerprints recorded_experts_apart)" ]
check [ "$(fingerprints recorded_experts | wc -l)" = 3 ]
expect 0 '' convert on_parts recorded_parts --to native --base experts_apart --record-base
expect 0 '6 tensors merged' merge recorded_parts --base experts_apart --output experts_parts.safetensors
expect 2 "gate_proj' is none of the model's" convert on_parts out --to native --base experts --record-base
expect 2 "gate_proj' is none of the model's" merge recorded_parts --base experts --output out.safetensors
check [ ! -e out ]
check [ ! -e out.safetensors ]

# llama.cpp's files: names, sizes and order of rows are those of a GGUF model
expect 0 'SBoRA-FA adapter of 4 modules, 108 parameters, in fa.gguf' convert fa fa.gguf --to gguf --base base.gguf
expect 2 'fa.gguf is there already; --force replaces it' convert fa fa.gguf --to gguf --base base.gguf && one_line
expect 0 '' convert fa_official official.gguf --to gguf --base base.gguf
check cmp fa.gguf official.gguf
expect 0 '' convert mixed fa.gguf --to gguf --base base.gguf --force
check [ "$(cmp fa.gguf official.gguf 2>&1)" ]
expect 2 '--to gguf needs --base with the model.s GGUF file' convert fa out.gguf --to gguf && one_line
expect 2 '--to gguf needs --base with the model.s GGUF file' convert fa out.gguf --to gguf --base base && one_line
expect 2 "tensor 'model.norm.weight' is replaced as a whole" convert full out.gguf --to gguf --base base.gguf
expect 2 'nowhere' convert fa nowhere/out.gguf --to gguf --base base.gguf && one_line
check [ ! -e out.gguf ]
expect 2 'base.gguf: a GGUF file, where only a safetensors checkpoint' \
    convert fa recorded_gguf --to native --record-base --base base.gguf && one_line

cp -r fa 'fa with spaces'
expect 0 'in out with spaces$' convert 'fa with spaces' 'out with spaces' --to native
expect 0 '^same: 4 modules$' diff 'fa with spaces' 'out with spaces'

# diff
expect 0 '^same: 6 tensors$' diff base base
expect 0 '^same: 6 tensors$' diff base sharded
expect 1 'model.norm.weight: F32 \[10\] and BF16 \[10\]' diff base base_bf16
expect 1 '^6 of 6 tensors differ$' diff base other_base
expect 1 '^fa is SBoRA-FA, fb_rslora is SBoRA-FB$' diff fa fb_rslora
expect 1 'q_proj: columns: [0-9]+ only in the first' diff fa fa_other
expect 1 '^4 of 4 modules differ$' diff fa fa_other

# FA and FB in one adapter
expect 0 'kind +SBoRA-FA and FB' inspect mixed
expect 0 '^6 x 10 +3 +2 .*model.layers.1.self_attn.k_proj$' inspect mixed --list
expect 0 'SBoRA-FA and FB adapter of 4 modules' convert mixed mixed_peft --to peft
expect 0 '^same: 4 modules$' diff mixed mixed_peft
expect 1 'fa is SBoRA-FA, mixed is SBoRA-FA and FB' diff fa mixed
expect 2 'one kind for all modules; this adapter has FA and FB' convert mixed mixed_official --to official
expect 0 '4 tensors merged' merge mixed --base base --output mixed_merged --whole
expect 0 '4 tensors merged' merge mixed_peft --base base --output mixed_peft_merged --whole
expect 0 '^same: ' diff mixed_merged mixed_peft_merged
expect 2 'fa is an adapter, base a checkpoint' diff fa base && one_line
expect 2 'nowhere' diff base nowhere && one_line

# merge: each way gives the same numbers, and only the adapter's regions differ
expect 0 '4 tensors merged, 1,440 bytes in changed.safetensors' merge fa --base base --output changed.safetensors
expect 0 'tensors +4$' inspect changed.safetensors
expect 0 '4 tensors merged' merge fa --base base --output whole --whole
expect 1 'model.layers.0.self_attn.q_proj.weight: 3 of 10 columns differ' diff base whole
expect 1 '^4 of 6 tensors differ$' diff base whole
expect 1 '^2 of 6 tensors differ$' diff whole changed.safetensors # those that only one has
expect 0 '4 tensors merged' merge fa_official --base sharded --output whole_sharded --whole
check cmp sharded/model.safetensors.index.json whole_sharded/model.safetensors.index.json
expect 0 '^same: 6 tensors$' diff whole whole_sharded
expect 0 '' merge circle/native --base base/model.safetensors --output one.safetensors --whole
check cmp one.safetensors whole/model.safetensors
expect 0 '' merge fb_rslora --base base --output rows --whole
expect 1 'model.layers.1.self_attn.k_proj.weight: 3 of 6 rows differ' diff base rows
expect 0 '' merge fa --base base --output zero --whole --multiplier 0
expect 0 '^same: 6 tensors$' diff base zero
expect 0 '' merge recorded --base base_bf16 --output bf16 --whole # the same numbers in another type
expect 1 'q_proj.weight: 3 of 10 columns differ' diff base_bf16 bf16
expect 2 "module 'model.layers.1.self_attn.k_proj': the weight isn't the one that the adapter was trained on" \
    merge recorded --base other_base --output out --whole
expect 0 '' merge recorded --base other_base --output other --whole --any-base
expect 2 'is there already; --force replaces it' merge fa --base base --output whole --whole && one_line
expect 0 '' merge fb_rslora --base base --output whole --whole --force
mkdir partly single && cp sharded/model.safetensors.index.json partly && cp whole/model.safetensors single
expect 2 'partly/model.safetensors.index.json is there already' \
    merge fa --base sharded --output partly --whole && one_line
expect 2 'single/model.safetensors is there, which readers take before shards' \
    merge fa --base sharded --output single --whole --force && one_line
expect 0 '^same: 6 tensors$' diff rows whole
expect 2 'a name that ends with .safetensors is needed, or --whole' merge fa --base base --output out && one_line
expect 2 'and its shards; name a folder' merge fa --base sharded --output out.safetensors --whole && one_line
expect 2 "isn't a finite number" merge fa --base base --output out --multiplier nan && one_line
expect 2 'is no SBoRA adapter' merge dense_lora --base base --output out.safetensors
expect 2 'nowhere' merge fa --base nowhere --output out.safetensors && one_line
expect 2 "nowhere" merge nowhere --base base --output out.safetensors && one_line
expect 2 'open, mapped into memory' merge fa --base base --output base/model.safetensors --whole --force && one_line
expect 0 '^same: 6 tensors$' diff base sharded
expect 2 'nowhere' merge fa --base base --output nowhere/out.safetensors && one_line
expect 2 'finite' merge fa --base base --output out.safetensors --multiplier 1e39 && one_line
check [ ! -e out ]
check [ ! -e out.safetensors ]

# Into a GGUF model: what merging into the checkpoint gives, with the file's names and rows
expect 0 '4 tensors merged, in merged.gguf' merge fa --base base.gguf --output merged.gguf
"$make_files" whole_sharded merged_of_checkpoint.gguf
check cmp merged.gguf merged_of_checkpoint.gguf
expect 0 '4 tensors merged' merge mixed --base base.gguf --output merged.gguf --blocks f16 --force
expect 0 '6 tensors merged' merge full --base base.gguf --output full.gguf
expect 2 'merged.gguf is there already; --force replaces it' merge fa --base base.gguf --output merged.gguf && one_line
expect 2 'a name that ends with .gguf is needed' merge fa --base base.gguf --output out.safetensors && one_line
expect 2 'which can.t be told of a GGUF' merge recorded --base base.gguf --output out.gguf && one_line
expect 0 '4 tensors merged' merge recorded --base base.gguf --output any.gguf --any-base
expect 2 'finite' merge fa --base base.gguf --output out.gguf --multiplier 1e39 && one_line
expect 2 'open, mapped into memory' merge fa --base base.gguf --output base.gguf --force && one_line
check [ ! -e out.gguf ]

# Tensors that an adapter replaces as a whole
expect 0 'full tensors +2, 170 elements' inspect full
expect 0 '^\[16, 10\] +model.embed_tokens.weight$' inspect full --list
expect 0 '' convert full full_peft --to peft
check grep -q 'model.embed_tokens' full_peft/adapter_config.json
expect 0 '^same: 6 modules and full tensors$' diff full full_peft
expect 1 '^model.norm.weight: .* differ' diff full full_other
expect 1 '^model.norm.weight: only in full$' diff full fa
expect 0 '6 tensors merged' merge full_peft --base base --output full_merged --whole
expect 1 'model.norm.weight: ' diff base full_merged
expect 1 '^2 of 6 tensors differ$' diff whole_sharded full_merged # fa's part is the same
expect 0 '6 tensors merged' merge full --base sharded --output full_sharded --whole
expect 0 '^same: 6 tensors$' diff full_merged full_sharded

# A base in bitsandbytes' codes has the layers' sizes, and says what can be done instead of merging
for base in base_nf4 base_int8; do
    expect 0 'kind +SBoRA-FA' inspect fa_official --base $base
    expect 0 '' convert fa_official from_codes --to native --base $base --record-base --force
    expect 0 'base recorded +of 4 modules' inspect from_codes
    expect 2 'merge into the model that was quantised, and quantise the result; or keep the adapter apart' \
        merge fa --base $base --output out.safetensors
    expect 2 "is there as bitsandbytes' codes of [48] bits" merge from_codes --base $base --output out --whole
    expect 2 "isn't the one that the adapter was trained on" merge from_codes --base base --output out.safetensors
    check [ ! -e out.safetensors ]
done

# What torch.compile and DistributedDataParallel put into names
expect 0 '^same: 4 modules$' diff fb_peft fb_parallel
expect 0 '^same: 6 tensors$' diff base base_compiled
expect 0 '4 tensors merged' merge fb_parallel --base base_compiled --output merged_compiled --whole
expect 0 '' merge fb_peft --base base --output merged_plain --whole
expect 0 '^same: 6 tensors$' diff merged_compiled merged_plain
check grep -q '_orig_mod.model.norm.weight' merged_compiled/model.safetensors

# A head that is the embedding
expect 0 'tie_word_embeddings: true, and lm_head is merged alone: set it to false' \
    merge head --base tied --output head.safetensors
expect 0 '1 tensors merged' merge head --base tied --output head.safetensors --force
expect 2 "is none of the model's, where the head is the embedding 'model.embed_tokens'" \
    merge head --base base --output out.safetensors

# Nothing half-written is left anywhere.
check [ -z "$(find . -name '*.tmp')" ]

[ "$failures" = 0 ] || { echo "$failures failed"; exit 1; }
echo "all commands as expected"
