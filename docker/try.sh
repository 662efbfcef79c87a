#!/usr/bin/env bash
# Try docker-compose.yml on a real Docker engine: build, start, ask, compile, scrape, hurt, stop. Some fifteen minutes,
# most of them the build.
#
#   docker/try.sh           or   make compose-test
#
# Needs a running Docker engine, Compose 2.20 or newer, and curl; it asks nothing else of this machine. Variables:
#
#   DOCKER_HOST, DOCKER_CONFIG   which engine, as ever
#   BASE_IMAGE, TORCH_INDEX_URL_CPU   what the image is built from, as in docker-compose.yml
#   COMPOSE_FILE     more compose files, say one with `build: {network: host}`; docker-compose.yml comes first
#   BUILD=no         takes the image pheye:cpu as it is
#   HTTP_PORT, PROMETHEUS_PORT   18000 and 19090, unless you say otherwise
#
# A file .env is read as by every `docker compose`; its limits, keys, ports and number format do not count here.
#
# A line for each check, with its seconds. The first that fails shows what it saw and the containers' logs, and the script
# ends with 1. The project `pheye-try`, its network and its volumes are removed at the end, whatever happens.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

export COMPOSE_PROJECT_NAME=pheye-try HTTP_PORT=${HTTP_PORT:-18000} PROMETHEUS_PORT=${PROMETHEUS_PORT:-19090}
export HTTP_ADDRESS=127.0.0.1 PHEYE_API_KEYS='' SCRAPE_KEY=''
export PHEYE_DTYPE=float32 PHEYE_COMPILED_CODE=auto
export CPU_LIMIT=1 MEMORY_LIMIT=2g PHEYE_DECODERS=4  # room to compile, which takes half a gigabyte
LESS=1g  # the limit of every later start: a few images of 50 megapixels at once need more than that
SERVICE=http://127.0.0.1:$HTTP_PORT
PROMETHEUS=http://127.0.0.1:$PROMETHEUS_PORT
PICTURE=docs/images/scene.png
STREAMS=6 BOMBS=4
WORK=$(mktemp -d)
STARTED=no

