#!/usr/bin/env bash
# Everything that must hold before a change goes in: format, lints, all tests. Sets the machine up first (setup.sh).
#   ./scripts/test.sh          the suite
#   ./scripts/test.sh --slow   also the long loops: tests marked as ignored, and more rounds where GOODGATE_SLOW is read
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh

after=()
case "${1:-}" in
    "") ;;
    --slow) export GOODGATE_SLOW=1; after=(-- --include-ignored) ;;
    *) say "usage: $0 [--slow]"; exit 2 ;;
esac
[ $# -le 1 ] || { say "usage: $0 [--slow]"; exit 2; }

set_up test

# The reference tool for ASC MHL, which judges our manifests (tests/all/oracle.rs). The stamp names what was installed:
# other versions here mean another environment there. The tool itself is not started, since it asks a server for updates.
pins=(ascmhl==1.2 mhl-suite==1.3.1)
reference() {
    local venv=$1
    [ "$(cat "$venv/stamp" 2>/dev/null)" = "${pins[*]}" ] && [ -x "$venv/bin/ascmhl" ] && return
    say "Installing the reference tool from PyPI into \"$venv\": ${pins[*]}"
    rm -rf "$venv"
    python3 -m venv "$venv" \
        && "$venv/bin/pip" install -q --disable-pip-version-check "${pins[@]}" >&2 \
        && [ -x "$venv/bin/ascmhl" ] && printf '%s' "${pins[*]}" >"$venv/stamp" && return
    # Half an environment would look like a whole one to the tests.
    rm -rf "$venv"
    return 1
}

skipped=
if [ -z "${ASCMHL_VENV:-}" ]; then
    venv=${CARGO_TARGET_DIR:-$PWD/target}/ascmhl-venv
    case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
    if reference "$venv"; then
        export ASCMHL_VENV=$venv
    else
        skipped="SKIPPED: every check against the reference tool (ascmhl), which could not be installed from PyPI."
        say "$skipped"
    fi
fi

step() {
    say "--- $*"
    "$@"
}
step cargo fmt --check
step cargo clippy --locked --all-targets -- -D warnings
# Most tests wait for a disk, a timer or a child of their own.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))}
step cargo test --locked "${after[@]}"
[ -z "$skipped" ] || say "$skipped"
