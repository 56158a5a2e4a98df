# shellcheck shell=bash
# shellcheck disable=SC2154  # the sourcing script sets cmd_backend
# Which command runs jobs: train_cmd, decode_cmd and cpu_cmd, all with Kaldi's calling convention
#   CMD [--gpu N --mem 8G --time T --max_jobs_run K] JOB=1:N log.JOB.txt command ...
# To be sourced after `cmd_backend` is set:
#   local       processes on this machine
#   slurm       job arrays, described by conf/slurm.yaml (CLUSTER_CONFIG=FILE for another)
#   PROGRAM     your site's own queue.pl, slurm.pl or pbs.pl, with the options below
case "${cmd_backend}" in
    local | slurm)
        train_cmd="python3 -m local.jobs.cmd --backend ${cmd_backend} --kind train"
        decode_cmd="python3 -m local.jobs.cmd --backend ${cmd_backend} --kind decode"
        cpu_cmd="python3 -m local.jobs.cmd --backend ${cmd_backend} --kind cpu"
        ;;
    *)
        command -v "${cmd_backend}" > /dev/null || {
            echo "cmd.sh: error: unknown --cmd_backend '${cmd_backend}': choose from local, slurm, or give the path" \
                "of a program with Kaldi's calling convention" >&2
            exit 2
        }
        # The commands are read as the shell does, blanks in the path and all.
        printf -v program '%q' "${cmd_backend}"
        train_cmd="${program} --mem 16G --num-threads 4 --gpu ${ngpu:-0}"
        decode_cmd="${program} --mem 8G --num-threads 2"
        cpu_cmd="${program} --mem 8G --num-threads 4"
        ;;
esac
export train_cmd decode_cmd cpu_cmd
