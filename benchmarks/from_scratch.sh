#!/usr/bin/env bash
# Makes every experiment and study of RESULTS.md again, from nothing, and takes their scores over.
#
#   benchmarks/from_scratch.sh [--fsdd DIR] [--noise DIR] [--rirs DIR] [--librispeech DIR] [--nj N] [--only NAME]
#                              [--dry_run]
#
# Interrupted, it goes on where it was. Hours on two cores.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
recipe=${root}/egs/voicebank_librimix
exp=${recipe}/exp
names=(mini paper_mini digits_fold1 digits_fold2 digits_fold3 positions sensitivity whisper_layers
    whisper_layer0 whisper_layer6 whisper_judges whisper_layer5)
objectives="multi_condition asr_only si_snr mimic ssl_mse ssl_mse_pad ssl_soft_dtw"
beyond="ssl_soft_dtw_layers ssl_soft_dtw_curriculum ssl_soft_dtw_pad"

usage() {
    cat <<USAGE
usage: ${0##*/} [--fsdd DIR] [--noise DIR] [--rirs DIR] [--librispeech DIR] [--nj N] [--only NAME] [--dry_run]

  --fsdd DIR   a copy of the Free Spoken Digit Dataset (default: it is fetched)
  --noise DIR  recordings of noise for the whisper experiments, which are left out without them
  --rirs DIR   room impulse responses for whisper_layer5, which is left out without them
  --librispeech DIR  a copy of LibriSpeech, for these (default: it is fetched)
  --nj N       parallel processes (default: ${nj})
  --only NAME  one of: ${names[*]} (default: all)
  --dry_run    say what would be made, and how much it is
USAGE
}

die() {
    echo "${0##*/}: error: $1" >&2
    exit 2
}

fsdd="" noise="" rirs="" librispeech="" nj=2 only="" dry_run=false
while [ $# -gt 0 ]; do
    case "$1" in
        --dry_run) dry_run=true; shift ;;
        -h | --help) usage; exit 0 ;;
        --fsdd | --noise | --rirs | --librispeech | --nj | --only)
            [ $# -ge 2 ] || die "$1 needs a value"
            printf -v "${1#--}" '%s' "$2"
            shift 2
            ;;
        *) die "unknown option '$1'; see --help" ;;
    esac
done
[[ "${nj}" =~ ^[1-9][0-9]*$ ]] || die "--nj takes a positive whole number, not '${nj}'"
[ -z "${only}" ] || [[ " ${names[*]} " == *" ${only} "* ]] || die "--only takes one of ${names[*]}, not '${only}'"

# Nobody can fetch these for a user.
leave_out() { # leave_out NAME WHAT: it is made last of those that are left
    [ "${only}" != "$1" ] || die "$1 needs $2"
    echo "${0##*/}: $1 is left out: it needs $2" >&2
    unset "names[-1]"
}
if [ -z "${noise}" ] || [ -z "${rirs}" ]; then
    leave_out whisper_layer5 "--noise DIR, recordings of noise, and --rirs DIR, room impulse responses"
fi
if [ -z "${noise}" ]; then
    for name in whisper_judges whisper_layer6 whisper_layer0 whisper_layers; do
        leave_out "${name}" "--noise DIR, a folder of recordings of noise"
    done
fi

run() {
    local options=(--nj "${nj}")
    if "${dry_run}"; then options+=(--dry_run); fi
    "${recipe}/run.sh" "${options[@]}" "$@"
}

study() {
    if "${dry_run}"; then
        echo "benchmarks/$1.py ${*:2}"
    else
        "${root}/benchmarks/$1.py" --nj "${nj}" "${@:2}"
    fi
}

make() {
    case "$1" in
        whisper_layers | whisper_layer0 | whisper_layer6 | whisper_judges)
            run --preset "$1" --noise "${noise}" ${librispeech:+--librispeech "${librispeech}"}
            ;;
        whisper_layer5)
            run --preset whisper_layer5 --noise "${noise}" --rirs "${rirs}" \
                ${librispeech:+--librispeech "${librispeech}"}
            ;;
        mini) run --preset mini --seeds "0 1 2" --objectives "${objectives} ${beyond}" ;;
        paper_mini) run --preset paper --corpus mini --seeds "0 1" ;;
        digits_*) run --preset "$1" --downloads "${recipe}/downloads/digits" ${fsdd:+--fsdd "${fsdd}"} ;;
        positions) study positions --preset mini --seeds "0 1" --out "${exp}/positions" ;;
        sensitivity)
            study sensitivity --preset paper_mini --finetune se --seeds "0 1" --experiment "${exp}/paper_mini" \
                --out "${exp}/sensitivity" --variants ssl_mse ssl_soft_dtw "ssl_soft_dtw, speed 1" \
                "ssl_soft_dtw, speed 0.95 to 1.05" "ssl_soft_dtw, tempo" "ssl_soft_dtw, gamma 0.01"
            ;;
    esac
}

# Where results.py finds what make() has made.
made() {
    case "$1" in
        positions | sensitivity) echo "${exp}/$1/$1.json" ;;
        *) echo "${exp}/$1" ;;
    esac
}

cd "${recipe}"
# shellcheck source=../egs/voicebank_librimix/path.sh
. ./path.sh
cd "${root}"
sources=()
for name in ${only:-"${names[@]}"}; do
    echo "== ${name}"
    make "${name}"
    sources+=("$(made "${name}")")
done
"${dry_run}" || "${root}/benchmarks/results.py" --adopt "${sources[@]}"
