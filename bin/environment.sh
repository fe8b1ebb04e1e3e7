# Sourced by the programs of this directory: makes .venv at the repository root and installs a lock into it.
#
#   bootstrap requirements.txt        what runs
#   bootstrap requirements-dev.txt    that and what tests and lint need
#
# Each lock leaves a stamp with its checksum in .venv and is installed again only when it changed. Packages are
# only added or replaced, never removed, so the two locks share .venv. uv installs when it can be had (faster);
# NO_UV=1 uses plain pip.

export UV_SYSTEM_CERTS=1 # companies that inspect TLS install their authority in the system
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
PYTHON="$ROOT/.venv/bin/python"

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

find_python() {
    for candidate in ${OPSCONDUCTOR_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

make_venv() {
    python=$(find_python) || fail "OpsConductor needs Python 3.11 or newer, and none was found. Install it, or name it: OPSCONDUCTOR_PYTHON=/path/to/python3 $0"
    say "Creating .venv with $("$python" --version 2>&1) ..."
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        fail "This Python has no venv module. On Debian and Ubuntu: apt-get install python3-venv; then start again."
    rm -rf "$ROOT/.venv"
    "$python" -m venv --without-pip "$ROOT/.venv" ||
        fail "The environment .venv could not be created; the reason stands above."
}

# Sets UV to a uv program, or to nothing.
find_uv() {
    UV=
    [ -z "${NO_UV:-}" ] || return 0
    if [ -x "$ROOT/.venv/bin/uv" ] && "$ROOT/.venv/bin/uv" --version >/dev/null 2>&1; then
        UV="$ROOT/.venv/bin/uv"
    elif command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then
        UV=uv
    else
        say "Fetching the installer uv ..."
        have_pip || return 0
        # Its entry of the development lock, with the hashes.
        sed -n '/^uv==/,/[^\\]$/p' "$ROOT/requirements-dev.txt" >"$ROOT/.venv/uv.txt"
        if pip_install -r "$ROOT/.venv/uv.txt" >"$ROOT/.venv/uv.log" 2>&1; then
            UV="$ROOT/.venv/bin/uv"
        else
            say "uv cannot be had here ($(tail -n 1 "$ROOT/.venv/uv.log")); going on with pip, which takes longer."
        fi
    fi
}

have_pip() { "$PYTHON" -m pip --version >/dev/null 2>&1 || "$PYTHON" -m ensurepip >/dev/null 2>&1; }

pip_install() { "$PYTHON" -m pip install --disable-pip-version-check --no-input --require-hashes --no-deps "$@"; }

bootstrap() {
    lock=$1
    stamp="$ROOT/.venv/.installed-$lock"
    "$PYTHON" -c '' >/dev/null 2>&1 || make_venv
    sum=$(cksum <"$ROOT/$lock")
    [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ] || return 0
    # Two programs started together take turns (uv has a .lock of its own); it is closed again before anything long-running starts.
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$ROOT/.venv/.bootstrap.lock"
        flock 9
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ]; then
        find_uv
        say "Installing $(grep -c '^[A-Za-z0-9].*==' "$ROOT/$lock") packages of $lock ..."
        calm=--quiet # progress is for eyes
        [ ! -t 2 ] || calm=
        # shellcheck disable=SC2086
        if [ -n "$UV" ] && "$UV" pip install $calm --python "$PYTHON" --require-hashes --no-deps -r "$ROOT/$lock" >&2; then
            :
        else
            [ -z "$UV" ] || say "uv did not succeed; trying pip."
            have_pip || fail "pip cannot be installed into .venv. On Debian and Ubuntu: apt-get install python3-venv; then start again."
            pip_install --progress-bar off -r "$ROOT/$lock" >&2 ||
                fail "The packages of $lock could not be installed; the reason stands above. Is the package index reachable?"
        fi
        printf '%s\n' "$sum" >"$stamp"
        if [ "$lock" = requirements-dev.txt ]; then # it contains the other one
            cksum <"$ROOT/requirements.txt" >"$ROOT/.venv/.installed-requirements.txt"
        fi
    fi
    exec 9>&-
}
