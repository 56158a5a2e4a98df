#!/usr/bin/env bash
# Position-invariant fine-tuning of speech enhancement: from corpora to a table of word error rates.
set -euo pipefail

started_in=$(pwd)
invocation="$0 $*"
cd "$(dirname "${BASH_SOURCE[0]}")"

stage=1
stop_stage=8
preset=mini                                              # conf/presets/PRESET.yaml, or a .yaml file of yours
corpus=                                                  # mini with preset paper: conf/presets/paper_mini.yaml
front_end=                                               # conf/front_ends/NAME.yaml (default: the preset's)
objectives=                                              # what stage 5 fine-tunes with (default: the preset's)
finetune=                                                # joint: objective + ASR loss; se: the objective alone
seeds=                                                   # one fine-tuning run per objective and seed
downloads=                                               # corpora (default: downloads/PRESET)
datadir=                                                 # data directories (default: data/PRESET)
dumpdir=                                                 # audio archives (default: dump/PRESET)
expdir=                                                  # models, scores, report (default: exp/PRESET)
nj=2                                                     # parallel processes
ngpu=0                                                   # GPUs for training; 0 trains on the CPU
cmd_backend=local                                        # where jobs run: local, slurm, or a site's own queue.pl
detach=false                                             # true: submit everything as a chain of jobs and return
status=false                                             # true: only say how far a run is
local_scratch=                                           # a folder on each node's own disk to train from
resume=true                                              # false: train again instead of resuming
fsdd=                                                    # a copy of the Free Spoken Digit Dataset (digits)
librispeech=                                             # a copy of LibriSpeech, or a part of it (noisy_speech)
noise=                                                   # recordings of noise (noisy_speech)
rirs=                                                    # room impulse responses (noisy_speech)
speech=                                                  # a table of clean speech (noisy_speech)
accept_licenses=false                                    # true: download without asking (batch jobs)
dry_run=false                                            # true: only say what would be fetched or made

usage() {
    cat <<USAGE
Usage: $0 [--name value ...]        (current values in brackets)

  --stage N           first stage to run                                  [${stage}]
  --stop_stage N      last stage to run                                   [${stop_stage}]
  --preset NAME       what to run on: $(cd conf/presets && echo *.yaml | sed 's/\.yaml//g')  [${preset}]
  --corpus NAME       the preset on another corpus: paper has mini        [${corpus}]
  --front_end NAME    SE model: $(cd conf/front_ends && echo *.yaml | sed 's/\.yaml//g')  [${front_end:-of the preset}]
  --objectives LIST   objectives of stage 5, separated by blanks          [${objectives:-of the preset}]
  --finetune MODE     joint (objective + ASR loss) or se (objective)      [${finetune:-of the preset}]
  --seeds LIST        seeds of stage 5, separated by blanks               [${seeds:-of the preset}]
  --downloads DIR     corpora                                             [${downloads:-downloads/${preset}}]
  --datadir DIR       data directories                                    [${datadir:-data/${preset}}]
  --dumpdir DIR       audio archives                                      [${dumpdir:-dump/${preset}}]
  --expdir DIR        models, scores, report                              [${expdir:-exp/${preset}}]
  --nj N              parallel processes                                  [${nj}]
  --ngpu N            GPUs for training, of which decoding takes one;
                      0 for the CPU                                       [${ngpu}]
  --cmd_backend NAME  where jobs run: local, slurm, or the path of a
                      program with Kaldi's calling convention             [${cmd_backend}]
  --detach [BOOL]     submit everything as a chain of jobs and return     [${detach}]
  --status [BOOL]     only say how far a run is, jobs included            [${status}]
  --local_scratch DIR train on copies of the audio in DIR, on each node;
                      variables of the job such as \$TMPDIR are its own   [${local_scratch}]
  --resume BOOL       false trains again instead of resuming              [${resume}]
  --fsdd DIR          a copy of the Free Spoken Digit Dataset             [${fsdd}]
  --librispeech DIR   a copy of LibriSpeech, or a part of it              [${librispeech}]
  --noise DIR         recordings of noise, of any format (noisy_speech)   [${noise}]
  --rirs DIR          room impulse responses, .wav or .mat (noisy_speech) [${rirs}]
  --speech FILE       a table of clean speech (noisy_speech)              [${speech}]
  --accept_licenses [BOOL]
                      download without asking                             [${accept_licenses}]
  --dry_run [BOOL]    only say what would be fetched, made and trained    [${dry_run}]

Corpora that a site already has are named in db.sh.

Stages: 1 corpora  2 data, tokens, SSL model  3 front-end  4 recogniser  5 joint fine-tuning
        6 enhancement and decoding  7 scoring  8 report
USAGE
}