clean_up() {
    trap - EXIT INT TERM
    [ "$STARTED" = no ] || docker compose down --volumes --timeout 10 >/dev/null 2>&1
    rm -rf "$WORK"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

check() {  # check TITLE FUNCTION: what the function writes to 3 is shown beneath the line
    local began=$SECONDS
    if "$2" >"$WORK/out" 2>&1 3>"$WORK/shown"; then
        printf 'ok    %4d s  %s\n' $((SECONDS - began)) "$1"
        sed 's/^/              /' "$WORK/shown"
        return
    fi
    printf 'FAIL  %4d s  %s\n' $((SECONDS - began)) "$1"
    cat "$WORK/shown"
    tail -n 60 "$WORK/out"
    [ "$STARTED" = no ] || docker compose logs --no-color --tail 60
    exit 1
}

wait_until() {  # wait_until SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { echo "not within the time: $*"; return 1; }
        sleep "${PAUSE_S:-0.5}"
    done
}

in_service() { docker compose exec -T pheye "$@"; }
container() { docker compose ps --all --quiet pheye; }
inspect() { docker inspect --format "$1" "$(container)"; }
lives() { inspect '{{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}'; }
service_log() { docker compose logs --no-color --no-log-prefix pheye; }
status() { curl -s -o "$WORK/body" -w '%{http_code}' --max-time 180 "$@"; }
expect() { [ "$1" = "$2" ] || { echo "expected $1, got $2"; cat "$WORK/body"; return 1; }; }
metric() { curl -s "$SERVICE/metrics" | awk -v name="$1" 'index($1, name) == 1 { sum += $2 } END { print int(sum) }'; }
is_ready() { [ "$(status "$SERVICE/readyz")" = 200 ]; }
stream() { curl -sN --max-time 180 -F "image=@$PICTURE" -F stream=true -F length=long "$SERVICE/v1/caption"; }
words() { sed -n 's/^data: {"chunk":"\(.*\)"}$/\1/p' "$1" | tr -d '\n'; }  # a stream's answer, whatever its pieces
has_begun() { grep -q '"chunk"' "$1"; }
has_ended() { grep -q '^data: {"completed":true' "$1"; }

engine() {
    docker version --format 'engine {{.Server.Version}}' >&3 && docker compose version >&3 \
        && docker info --format 'storage {{.Driver}}, cgroup version {{.CgroupVersion}}, kernel {{.KernelVersion}}' >&3 \
        && docker compose config --quiet
}

base_image() {
    local image=${BASE_IMAGE:-python:3.11-slim-bookworm}
    docker image inspect "$image" >/dev/null || docker pull "$image"
}

build() {
    [ "${BUILD:-yes}" = no ] || docker compose build pheye || return 1
    docker image inspect --format 'pheye:cpu has {{.Size}} bytes' pheye:cpu >&3
}

up() { docker compose up --detach --no-build --wait --wait-timeout 300 pheye prometheus; }

captioned() {
    expect 200 "$(status -F "image=@$PICTURE" -F length=short "$SERVICE/v1/caption")" || return 1
    grep -o '"caption":"[^"]*"' "$WORK/body"
}

# Numba is there; `True` if decode steps of a small model are compiled for this processor.
GAINS='
from model.network.compiled.compilation.available import fuses_floats, usable
assert usable()
print(fuses_floats())
'
COMPILED=no

is_in_use() {  # by every worker
    local log
    log=$(service_log)
    [ "$(grep -c 'compiled code is in use' <<<"$log")" -ge "$(grep -c 'worker .* is ready' <<<"$log")" ]
}
since() { service_log | sed -n 's/.*compiled code is in use from now on, after \(.*\)/in use after \1/p' | head -n 1 >&3; }

compiles() {  # beside the answers, into the volume
    local gains
    gains=$(in_service python3 -c "$GAINS") || return 1
    [ "$gains" = True ] || { echo 'nothing is compiled for this processor' >&3; return 0; }
    wait_until 300 is_in_use && captioned || return 1
    in_service find /var/lib/pheye/hub/pheye/kernels -name '*.nbi' | grep . || { echo 'nothing is kept'; return 1; }
    COMPILED=yes
    since
}

loads() {  # a new container, with less memory, has the same volume
    local before
    before=$(container)
    export MEMORY_LIMIT=$LESS
    up || return 1
    [ "$before" != "$(container)" ] || { echo 'the container is the same'; return 1; }
    captioned || return 1
    [ "$COMPILED" = yes ] || return 0
    wait_until 60 is_in_use || return 1
    ! service_log | grep compiling || return 1
    since
}

scraped() {
    curl -sf "$PROMETHEUS/api/v1/query" --data-urlencode 'query=up{job="pheye",service="pheye"} == 1' | grep -q '"value"' \
        && curl -sf "$PROMETHEUS/api/v1/query" --data-urlencode 'query=pheye_ready == 1' | grep -q '"value"'
}
scrape() { wait_until 60 scraped; }

read_only_root() {  # the engine says so, and nothing can be written but to the two places that are meant for it
    expect 'true 10001:10001' "$(inspect '{{.HostConfig.ReadonlyRootfs}} {{.Config.User}}')" || return 1
    expect 10001 "$(in_service id -u | tr -d '\r')" || return 1
    in_service sh -c '
        for folder in / /etc /opt/pheye/lib /usr/bin /var/lib/pheye; do
            if echo x >$folder/x; then echo "$folder can be written to"; exit 1; fi
        done
        for folder in /tmp /var/lib/pheye/hub; do echo x >$folder/x && rm $folder/x || exit 1; done
        ! touch /sys/fs/cgroup/x && ! mount -t tmpfs none /tmp'
}

limits() {  # as the engine has them, as the kernel has them, and no capability
    local memory pids
    memory=$(inspect '{{.HostConfig.Memory}}') pids=$(inspect '{{.HostConfig.PidsLimit}}')
    expect '1073741824 512 1000000000' "$memory $pids $(inspect '{{.HostConfig.NanoCpus}}')" || return 1
    expect '[ALL] [no-new-privileges:true]' "$(inspect '{{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}')" || return 1
    in_service sh -c "
        cd /sys/fs/cgroup
        cat memory.max memory/memory.limit_in_bytes 2>/dev/null | grep -x $memory || exit 1
        cat pids.max pids/pids.max 2>/dev/null | grep -x $pids || exit 1
        cat cpu.max 2>/dev/null | grep -x '100000 100000' || grep -x 100000 cpu/cpu.cfs_quota_us || exit 1
        grep -x 'CapEff:[[:space:]]*0*' /proc/self/status && grep -x 'NoNewPrivs:[[:space:]]*1' /proc/self/status"
}

# Inside, since an `exec` takes longer than an answer: wait until workers are in the middle of several, and kill the
# busiest. `auto` starts one for each core of the container's limit, so one here; with more, any of them may be asked.
KILL_A_BUSY_WORKER='
import os, re, signal, sys, time, urllib.request
wanted, processes = int(sys.argv[1]), dict(pair.split("=") for pair in sys.argv[2:])
print("watching", flush=True)
for _ in range(3000):
    page = urllib.request.urlopen("http://127.0.0.1:8000/metrics").read().decode()
    used = {n: float(slots) for n, slots in re.findall(r"^pheye_slots_used\{.*worker=.(\d+).*\} (\S+)", page, re.M)}
    if sum(used.values()) >= wanted:
        os.kill(int(processes[max(used, key=used.get)]), signal.SIGKILL)
        sys.exit()
    time.sleep(0.02)
sys.exit("the workers were never busy")
'

told_if_alone() {  # told_if_alone WORKERS: what a kill did not try
    [ "$1" -gt 1 ] || echo 'one worker for one core: its successor had them; no living worker took over from another'
}

kill_worker() {  # while it writes several answers, which go on on its successor, or another, with the same words
    local restarts workers killer n streams=()
    stream >"$WORK/undisturbed"
    has_ended "$WORK/undisturbed" || return 1
    restarts=$(metric pheye_worker_restarts_total)
    mapfile -t workers < <(service_log | sed -n 's/.*worker \([0-9]*\) on .* (process \([0-9]*\)) is ready.*/\1=\2/p')
    in_service python3 -c "$KILL_A_BUSY_WORKER" "$STREAMS" "${workers[@]}" >"$WORK/killer" 2>&1 &
    killer=$!
    wait_until 30 grep -q watching "$WORK/killer" || return 1
    for n in $(seq "$STREAMS"); do
        stream >"$WORK/stream.$n" &
        streams+=($!)
    done
    wait "$killer" || { cat "$WORK/killer"; return 1; }
    wait "${streams[@]}"
    for n in $(seq "$STREAMS"); do
        has_ended "$WORK/stream.$n" || { echo "stream $n was cut off"; cat "$WORK/stream.$n"; return 1; }
        expect "$(words "$WORK/undisturbed")" "$(words "$WORK/stream.$n")" || return 1
    done
    wait_until 60 is_ready || return 1
    expect $((restarts + 1)) "$(metric pheye_worker_restarts_total)" || return 1
    [ "$(metric pheye_request_replays_total)" -gt 0 ] || { echo 'no answer was under way on the worker'; return 1; }
    service_log | sed -n 's/.*\(worker .* ended with code -9 while it had [0-9]* requests\).*/\1/p' | tail -n 1 >&3
    told_if_alone "${#workers[@]}" >&3
}

# What the kernel killed for want of memory, by either version of cgroups.
oom_kills() { in_service sh -c 'cd /sys/fs/cgroup; cat memory.events memory/memory.oom_control 2>/dev/null' | awk '$1 == "oom_kill" { print $2 }'; }

hostile_images() {  # 50 megapixels in 36 bytes, several at once: the limit is hit, and only those requests fail
    local before oom restarts n bombs=()
    docker run --rm --interactive --entrypoint python3 pheye:cpu -c 'import sys; from PIL import Image
Image.new("RGB", (7070, 7070), "red").save(sys.stdout.buffer, "WEBP", lossless=True, method=0)' >"$WORK/bomb.webp" || return 1
    before=$(lives) oom=$(oom_kills) restarts=$(metric pheye_worker_restarts_total)
    for n in $(seq "$BOMBS"); do
        curl -s -o /dev/null -w '%{http_code}\n' --max-time 180 -F "image=@$WORK/bomb.webp" "$SERVICE/v1/caption" \
            >"$WORK/bomb.$n" &
        bombs+=($!)
    done
    sleep 1
    captioned || return 1  # beside them
    wait "${bombs[@]}"
    cat "$WORK"/bomb.[0-9]* | sort | uniq -c
    ! grep -vxE '200|422|429|503|504' "$WORK"/bomb.[0-9]* && grep -qx 422 "$WORK"/bomb.[0-9]* || return 1
    [ "$(oom_kills)" -gt "$oom" ] || { echo 'the memory limit was not hit'; return 1; }
    expect "$before" "$(lives)" && captioned || return 1
    expect "$restarts" "$(metric pheye_worker_restarts_total)" || return 1
    echo "the kernel killed $(($(oom_kills) - oom)) processes, all of them decoders: $(metric 'pheye_decoders_killed_total{reason="killed"}')" >&3
}

drains() { service_log | grep -q 'draining'; }

stop_drains() {  # a stream in its middle ends whole, then the process ends with 0
    local streaming stopping chunks
    local id
    id=$(container)
    docker update --cpus 0.2 "$id" >/dev/null || return 1
    stream >"$WORK/stopped" &
    streaming=$!
    PAUSE_S=0.02 wait_until 60 has_begun "$WORK/stopped" || return 1
    docker update --cpus 0.02 "$id" >/dev/null || return 1  # so that the answer takes longer than the signal
    docker compose stop pheye &
    stopping=$!
    wait_until 30 drains || return 1
    chunks=$(grep -c '"chunk"' "$WORK/stopped")
    ! has_ended "$WORK/stopped" || { echo 'the answer was complete before the stop'; return 1; }
    docker update --cpus 1 "$id" >/dev/null || return 1
    wait "$streaming" || { echo 'the stream was cut off'; return 1; }
    has_ended "$WORK/stopped" || { cat "$WORK/stopped"; return 1; }
    expect "$(words "$WORK/undisturbed")" "$(words "$WORK/stopped")" || return 1
    wait "$stopping" || return 1
    expect 0 "$(inspect '{{.State.ExitCode}}')" || return 1
    echo "$chunks of $(grep -c '"chunk"' "$WORK/stopped") pieces before the signal, the others after it" >&3
}

down() {
    docker compose down --volumes --timeout 10 && [ -z "$(docker compose ps --all --quiet)" ]
}

check 'a Docker engine with Compose that reads the file' engine
check 'the base image is there' base_image
check 'the image builds' build
STARTED=yes
check 'the service and Prometheus come up healthy' up
check 'a caption' captioned
check 'decode steps are compiled and kept' compiles
check 'the next container loads them' loads
check 'Prometheus scrapes over the compose network' scrape
check 'the root is read-only, the user is 10001' read_only_root
check 'limits are in force, no capabilities are left' limits
check 'a worker killed amid answers is replaced, and they come to their ends' kill_worker
check 'hostile images hit the memory limit and fail alone' hostile_images
check '`docker compose stop` lets a stream end, exit code 0' stop_drains
check 'everything is taken down' down
