# shellcheck shell=bash
# shellcheck disable=SC2154  # the sourcing script sets known_options
# Sets shell variables from --name value. To be sourced after the defaults:
#   . parse_options.sh "$@"
# Only variables that are already set can be named, dashes count as underscores, and values are never
# evaluated. Those of known_flags may stand without a value, for true. `--help` prints what the function `usage` prints.
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help)
            usage
            exit 0
            ;;
        --*=*)
            echo "${0##*/}: error: write '${1%%=*} ${1#*=}' instead of '$1'" >&2
            exit 2
            ;;
        --*)
            name=${1#--}
            name=${name//-/_}
            if ! [[ ${name} =~ ^[a-z][a-z0-9_]*$ ]] || ! [[ " ${known_options} " == *" ${name} "* ]]; then
                echo "${0##*/}: error: unknown option $1; see --help" >&2
                exit 2
            fi
            if [[ " ${known_flags:-} " == *" ${name} "* ]] && { [ $# -lt 2 ] || [[ $2 == --* ]]; }; then
                printf -v "${name}" '%s' true
                shift
                continue
            fi
            if [ $# -lt 2 ]; then
                echo "${0##*/}: error: option $1 needs a value" >&2
                exit 2
            fi
            printf -v "${name}" '%s' "$2"
            shift 2
            ;;
        *)
            echo "${0##*/}: error: unexpected argument '$1': options are given as --name value" >&2
            exit 2
            ;;
    esac
done
