#!/bin/sh
# The step of action.yml, which hands its inputs on as INPUT_ variables: installs the terrastore that stands beside this
# file, once a job, and runs terrastore ensure.
set -eu

refuse() {
    echo "::error title=terrastore::$1"
    exit 2
}

require_either() {
    case $2 in
    true | false) ;;
    *) refuse "the input $1 is true or false, not '$2'" ;;
    esac
}

install() {
    python=
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || refuse "there is no Python 3.11 or later; a step before this one can be actions/setup-python"
    "$python" -m venv --clear "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check --no-input "$(cd "$GITHUB_ACTION_PATH/../.." && pwd)$extra"
    touch "$home/ready"
}

# Runs terrastore with what it is given; its object goes to a file.
ensure() {
    code=0
    "$home/bin/terrastore" ensure --json "$@" >"$home/outcome.json" || code=$?
}

require_either no-build "$INPUT_NO_BUILD"
require_either publish "$INPUT_PUBLISH"
require_either activate "$INPUT_ACTIVATE"

extra=
[ "$INPUT_INSTALLER" != uv ] || extra='[uv]'
home=$RUNNER_TEMP/terrastore${extra:+-uv}
[ -e "$home/ready" ] || install

set -- --target "$INPUT_TARGET" --installer "$INPUT_INSTALLER"
# Lines are words, with whatever is in them.
set -f
IFS='
'
for line in $INPUT_REQUIREMENTS; do set -- "$@" --requirement "$line"; done
for line in $INPUT_CONSTRAINTS; do set -- "$@" --constraint "$line"; done
for line in $INPUT_STORE; do set -- "$@" --store "$line"; done
[ -z "$INPUT_PYTHON" ] || set -- "$@" --python "$INPUT_PYTHON"
[ -z "$INPUT_TRUST" ] || set -- "$@" --trust "$INPUT_TRUST"
[ -z "$INPUT_REALM" ] || set -- "$@" --realm "$INPUT_REALM"
for line in $INPUT_OPTIONS; do set -- "$@" "$line"; done

stranger=
! "$home/bin/python" "$GITHUB_ACTION_PATH/workflow.py" is-of-strangers || stranger=yes
if [ -z "$stranger" ] && [ "$INPUT_PUBLISH" = true ]; then
    for line in $INPUT_SIGNER; do set -- "$@" --signer "$line"; done
else
    set -- "$@" --no-publish
fi
if [ "$INPUT_NO_BUILD" = true ]; then
    ensure "$@" --no-build
else
    ensure "$@"
    # Forks get no secrets, and a store may demand a login even of who only reads: these build for themselves.
    if [ "$code" = 7 ] && [ -n "$stranger" ]; then
        echo "the store refuses who has no credentials, as forks have none; it is built without the store" >&2
        ensure "$@" --ignore-store
    fi
fi

"$home/bin/python" "$GITHUB_ACTION_PATH/workflow.py" tell "$home/outcome.json" "$INPUT_ACTIVATE"
exit "$code"
