#!/usr/bin/env bash
# Try docker-compose.yml on a real Docker engine: build, start, ask, scrape, hurt, stop. About 15 minutes, most of them the build.
#
#   docker/try.sh           or   make compose-test
#
# Needs a running Docker engine, Compose 2.20 or newer, curl, and python3 with Pillow (PYTHON=...) for the hostile images.
# DOCKER_HOST, BASE_IMAGE, TORCH_INDEX_URL_CPU, HTTP_PORT and PROMETHEUS_PORT are taken as ever; BUILD=no uses the image
# pheye:cpu as it is. One line a check, with its seconds. The first check that fails shows the containers' logs and ends
# the script with 1. The project, its network and its volumes are removed at the end, whatever happens.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

export COMPOSE_PROJECT_NAME=pheye-try HTTP_PORT=${HTTP_PORT:-18000} PROMETHEUS_PORT=${PROMETHEUS_PORT:-19090}
export HTTP_ADDRESS=127.0.0.1 PHEYE_API_KEYS='' SCRAPE_KEY='' MEMORY_LIMIT=${MEMORY_LIMIT:-2g}
PYTHON=${PYTHON:-python3}
SERVICE=http://127.0.0.1:$HTTP_PORT
PROMETHEUS=http://127.0.0.1:$PROMETHEUS_PORT
PICTURE=docs/images/scene.png
WORK=$(mktemp -d)
ENGINE=no

