#!/usr/bin/env bash
# A Slurm of our own on one machine, for the cluster tests: munged, slurmctld and N slurmd, on loopback.
#
#   mini_slurm.sh start | stop
#   mini_slurm.sh run COMMAND...     with its Slurm commands on the PATH
#   mini_slurm.sh node-dies NODE     kill -9 of everything on that node, as if its power went
#   mini_slurm.sh node-returns NODE
#
# All state is under $MINI_SLURM_DIR (a short path that everybody may enter: sockets), nothing is read from or written
# to /etc, no systemd, no cgroups, no accounting. Debian: slurmctld slurmd slurm-client munge. Root or not.
set -euo pipefail
umask 022

DIR=${MINI_SLURM_DIR:-/tmp/mini-slurm}
NODES=${MINI_SLURM_NODES:-2}
CPUS=${MINI_SLURM_CPUS:-8}           # of a node; may exceed the hardware
MEM=${MINI_SLURM_MEM:-64000}         # megabytes of a node; likewise
GPUS=${MINI_SLURM_GPUS:-2}           # of a node, up to 6: character devices that stand for GPUs
PORT=${MINI_SLURM_PORT:-27000}       # and the NODES ports after it
NETNS=${MINI_SLURM_NETNS:-0}         # 1: every node in a network namespace with its own address (root only)
NET=10.98.76                         # their /24: controller .1, node i .(10+i)
BRIDGE=ms$PORT
export SLURM_CONF=$DIR/etc/slurm.conf

die() { echo "mini_slurm: $*" >&2; exit 1; }
bin() { # Debian's commands, never the wrappers that we put on the PATH
  local d
  for d in /usr/sbin /usr/bin; do [ -x "$d/$1" ] && { echo "$d/$1"; return; }; done
  die "$1 not found: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
}

# Daemons carry MINI_SLURM_DAEMON=$DIR in their environment and are found again by it, so that no other cluster's
# process is ever signalled. A job's processes carry SLURM_CONF and SLURM_JOB_ID.
launch() { env MINI_SLURM_DAEMON="$DIR" "$@" </dev/null; }
with_environ() { grep -lzxF "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 || true; }
daemons() { # name: its process ids
  local p
  for p in $(with_environ "MINI_SLURM_DAEMON=$DIR"); do
    [ "$(cat "/proc/$p/comm" 2>/dev/null)" = "$1" ] && echo "$p"
  done
  return 0
}
finish() { # name: TERM, then KILL after 10 s
  local i pids
  for ((i = 0; i < 200; i++)); do
    pids=$(daemons "$1")
    [ -n "$pids" ] || return 0
    case $i in 0) kill $pids 2>/dev/null || true ;; 199) kill -9 $pids 2>/dev/null || true ;; esac
    sleep 0.05
  done
}

configure() {
  mkdir -p "$DIR"/{etc,log,run,state,munge,bin}
  chmod 700 "$DIR/munge" "$DIR/state"
  local devices=(/dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty) i
  local ctl=127.0.0.1 listen=NoCtldInAddrAny,NoInAddrAny
  local where="NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$((PORT + 1))-$((PORT + NODES))]"
  if [ "$NETNS" = 1 ]; then
    ctl=$NET.1 listen= where="NodeAddr=$NET.[11-$((10 + NODES))] Port=$((PORT + 1))"
    { echo "127.0.0.1 localhost"; echo "$NET.1 $(hostname)"; for ((i = 1; i <= NODES; i++)); do echo "$NET.$((10 + i)) n$i"; done; } >"$DIR/etc/hosts"
  fi
  for ((i = 1; i <= NODES; i++)); do mkdir -p "$DIR/spool.n$i"; done
  cat >"$SLURM_CONF" <<C
ClusterName=mini
SlurmctldHost=localhost($ctl)
SlurmctldPort=$PORT
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
# a requeued job may begin after cred_expire; the default of 120 s is a long wait for a test
AuthInfo=socket=$DIR/run/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$DIR/state
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdPidFile=$DIR/run/slurmd.%n.pid
SlurmdSpoolDir=$DIR/spool.%n
SlurmdLogFile=$DIR/log/slurmd.%n.log
MailProg=/bin/true
${listen:+CommunicationParameters=$listen}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
PropagateResourceLimits=NONE
# memory is looked at once a second, and a job over its request is killed
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
# a node without a sign of life is down after 10 s, and is taken back when it returns
SlurmdTimeout=10
ReturnToService=2
MinJobAge=300
KillWait=5
OverTimeLimit=0
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobRequeue=1
# a job in cpus or gpus takes the place of one in spot, which is requeued
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=n[1-$NODES] $where CPUs=$CPUS Boards=1 SocketsPerBoard=1 CoresPerSocket=$CPUS ThreadsPerCore=1 RealMemory=$MEM Gres=gpu:fake:$GPUS State=UNKNOWN
PartitionName=cpus Nodes=ALL Default=YES MaxTime=1-0 PriorityTier=10
PartitionName=gpus Nodes=ALL MaxTime=1-0 PriorityTier=10
PartitionName=spot Nodes=ALL MaxTime=1-0 PriorityTier=1
C
  echo "NodeName=n[1-$NODES] Name=gpu Type=fake File=$(IFS=,; echo "${devices[*]:0:$GPUS}")" >"$DIR/etc/gres.conf"
  # slurmd starts its cgroup plugin even when nothing uses it; in most containers only v1 leaves it in peace
  printf 'CgroupAutomount=no\nCgroupPlugin=cgroup/v1\n' >"$DIR/etc/cgroup.conf"
  # Snakemake's job step drops SLURM_CONF from the environment: commands that set it themselves stand first on the PATH
  for i in sbatch srun squeue sinfo scontrol scancel; do
    printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$SLURM_CONF" "$(bin $i)" >"$DIR/bin/$i"
    chmod 755 "$DIR/bin/$i"
  done
}

