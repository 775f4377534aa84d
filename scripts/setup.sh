# shellcheck shell=bash
# Sourced by demo.sh, test.sh and bench.sh. `set_up demo`, `test` or `bench` finds what this machine lacks and installs it
# with apt, saying what first. Quick and silent when nothing is missing. What counts is that a tool is there, not which
# package brought it, so other distributions work once their own packages are in place.

missing=()

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$0: $1"
    shift
    local line
    for line in "$@"; do say "hint: $line"; done
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# need PACKAGE COMMAND...: the package is missing when the command fails.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return
    local lib
    for lib in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib64/libclang*.so* \
        /usr/lib64/llvm*/lib/libclang*.so*; do
        # libclang-cpp is another library.
        case $lib in *libclang-cpp*) ;; *) [ -e "$lib" ] && return ;; esac
    done
    return 1
}

# root COMMAND...: as root, by sudo where we are not. Without a terminal nobody can type a password.
root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

may_be_root() { [ "$(id -u)" = 0 ] || { has sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; }

find_missing() {
    missing=()
    need gcc has cc
    # The linker and bundled SQLite need libc's headers and start files; cc alone may lack them.
    need libc6-dev test -e "$(cc -print-file-name=crt1.o 2>/dev/null)"
    need clang has clang
    need libclang-dev has_libclang
    need pkg-config has pkg-config
    local lib
    for lib in avcodec avformat avutil avfilter avdevice swscale swresample; do
        need "lib$lib-dev" pkg-config --exists "lib$lib"
    done
    need ffmpeg has ffmpeg
    # Both are in sbin, which a user's PATH may lack.
    need e2fsprogs env PATH="$PATH:/usr/sbin:/sbin" sh -c 'command -v mkfs.ext4'
    need mount env PATH="$PATH:/usr/sbin:/sbin" sh -c 'command -v mount && command -v losetup'
    if [ "$1" = test ]; then
        need python3-venv python3 -c 'import ensurepip, venv'
        # Power cuts on each filesystem that takes groups (test.sh --slow).
        need xfsprogs env PATH="$PATH:/usr/sbin:/sbin" sh -c 'command -v mkfs.xfs'
        need btrfs-progs env PATH="$PATH:/usr/sbin:/sbin" sh -c 'command -v mkfs.btrfs'
    fi
    # test.sh runs bench.sh once, with small cards.
    if [ "$1" != demo ]; then
        # Not the shell's own word of that name.
        need time type -P time
        need jq has jq
        need python3 has python3
        need b3sum has b3sum
        need rsync has rsync
        need rclone has rclone
        [ -n "${without_fio:-}" ] || need fio has fio
    fi
}

install_missing() {
    local why="needed and not found: ${missing[*]}"
    has apt-get || die "$why" "there is no apt-get here; install what these Debian packages hold with what is"
    may_be_root || die "$why" "as root: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    say "Needed and not found; installing with apt: ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    # The lists may be stale or were never fetched. One broken source of many need not matter: install decides.
    root "${apt[@]}" update >&2 || say "apt-get update failed; trying with the lists that are here"
    root "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2 </dev/null \
        || die "apt could not install: ${missing[*]}" "its own message is above"
    hash -r
}

find_rust() {
    has cargo || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    has cargo || die "no Rust toolchain found" "https://rustup.rs installs one; Debian 12's own is too old"
    local least found
    least=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$least" "$found" | sort -V | head -n 1)" = "$least" ] \
        || die "Rust $found is too old; $least or newer is needed" "rustup update stable"
    [ "$1" = test ] || return 0
    local part lacking=()
    for part in fmt clippy; do
        cargo "$part" --version >/dev/null 2>&1 || lacking+=("${part/fmt/rustfmt}")
    done
    [ ${#lacking[@]} = 0 ] && return
    has rustup || die "this Rust toolchain lacks: ${lacking[*]}" "install them beside it"
    say "The Rust toolchain lacks ${lacking[*]}; adding with rustup"
    rustup component add "${lacking[@]}" >&2 || die "rustup could not add: ${lacking[*]}"
}

# set_up demo|test|bench, in the root of the project.
set_up() {
    find_rust "$1"
    find_missing "$1"
    [ ${#missing[@]} = 0 ] && return
    install_missing
    find_missing "$1"
    [ ${#missing[@]} = 0 ] || die "still not found after the installation: ${missing[*]}"
}
