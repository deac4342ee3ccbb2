# Shell functions shared by tests/run.sh, examples/run.sh, benchmarks/run.sh and .ci/run.
# shellcheck shell=sh
# Source it:  . "$root/cmake/scripts/common.sh"      (POSIX sh)

# say MESSAGE: one line on what is being done.
say() { printf '== %s\n' "$*"; }

# die MESSAGE: the script cannot do its job. Exit 2; 1 is for "it ran and something failed".
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

has_package() {
    case "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" in
        installed*) return 0 ;;
        *) return 1 ;;
    esac
}

# need_packages PKG...: install the Debian packages that are missing, as root or through sudo.
# SBORA_NO_INSTALL=1: name them and go on, for systems where the same tools come from elsewhere.
need_packages() {
    missing=
    for package in "$@"; do
        has_package "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0

    if [ "${SBORA_NO_INSTALL:-0}" = 1 ]; then
        say "not installed as packages, going on without:$missing"
        return 0
    fi
    hint="install what is missing (Debian names):$missing; then run again with SBORA_NO_INSTALL=1"
    command -v apt-get >/dev/null 2>&1 || die "no apt-get here: $hint"
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1; then
        as_root=sudo
    else
        die "neither root nor sudo: $hint"
    fi

    say "apt-get install$missing"
    # env: sudo drops the caller's variables. The lock timeout lets two runs share a machine.
    # Word splitting of $missing is meant: package names have no spaces.
    apt_install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
    $apt_install update >/dev/null || say "apt-get update failed, trying the lists at hand"
    # shellcheck disable=SC2086
    $apt_install install -y --no-install-recommends $missing >/dev/null ||
        die "apt-get could not install them: $hint"
}

# python_environment FOLDER REQUIREMENTS: sets $python to a Python that has the packages of that file, in a virtual
# environment that is made anew where the file has changed.
python_environment() {
    # shellcheck disable=SC2034 # for the caller
    python=$1/bin/python
    if ! cmp -s "$2" "$1/requirements.txt"; then
        need_packages python3 python3-venv
        say "installing $(tr '\n' ' ' <"$2")in $1"
        rm -rf "$1"
        python3 -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check -r "$2" &&
            cp "$2" "$1/requirements.txt" || die "cannot install the packages that $2 lists"
    fi
}

# want_packages PKG...: the same for what there is a way to do without.
want_packages() {
    (need_packages "$@") || say "going on without some of: $*"
}
