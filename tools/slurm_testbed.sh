#!/usr/bin/env bash
# A real Slurm on this one machine, for tests and to try the recipe's cluster backend. Debian or Ubuntu, root.
#   eval "$(tools/slurm_testbed.sh start)"            one node
#   eval "$(tools/slurm_testbed.sh start --nodes 2)"  two nodes, each a slurmd with its own port
#   tools/slurm_testbed.sh stop                       ends everything and removes its files
# Everything lies in ${SLURM_TESTBED}, or slurm_testbed in the system's folder for temporary files; /etc is left alone, and so is a Slurm that runs
# here already. No cgroups: processes are tracked by their parents, memory by polling.
#   start --max_jobs N       the queue takes N jobs at most
#   start --accounting       slurmdbd and a MariaDB of its own as well: sacct works, limits hold
#   start --max_submit N     with that, a user may have N jobs in the queue (MaxSubmitJobs)
#   start --port N           first of the ports 127.0.0.1 is listened on (default 27100)
#   stop_node N             node N dies, with its tasks
#   start_node N, status
set -euo pipefail

root=${SLURM_TESTBED:-$(dirname "$(mktemp --dry-run)")/slurm_testbed}
nodes=1
max_jobs=10000
accounting=false
max_submit=
port=27100
action=${1:-help}
shift || true

fail() { echo "slurm_testbed.sh: error: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case "$1" in
        --nodes | --max_jobs | --max_submit | --port)
            [ $# -ge 2 ] && [[ $2 =~ ^[0-9]+$ ]] || fail "$1 takes a whole number"
            printf -v "${1#--}" '%s' "$2"
            [ "$1" != --max_submit ] || accounting=true
            shift 2
            ;;
        --accounting) accounting=true; shift ;;
        [0-9]*) node=$1; shift ;;
        *) fail "unknown option $1" ;;
    esac
done

# install "PACKAGES" PROGRAM...: Debian's packages, unless their programs are there.
install() {
    local packages=$1 program missing=false
    shift
    for program in "$@"; do command -v "${program}" > /dev/null || missing=true; done
    [ "${missing}" = true ] || return 0
    command -v apt-get > /dev/null || fail "installs Debian's packages ${packages}; there is no apt-get here"
    # shellcheck disable=SC2086  # a list of names
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ${packages}; } >&2 || fail "could not install ${packages}"
}

write_configuration() {
    local host cpus memory k
    host=$(hostname -s)
    # nproc would heed OMP_NUM_THREADS; two at least, so that there is something to share.
    cpus=$(getconf _NPROCESSORS_ONLN)
    [ "${cpus}" -ge 2 ] || cpus=2
    memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) * 9 / 10 / 1024))
    cat << CONF
ClusterName=testbed
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${port}
SlurmUser=root
AuthType=auth/munge
# Credentials of a few seconds: a job that is queued again starts again as soon.
AuthInfo=socket=${root}/munge.socket,cred_expire=8
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/filetxt
JobCompLoc=${root}/finished_jobs.txt
MaxJobCount=${max_jobs}
MinJobAge=300
MpiDefault=none
KillWait=5
SlurmctldTimeout=10
SlurmdTimeout=15
InactiveLimit=0
ReturnToService=2
RebootProgram=/bin/true
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,requeue_setup_env_fail
SlurmdParameters=config_overrides
StateSaveLocation=${root}/state
SlurmdSpoolDir=${root}/spool.%n
SlurmctldPidFile=${root}/slurmctld.pid
SlurmdPidFile=${root}/slurmd.%n.pid
SlurmctldLogFile=${root}/slurmctld.log
SlurmdLogFile=${root}/slurmd.%n.log
CONF
    if [ "${accounting}" = true ]; then
        echo "AccountingStorageType=accounting_storage/slurmdbd"
        echo "AccountingStorageHost=127.0.0.1"
        echo "AccountingStoragePort=$((port + 90))"
        echo "AccountingStoragePass=${root}/munge.socket"
        echo "AccountingStorageEnforce=associations,limits"
    fi
    for ((k = 1; k <= nodes; k++)); do
        echo "NodeName=node${k} NodeHostname=${host} NodeAddr=127.0.0.1 Port=$((port + k)) CPUs=${cpus}" \
            "RealMemory=${memory} State=UNKNOWN"
    done
    echo "PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
}

# A database that only root reaches, through a socket, and Slurm's own server before it.
start_accounting() {
    mkdir -m 0700 "${root}/database"
    mariadb-install-db --no-defaults --user=root --datadir="${root}/database" --skip-test-db \
        --auth-root-authentication-method=socket > "${root}/mariadb.log" 2>&1 ||
        fail "the database could not be set up; see ${root}/mariadb.log"
    export MYSQL_UNIX_PORT=${root}/database/socket
    mariadbd --no-defaults --user=root --datadir="${root}/database" --socket="${MYSQL_UNIX_PORT}" --skip-networking \
        --innodb-buffer-pool-size=64M --pid-file="${root}/mariadb.pid" >> "${root}/mariadb.log" 2>&1 &
    wait_for "the database; see ${root}/mariadb.log" test -S "${MYSQL_UNIX_PORT}"
    (
        umask 0077
        cat > "${root}/slurmdbd.conf" << CONF
AuthType=auth/munge
AuthInfo=socket=${root}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((port + 90))
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
LogFile=${root}/slurmdbd.log
PidFile=${root}/slurmdbd.pid
CONF
    )
    slurmdbd >&2 || fail "slurmdbd did not start; see ${root}/slurmdbd.log"
    wait_for "slurmdbd; see ${root}/slurmdbd.log" sacctmgr --immediate --quiet add cluster testbed
    sacctmgr --immediate --quiet add account testbed
    sacctmgr --immediate --quiet add user "$(id -un)" account=testbed
    [ -z "${max_submit}" ] || sacctmgr --immediate --quiet modify user "$(id -un)" set MaxSubmitJobs="${max_submit}"
}

