#!/bin/sh
# check_lifetimes.sh INCLUDE_SBORA: an accessor that returns a reference, a pointer, a span, a view or a delta of what
# its object owns can't be called on a temporary: it is `&`, or `const&` with `const&& = delete` or a copy beside it.
# Classes that hand out what is another's end in _view or are named below. Prints accessors that can; exit 1 if there
# is one.
set -eu
cd "$1"

find . -name '*.hpp' | LC_ALL=C sort | xargs awk '
    BEGIN {
        owns_nothing = "_view$|^(adapter_in_call|aligned_allocator|fb_saved|gguf_value|json_fields|merger|patched_file|tensor_index" \
                       "|thinned_delta|transposed|with_gradient|workspace_frame)$"
    }
    function report(key) { print key; failed = 1 }
    function flush(    name) {
        for (name in open_calls) if (!(name in guarded)) report(open_calls[name])
        split("", open_calls); split("", guarded)
    }
    FNR == 1 { flush(); inside = "" }
    /^(class|struct) / { flush(); inside = $2 == "[[nodiscard]]" ? $3 : $2; shown = /^struct/ }
    /^ (public|protected|private):/ { shown = /public/ }
    /^};/ { flush(); inside = "" }
    inside == "" || !shown || inside ~ owns_nothing { next }
    /^  [A-Za-z_].*\)( const)?(&&?)?( &&?)?( noexcept)?( = delete)?( \{.*|;.*)$/ {
        if (/^  (return|static|friend|using|explicit|throw|else|if|for)/) next
        head = $0
        sub(/\).*/, "", head)
        name = head; sub(/\(.*/, "", name); sub(/.*[ &*]/, "", name)
        tail = $0; sub(/^[^(]*\([^)]*\)/, "", tail); sub(/[{;].*/, "", tail)
        if (tail ~ /&&/) guarded[name]
        if (tail ~ /&&/ || head !~ /([&*] |span<.*> |view<.*> |view |_map |_list<.*> |delta<.*> )[a-z_]+\(/) next
        where = FILENAME ":" FNR ": " inside "::" name
        if (tail ~ /const ?&/) open_calls[name] = where " const&, without const&& beside it"
        else if (tail !~ /&/) report(where)
    }
    END { flush(); exit failed }'