# shellcheck disable=SC2034  # read by parse_options.sh
known_options="stage stop_stage preset corpus front_end objectives finetune seeds downloads datadir dumpdir expdir nj ngpu cmd_backend detach status local_scratch resume fsdd librispeech noise rirs speech accept_licenses dry_run"
# shellcheck disable=SC2034
known_flags="accept_licenses detach dry_run status"
. ../../tools/parse_options.sh

fail() { echo "run.sh: error: $*" >&2; exit 2; }
for name in stage stop_stage nj ngpu; do
    [[ ${!name} =~ ^[0-9]+$ ]] || fail "--${name} must be a whole number, not '${!name}'"
done
[ "${stage}" -le "${stop_stage}" ] || fail "--stage ${stage} is behind --stop_stage ${stop_stage}: nothing to do"
[ "${stage}" -ge 1 ] && [ "${stop_stage}" -le 8 ] || fail "stages run from 1 to 8"
. ./cmd.sh
[ "${detach}" = false ] || [ "${cmd_backend}" = slurm ] || fail "--detach needs --cmd_backend slurm"

if [ -n "${corpus}" ]; then
    [ -f "conf/presets/${preset}_${corpus}.yaml" ] || fail "preset ${preset} has no --corpus ${corpus}"
    preset="${preset}_${corpus}"
fi

# A directory given by the user counts from where the user stands.
for name in downloads datadir dumpdir expdir fsdd librispeech noise rirs speech; do
    [ -z "${!name}" ] || [[ ${!name} == /* ]] || printf -v "${name}" '%s' "${started_in}/${!name}"
done

for name in resume accept_licenses dry_run detach status; do
    [[ ${!name} =~ ^(true|false)$ ]] || fail "--${name} is true or false, not '${!name}'"
done

. ./path.sh
. ./db.sh
# What stands on the command line goes before db.sh; every program and job from here on finds it in the environment.
for name in fsdd librispeech noise rirs speech; do
    [ -z "${!name}" ] || export "${name^^}=${!name}"
done
common=(--preset "${preset}" --nj "${nj}" --ngpu "${ngpu}")
for name in front_end downloads datadir dumpdir expdir; do
    [ -z "${!name}" ] || common+=("--${name}" "${!name}")
done
[ -z "${local_scratch}" ] || export LOCAL_SCRATCH="${local_scratch}"
runs=(--objectives "${objectives}" --finetune "${finetune}" --seeds "${seeds}")
in_stage() { [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ]; }

# Every option is checked before any work starts.
python3 -m local.pipeline.check_options "${common[@]}" "${runs[@]}" --resume "${resume}"

jobs=("${common[@]}" "${runs[@]}" --resume "${resume}" --stage "${stage}" --stop_stage "${stop_stage}")
if [ "${status}" = true ]; then exec python3 -m local.pipeline.status "${jobs[@]}"; fi
if [ "${cmd_backend}" != local ] && [ "${dry_run}" = false ]; then
    jobs+=(--accept_licenses "${accept_licenses}" --detach "${detach}" --command "${invocation}")
    exec python3 -m local.pipeline.submit "${jobs[@]}"
fi

corpora=("${common[@]}" --accept_licenses "${accept_licenses}")
if [ "${dry_run}" = true ]; then exec python3 -m local.pipeline.dry_run "${corpora[@]}" "${runs[@]}"; fi
if in_stage 1; then python3 -m local.corpora.catalogue "${corpora[@]}"; fi
if in_stage 2; then
    python3 -m local.stages.data "${common[@]}"
    python3 -m local.stages.ssl_model "${common[@]}" --resume "${resume}"
fi
if in_stage 3; then python3 -m local.stages.train se "${common[@]}" --resume "${resume}"; fi
if in_stage 4; then python3 -m local.stages.train heads "${common[@]}" --resume "${resume}"; fi
if in_stage 5; then python3 -m local.stages.train joint "${common[@]}" "${runs[@]}" --resume "${resume}"; fi
if in_stage 6; then python3 -m local.stages.decode "${common[@]}" "${runs[@]}"; fi
if in_stage 7; then python3 -m local.stages.score "${common[@]}" "${runs[@]}"; fi
if in_stage 8; then python3 -m local.stages.report "${common[@]}" "${runs[@]}" --command "${invocation}"; fi