net_up() {
  local i
  ip link add name "$BRIDGE" type bridge && ip addr add "$NET.1/24" dev "$BRIDGE" && ip link set "$BRIDGE" up
  for ((i = 1; i <= NODES; i++)); do
    ip netns add "$BRIDGE-n$i"
    ip link add "${BRIDGE}v$i" type veth peer name eth0 netns "$BRIDGE-n$i"
    ip link set "${BRIDGE}v$i" master "$BRIDGE" up
    ip -n "$BRIDGE-n$i" addr add "$NET.$((10 + i))/24" dev eth0
    ip -n "$BRIDGE-n$i" link set eth0 up
    ip -n "$BRIDGE-n$i" link set lo up
  done
}
net_down() {
  local i
  for ((i = 1; i <= NODES; i++)); do
    ip link del "${BRIDGE}v$i" 2>/dev/null || true
    ip netns del "$BRIDGE-n$i" 2>/dev/null || true
  done
  ip link del "$BRIDGE" 2>/dev/null || true
}

slurmd() { # node number: start its daemon, in its namespace if it has one
  local command=("$(bin slurmd)" -N "n$1" -f "$SLURM_CONF" -d "$(bin slurmstepd)")
  if [ "$NETNS" = 1 ]; then # not "ip netns exec", which hides /sys/fs/cgroup
    launch nsenter --net="/run/netns/$BRIDGE-n$1" unshare -mu \
      sh -c 'hostname "$0"; mount --bind "$1" /etc/hosts; shift; exec "$@"' "n$1" "$DIR/etc/hosts" "${command[@]}"
  else launch "${command[@]}"; fi
}

ready() { [ "$(timeout 5 "$(bin sinfo)" -h -N -p cpus -t idle,mixed,allocated -o %N 2>/dev/null | sort -u | wc -l)" = "$NODES" ]; }
until_ready() {
  local end=$((SECONDS + 40))
  until ready; do
    [ -n "$(daemons slurmctld)" ] || die "slurmctld ended: $(tail -n 3 "$DIR/log/slurmctld.log")"
    [ $SECONDS -lt $end ] || die "nodes are not ready: $(tail -qn 3 "$DIR"/log/*.log)"
    sleep 0.1
  done
}

start() {
  [ -z "$(daemons slurmctld)" ] || die "already running in $DIR"
  trap '[ $? = 0 ] || stop' EXIT # a start that fails leaves nothing behind
  rm -rf "$DIR/state"
  configure
  [ -s "$DIR/munge/key" ] || (umask 077; head -c 1024 /dev/urandom >"$DIR/munge/key")
  launch "$(bin munged)" --socket="$DIR/run/munge.socket" --key-file="$DIR/munge/key" --pid-file="$DIR/run/munged.pid" \
    --log-file="$DIR/log/munged.log" --seed-file="$DIR/munge/seed" --num-threads=2
  [ "$NETNS" != 1 ] || net_up
  launch "$(bin slurmctld)" -c -f "$SLURM_CONF"
  local i
  for ((i = 1; i <= NODES; i++)); do slurmd "$i"; done
  until_ready
}

of_node() { # the daemons of a node, slurmd first: they hold its log open (slurmstepd's title hides its environment)
  local f p=()
  for f in /proc/[0-9]*/fd/*; do
    [ "$(readlink "$f" 2>/dev/null)" = "$DIR/log/slurmd.$1.log" ] && p+=("$(cut -d/ -f3 <<<"$f")")
  done
  printf '%s\n' "${p[@]}" | sort -nu
}
jobs_of() { # what runs in this cluster's jobs, on one node or on all
  local p
  for p in $(with_environ "SLURM_CONF=$SLURM_CONF"); do
    grep -qz "^SLURMD_NODENAME=${1:-}" "/proc/$p/environ" 2>/dev/null && echo "$p"
  done
  return 0
}

stop() {
  local i
  timeout 10 "$(bin scancel)" -u "$(id -un)" 2>/dev/null || true
  finish slurmd
  for ((i = 1; i <= NODES; i++)); do kill -9 $(of_node "n$i") $(jobs_of "n$i") 2>/dev/null || true; done
  finish slurmctld
  finish munged
  [ "$NETNS" != 1 ] || net_down
}

node_dies() { kill -9 $(of_node "$1") $(jobs_of "$1") 2>/dev/null || true; }

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  run) shift; PATH=$DIR/bin:$PATH exec "$@" ;;
  node-dies) node_dies "$2" ;;
  node-returns) slurmd "${2#n}"; until_ready ;;
  *) sed -n '2,10p' "$0"; exit 2 ;;
esac