clean_up() {
    trap - EXIT INT TERM
    [ "$ENGINE" = no ] || docker compose down --volumes --timeout 10 >/dev/null 2>&1
    rm -rf "$WORK"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

check() {  # check TITLE FUNCTION
    local began=$SECONDS
    if "$2" >"$WORK/out" 2>&1; then
        printf 'ok    %4d s  %s\n' $((SECONDS - began)) "$1"
        return
    fi
    printf 'FAIL  %4d s  %s\n' $((SECONDS - began)) "$1"
    tail -n 60 "$WORK/out"
    [ "$ENGINE" = no ] || docker compose logs --no-color --tail 60
    exit 1
}

wait_until() {  # wait_until SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { echo "not within the time: $*"; return 1; }
        sleep 1
    done
}

in_service() { docker compose exec -T pheye "$@"; }
container() { docker compose ps --all --quiet pheye; }
status() { curl -s -o "$WORK/body" -w '%{http_code}' --max-time 120 "$@"; }
caption() { status -F "image=@$PICTURE" -F length=short "$SERVICE/v1/caption"; }
expect() { [ "$1" = "$2" ] || { echo "expected $1, got $2"; cat "$WORK/body"; return 1; }; }
restarts() { curl -sf "$SERVICE/metrics" | awk '$1 == "pheye_worker_restarts_total" { print int($2) }'; }
scraped() {
    curl -sf "$PROMETHEUS/api/v1/query" --data-urlencode 'query=up{job="pheye",service="pheye"} == 1' | grep -q '"value"'
}
worker_replaced() { [ "$(restarts)" -gt "$1" ] && [ "$(status "$SERVICE/readyz")" = 200 ]; }

engine() { docker version && docker compose version && docker compose config --quiet; }
base_image() {
    local image=${BASE_IMAGE:-python:3.11-slim-bookworm}
    docker image inspect "$image" >/dev/null || docker pull "$image"
}
build() { [ "${BUILD:-yes}" = no ] || docker compose build pheye; }
up() { docker compose up --detach --no-build --wait --wait-timeout 300 pheye prometheus; }
captioned() { expect 200 "$(caption)" && grep -q '"caption"' "$WORK/body"; }
scrape() { wait_until 60 scraped; }

read_only_root() {
    ! in_service sh -c 'echo x >/opt/pheye/x' && ! in_service sh -c 'echo x >/var/lib/pheye/x' \
        && in_service sh -c 'echo x >/tmp/x && rm /tmp/x' && expect 10001 "$(in_service id -u | tr -d '\r')"
}

limits() {  # as the engine holds them, and as the kernel does
    local held
    held=$(docker inspect --format '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' "$(container)")
    echo "$held"
    [[ $held =~ ^[1-9][0-9]*\ 512\ [1-9][0-9]*\ true\ \[ALL\]$ ]] || return 1
    in_service sh -c 'cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes' \
        | grep -qx "${held%% *}" && in_service grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status
}

kill_worker() {  # while somebody waits for an answer
    local before pid asking
    before=$(restarts)
    pid=$(docker compose logs --no-color pheye | grep -oE 'worker [0-9]+ on \S+ is ready' | tail -1 | grep -oE '[0-9]+' | head -1)
    [ -n "$pid" ] || { echo 'no worker in the log'; return 1; }
    (code=$(curl -s -o /dev/null -w '%{http_code}' --max-time 120 -F "image=@$PICTURE" -F length=long "$SERVICE/v1/caption"); echo "$code" >"$WORK/asked") &
    asking=$!
    sleep 0.2
    in_service python3 -c 'import os, sys; os.kill(int(sys.argv[1]), 9)' "$pid" || return 1
    wait "$asking"
    expect 200 "$(cat "$WORK/asked")" && wait_until 60 worker_replaced "$before"
}

hostile_images() {  # several at once: each may fail, a request beside them may not
    local began refused n pids=()
    "$PYTHON" -c 'import sys; from tests.support.hostile import scan_bomb; open(sys.argv[1], "wb").write(scan_bomb(6000, 60))' "$WORK/bomb.jpg" || return 1
    began=$(docker inspect --format '{{.State.StartedAt}} {{.RestartCount}}' "$(container)")
    for n in 1 2 3 4 5 6; do
        curl -s -o /dev/null -w '%{http_code}\n' --max-time 180 -F "image=@$WORK/bomb.jpg" "$SERVICE/v1/caption" >"$WORK/bomb.$n" &
        pids+=($!)
    done
    captioned || return 1
    wait "${pids[@]}"
    refused=$(cat "$WORK"/bomb.[1-6] | sort | uniq -c)
    echo "$refused"
    ! grep -qvE '^(200|413|422|429|503|504)$' "$WORK"/bomb.[1-6] || return 1
    captioned && expect "$began" "$(docker inspect --format '{{.State.StartedAt}} {{.RestartCount}}' "$(container)")"
}

stop_drains() {  # a stream that has begun ends whole, then the process with 0
    local streaming
    curl -sN --max-time 120 -F "image=@$PICTURE" -F stream=true -F length=long "$SERVICE/v1/caption" >"$WORK/stream" &
    streaming=$!
    wait_until 30 test -s "$WORK/stream" || return 1
    docker compose stop pheye || return 1
    wait "$streaming" || { echo 'the stream was cut off'; return 1; }
    cat "$WORK/stream"
    grep -q '^data: {"completed":true' "$WORK/stream" || return 1
    expect 0 "$(docker inspect --format '{{.State.ExitCode}}' "$(container)")"
}

down() {
    docker compose down --volumes --timeout 10 && [ -z "$(docker compose ps --all --quiet)" ]
}

check 'a Docker engine with Compose that reads the file' engine
ENGINE=yes
check 'the base image is there' base_image
check 'the image builds' build
printf '              pheye:cpu has %s bytes\n' "$(docker image inspect --format '{{.Size}}' pheye:cpu)"
check 'the service and Prometheus come up healthy' up
check 'a caption' captioned
check 'Prometheus scrapes over the compose network' scrape
check 'the root is read-only, the user is 10001' read_only_root
check 'limits are in force, no capabilities are left' limits
check 'a worker killed with a request on it is replaced, and the request answered' kill_worker
check 'hostile images fail alone' hostile_images
check '`docker compose stop` lets a stream end, exit code 0' stop_drains
check 'everything is taken down' down