start_node() {
    mkdir -p "${root}/spool.node$1"
    slurmd -N "node$1" -f "${root}/slurm.conf" >&2 || fail "slurmd did not start; see ${root}/slurmd.node$1.log"
}

# Nobody may be there to collect a process that has ended.
alive() { grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"; }

# wait_for "WHAT" COMMAND...: until the command succeeds, half a minute at most.
wait_for() {
    local what=$1
    shift
    for _ in $(seq 150); do
        ! "$@" > /dev/null 2>&1 || return 0
        sleep 0.2
    done
    fail "waited in vain for ${what}"
}

nodes_idle() { [ "$(sinfo --noheader --Node --format=%T | grep -c '^idle')" -eq "${nodes}" ]; }

end() {
    local pid
    [ -f "$1" ] || return 0
    pid=$(cat "$1")
    kill "${2:--TERM}" "${pid}" 2> /dev/null || true
    for _ in $(seq 50); do
        alive "${pid}" || break
        sleep 0.1
    done
    ! alive "${pid}" || kill -KILL "${pid}" 2> /dev/null || true
    rm -f "$1"
}

# end_jobs [NODE]: tasks that outlive their daemon; first those that look after them, so that nothing is reported.
end_jobs() {
    local process parent tasks=() keepers=()
    for process in /proc/[0-9]*; do
        grep -qszxF "SLURM_CONF=${root}/slurm.conf" "${process}/environ" || continue
        grep -qsz "^SLURM_JOB_ID=" "${process}/environ" || continue
        [ $# -eq 0 ] || grep -qszxF "SLURMD_NODENAME=$1" "${process}/environ" || continue
        tasks+=("${process#/proc/}")
        parent=$(awk '/^PPid:/ {print $2}' "${process}/status" 2> /dev/null || true)
        ! grep -qsx slurmstepd "/proc/${parent:-none}/comm" || keepers+=("${parent}")
    done
    [ ${#keepers[@]} -eq 0 ] || kill -KILL "${keepers[@]}" 2> /dev/null || true
    [ ${#tasks[@]} -eq 0 ] || kill -KILL "${tasks[@]}" 2> /dev/null || true
}

start() {
    [ "$(id -u)" -eq 0 ] || fail "start it as root"
    [ ! -f "${root}/slurm.conf" ] || fail "${root} is in use: tools/slurm_testbed.sh stop first"
    install "slurm-wlm munge" slurmctld slurmd munged
    [ "${accounting}" = false ] ||
        install "slurmdbd mariadb-server-core mariadb-client-core" slurmdbd mariadbd mariadb-install-db my_print_defaults
    mkdir -p "${root}/state"
    chmod 0755 "${root}"
    (umask 0377 && head -c 1024 /dev/urandom > "${root}/munge.key")
    munged --force --key-file="${root}/munge.key" --socket="${root}/munge.socket" --pid-file="${root}/munged.pid" \
        --log-file="${root}/munged.log" --seed-file="${root}/munged.seed" 2>> "${root}/munged.log" ||
        fail "munged did not start; see ${root}/munged.log"
    write_configuration > "${root}/slurm.conf"
    export SLURM_CONF=${root}/slurm.conf
    [ "${accounting}" = false ] || start_accounting
    slurmctld -f "${root}/slurm.conf" >&2 || fail "slurmctld did not start; see ${root}/slurmctld.log"
    for ((k = 1; k <= nodes; k++)); do start_node "${k}"; done
    wait_for "the nodes; see ${root}/slurmctld.log" nodes_idle
    echo "export SLURM_CONF=${root}/slurm.conf"
}

stop() {
    [ -d "${root}" ] || return 0
    export SLURM_CONF=${root}/slurm.conf
    if [ -f "${SLURM_CONF}" ] && timeout 5 scontrol ping > /dev/null 2>&1; then
        timeout 5 scancel --user="$(id -un)" 2> /dev/null || true
        local deadline=$((SECONDS + 4))
        while [ "${SECONDS}" -lt "${deadline}" ] && [ -n "$(timeout 5 squeue --noheader 2> /dev/null)" ]; do
            sleep 0.1
        done
    fi
    for pid_file in "${root}"/slurmd.*.pid; do end "${pid_file}" -KILL; done
    end_jobs
    for pid_file in "${root}"/{slurmctld,slurmdbd,mariadb,munged}.pid; do end "${pid_file}"; done
    rm -rf "${root}"
}

case "${action}" in
    start) start ;;
    stop) stop ;;
    start_node) SLURM_CONF=${root}/slurm.conf start_node "${node:?which node}" ;;
    stop_node)
        end "${root}/slurmd.node${node:?which node}.pid" -KILL
        end_jobs "node${node}"
        ;;
    status) SLURM_CONF=${root}/slurm.conf sinfo --Node --long ;;
    *)
        sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//'
        [ "${action}" = help ] || exit 2
        ;;
esac
