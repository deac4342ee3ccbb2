# The medians of a Google Benchmark JSON file as a table. Exit 1 if a benchmark found a wrong result.
function value(line) {
    sub(/^[^:]*: */, "", line)
    sub(/,$/, "", line)
    gsub(/^"|"$/, "", line)
    return line
}
function flush_entry() {
    if (message != "") {
        printf "%-44s %s\n", name, "FAILED: " message
        failed = 1
    } else if (aggregate == "mad") {
        deviation = time
        if (median[0] > 0) {
            printf "%-44s %10.4g %-3s %8.1f%%", name, median[0], unit, 100 * deviation / median[0]
            printf median[1] == "" ? "           " : " %10.4g", median[1] / 1e9
            printf median[2] == "" ? "\n" : " %10.4g\n", median[2] / 1e9
        }
    } else if (aggregate == "median") {
        median[0] = time
        median[1] = bytes
        median[2] = flops
    }
}
BEGIN { printf "%-44s %14s %9s %10s %10s\n", "", "median", "MAD", "GB/s", "GFLOP/s" }
/^  "benchmarks"/ { inside = 1 }
!inside { next }
/^    \{/ { name = aggregate = message = bytes = flops = "" }
/"name":/ {
    name = value($0)
    wall = name ~ /manual_time|real_time/
    sub(/\/(min_time|repeats|iterations):.*/, "", name)
    sub(/\/(manual|real)_time$/, "", name)
}
/"aggregate_name":/ { aggregate = value($0) }
# Processor time, except where the benchmark takes its own or several threads work.
/"real_time":/ { if (wall) time = value($0) }
/"cpu_time":/ { if (!wall) time = value($0) }
/"time_unit":/ { unit = value($0) }
/"error_message":/ { message = value($0) }
/"bytes":/ { bytes = value($0) }
/"flops":/ { flops = value($0) }
/^    \}/ { flush_entry() }
END { exit failed }
