#!/usr/bin/env bash
# Position-invariant fine-tuning of speech enhancement: from corpora to a table of word error rates.
set -euo pipefail

started_in=$(pwd)
# What was typed, as it can be typed again.
invocation=$0
for word in "$@"; do
    [[ ${word} =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word=${word@Q}
    invocation+=" ${word}"
done
cd "$(dirname "${BASH_SOURCE[0]}")"

# The table of stages: `NUMBER, "what it makes", "kind of jobs"`.
stages=$(sed -n 's/^    [A-Z]* = \([0-9]*\), "\([^"]*\)".*/\1 \2/p' local/common/stages.py)

stage=1
stop_stage=                                              # default: 8, the report; or --stage where that is behind it
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
accept_licences=                                         # its older name
upload_repo=                                             # OWNER/NAME on the Hugging Face hub, for stage 10
dry_run=false                                            # true: only say what would be fetched or made

# The objectives in the order of tables: `objective: {label: .., order: N, ..}`.
objective_names() {
    local file
    for file in conf/objectives/*.yaml; do
        sed -n "s|^objective:.*[{ ]order: *\([0-9]*\).*|\1 $(basename "${file}" .yaml)|p" "${file}"
    done | sort -k1,1n -k2 | cut -d' ' -f2 | xargs | fold -s -w 76 | sed 's/ *$//; s/^/                      /'
}

usage() {
    cat <<USAGE
Usage: $0 [--name value ...]        (current values in brackets)

  --stage N           first stage to run                                  [${stage}]
  --stop_stage N      last stage to run                                   [${stop_stage:-8}]
  --preset NAME       what to run on: $(cd conf/presets && echo *.yaml | sed 's/\.yaml//g')  [${preset}]
  --corpus NAME       the preset on another corpus: paper has mini        [${corpus}]
  --front_end NAME    SE model: $(cd conf/front_ends && echo *.yaml | sed 's/\.yaml//g')  [${front_end:-of the preset}]
  --objectives LIST   of stage 5, separated by blanks or commas, among    [${objectives:-of the preset}]
$(objective_names)
  --finetune MODE     joint (objective + ASR loss) or se (objective)      [${finetune:-of the preset}]
  --seeds LIST        seeds of stage 5, separated by blanks or commas     [${seeds:-of the preset}]
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
  --upload_repo NAME  stage 10 uploads the run's model there (OWNER/NAME) [${upload_repo}]
  --dry_run [BOOL]    only say what would be fetched, made and trained    [${dry_run}]

Corpora that a site already has are named in db.sh.

Stages:
  ${stages//$'\n'/$'\n'  }
USAGE
}

options="stage stop_stage preset corpus front_end objectives finetune seeds downloads datadir dumpdir expdir nj ngpu cmd_backend detach status local_scratch resume fsdd librispeech noise rirs speech accept_licenses upload_repo dry_run"
# shellcheck disable=SC2034  # read by parse_options.sh
known_options="${options} accept_licences"
# shellcheck disable=SC2034
known_flags="accept_licenses accept_licences detach dry_run status"
. ../../tools/parse_options.sh
if [ -n "${accept_licences}" ]; then
    echo "run.sh: warning: --accept_licences is now called --accept_licenses; the older name goes with the next release" >&2
    accept_licenses=${accept_licences}
fi

. ./cmd.sh
# A directory given by the user counts from where the user stands.
for name in downloads datadir dumpdir expdir fsdd librispeech noise rirs speech; do
    [ -z "${!name}" ] || [[ ${!name} == /* ]] || printf -v "${name}" '%s' "${started_in}/${!name}"
done
# So does a preset's file; one that is not there, from the recipe's folder.
if [[ ${preset} == *.y*ml && ${preset} != /* && -f ${started_in}/${preset} ]]; then preset=${started_in}/${preset}; fi
# Not after 5 GB were installed; with an environment, local/common/recipe.py tells it better.
if [ -z "${OWN_PYTHON:-}" ] && [ ! -f "${VENV:-../../.venv}/.setup_done" ] &&
    [[ ${preset} != *.y*ml && ! -f conf/presets/${preset}.yaml ]]; then
    presets=$(cd conf/presets && printf '%s, ' *.yaml | sed 's/\.yaml//g; s/, $//')
    echo "run.sh: error: unknown preset '${preset}': choose from ${presets}, or give a .yaml file" >&2
    exit 2
fi
. ./path.sh
. ./db.sh
words=("--command=${invocation}")
for name in ${options}; do
    [ -z "${!name}" ] || words+=("--${name}=${!name}")
done
exec python3 -m local.pipeline.run "${words[@]}"
