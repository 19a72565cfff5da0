#!/usr/bin/env bash
# What `cargo xtask gpu-check` runs on a machine with a GPU: everything that needs one, then a table.
#
#   run.sh [GROUP...]    groups: laws parity train speed sanitize profile; all by default
#
# Logs go to $OUT (default: logs beside this file). The GPU is the first that CUDA_VISIBLE_DEVICES names, else the first
# that there is. No step begins or goes on after $DEADLINE seconds (default 570: machines are lent for ten minutes), so the
# groups stand in the order of what must be known first. The table is printed however this ends, and names what there was
# no time for. The status is 0 if everything was run and passed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$here/logs}
deadline=${DEADLINE:-570}
groups=${*:-laws parity train speed sanitize profile}
rows=${ROWS:-train/resnet50/b256/bf16 infer/resnet50/b256/bf16 train/lenet5/b64/f32}
device=cuda:0
# CUDA counts GPUs as nvidia-smi does, so that the one that is watched is the one that works.
export CUDA_DEVICE_ORDER=PCI_BUS_ID
gpu=${CUDA_VISIBLE_DEVICES:-0}
gpu=${gpu%%,*}
# A test that is skipped for want of a GPU has failed here.
export FERROTAPE_NO_SKIP_GPU=1
mkdir -p "$out"
# NVIDIA's libraries of a PyTorch that is installed are as good as those of a toolkit.
if command -v python3 >/dev/null; then
  found=$(python3 - <<'PY' 2>/dev/null
import glob, os
try:
    import nvidia
    roots = list(nvidia.__path__)
except ImportError:
    roots = []
print(":".join(d for root in roots for d in sorted(glob.glob(os.path.join(root, "*", "lib")))))
PY
)
  # An empty name in the list would be the current folder.
  path=$found${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  path=${path#:}
  if [ -n "$path" ]; then export LD_LIBRARY_PATH="$path"; fi
fi
pids=()
: >"$out/table"

# row NAME VERDICT SECONDS WHY: a line of the table.
row() { printf '%-36s %-8s %4d s  %s\n' "$1" "$2" "$3" "$4" >>"$out/table"; }

# step NAME SECONDS COMMAND...: runs it in the background, its output in a log of its own.
step() {
  local name=$1 limit=$2 left=$((deadline - SECONDS))
  shift 2
  if [ "$left" -le 0 ]; then
    row "$name" not-run 0 "there was no time left"
    return
  fi
  if [ "$limit" -gt "$left" ]; then limit=$left; fi
  (
    SECONDS=0
    stopped=
    timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1 &
    child=$!
    trap 'stopped=yes; kill "$child" 2>/dev/null' TERM
    wait "$child"
    rc=$?
    if [ -n "$stopped" ]; then wait "$child"; fi
    case $rc in 0) verdict=passed ;; 124 | 137) verdict=timeout ;; *) verdict=FAILED ;; esac
    if [ -n "$stopped" ]; then verdict=stopped; fi
    # A row of the benchmarks that fails does not take the others along, and says so in its line.
    if grep -q '^{.*"error":' "$out/$name.log" && [ $verdict = passed ]; then verdict=FAILED; fi
    # What PyTorch does not do in time, or where there is none, is no failure of ours.
    case $name in torch-*) if [ $verdict != passed ]; then verdict=no-row; fi ;; esac
    why=$(grep -m1 -E 'panicked|^error|"error":|FAILED [a-z0-9]|========= (Invalid|Error)' "$out/$name.log" | cut -c1-150)
    row "$name" "$verdict" "$SECONDS" "$why"
  ) &
  pids+=($!)
}

all() {
  if [ ${#pids[@]} -gt 0 ]; then wait "${pids[@]}" 2>/dev/null; fi
  pids=()
}

# measure NAME SECONDS COMMAND...: a step with nothing beside it, whose lines are those of the page on performance.
measure() {
  rm -f "$out/$1.log"
  step "$@"
  all
  grep -h '^{' "$out/$1.log" 2>/dev/null >>"$out/speed.jsonl"
}

wants() { [[ " $groups " == *" $1 "* ]]; }

# Ends what still runs, prints the table, and says by the status whether all of it is as it should be.
finish() {
  local status=$?
  trap '' TERM INT
  local running
  running=$(jobs -p)
  if [ -n "$running" ]; then
    # shellcheck disable=SC2086 # it is a list
    kill $running 2>/dev/null
    wait
  fi
  sort "$out/table"
  if [ $status = 0 ] && awk '$2 ~ /^(FAILED|timeout|stopped|not-run)$/ {found = 1} END {exit !found}' "$out/table"; then
    status=1
  fi
  exit $status
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

timeout 30 "$here/bin/ferrotape" doctor >"$out/doctor.log" 2>&1
cat "$out/doctor.log"

if wants laws; then
  step conformance 200 "$here/bin/laws-cuda" conformance::on_a_gpu --test-threads=6
  step operators 240 env FERROTAPE_LAWS_DEVICE=$device "$here/bin/laws-autograd" --test-threads=6 --skip threads
fi
if wants parity; then
  for dtype in f64 f32; do
    step "parity-ops-$dtype" 200 "$here/bin/ferrotape-parity" --device $device --dtype $dtype "$here/fixtures/ops" "$here/fixtures/optim.json"
    step "parity-zoo-$dtype" 200 "$here/bin/ferrotape-parity" --device $device --dtype $dtype "$here/fixtures/zoo.json"
  done
fi
all
if wants laws; then
  # Alone: one of its tests takes all memory that there is.
  step gpu 120 "$here/bin/laws-cuda" alone_on_a_gpu --test-threads=1
  all
  step measured 120 "$here/bin/laws-cuda" conformance::measured_on_a_gpu --test-threads=5
fi
if wants train; then
  for run in 1 2; do
    rm -rf "$out/run-$run"
    step "train-$run" 120 "$here/bin/ferrotape" train lenet5 --device $device --epochs 2 --out "$out/run-$run"
  done
fi
all
if wants train; then
  if ! [ -f "$out/run-1/model.safetensors" ] || ! [ -f "$out/run-2/model.safetensors" ]; then
    row train-twice not-run 0 "there are no two models to compare"
  elif cmp "$out/run-1/model.safetensors" "$out/run-2/model.safetensors" >"$out/equal.log" 2>&1; then
    row train-twice passed 0 "equal files"
  else
    row train-twice FAILED 0 "the files differ"
  fi
  grep -h -i 'accuracy' "$out/train-1.log" 2>/dev/null | tail -n 1 >>"$out/table"
  rm -rf "$out"/run-*
fi
if wants speed; then
  : >"$out/speed.jsonl"
  for name in $rows; do
    busy="$out/busy-${name//\//-}.log"
    nvidia-smi -i "$gpu" --query-gpu=utilization.gpu,clocks.sm,power.draw --format=csv,noheader,nounits -lms 200 >"$busy" 2>&1 &
    watcher=$!
    measure "speed-${name//\//-}" 60 "$here/bin/steps" $device "$name"
    kill $watcher 2>/dev/null
    # The row was timed in the last four seconds.
    tail -n 18 "$busy" | awk -F', ' -v row="$name" '{n++; u += $1; c += $2; w += $3}
      END {if (n) printf "{\"busy\": \"%s\", \"percent\": %.0f, \"mhz\": %.0f, \"watts\": %.0f}\n", row, u/n, c/n, w/n}' >>"$out/speed.jsonl"
  done
  for name in $rows; do
    measure "torch-eager-${name//\//-}" 60 python3 "$here/torch_gpu.py" eager "$name"
  done
fi
if wants sanitize; then
  if command -v compute-sanitizer >/dev/null; then
    export FERROTAPE_CONFORMANCE_CASES=12
    for tool in memcheck racecheck; do
      # The kit asks for sizes that no device has; memcheck counts each time that the driver refuses one as an error.
      quiet=()
      if [ $tool = memcheck ]; then quiet=(--report-api-errors no); fi
      step "$tool" 150 compute-sanitizer --tool $tool "${quiet[@]}" --error-exitcode 9 "$here/bin/laws-cuda" conformance::on_a_gpu --test-threads=6
    done
    all
    unset FERROTAPE_CONFORMANCE_CASES
  else
    row sanitize skipped 0 "compute-sanitizer is not on the PATH"
  fi
fi
if wants profile; then
  for name in ${PROFILES:-train/resnet50/b256/bf16}; do
    step "profile-${name//\//-}" 60 env FERROTAPE_BENCH_DEVICE=$device CUDA_LAUNCH_BLOCKING=1 "$here/bin/profile" "$name" 5
    all
    # The page takes its profiles from these.
    cp "$out/profile-${name//\//-}.log" "$out/profile-${name//\//-}.txt" 2>/dev/null
  done
fi
if wants speed; then
  # Last, because compiling the training of a ResNet-50 takes PyTorch two minutes and more.
  for name in $rows; do
    measure "torch-compile-${name//\//-}" 180 python3 "$here/torch_gpu.py" compile "$name"
  done
  cat "$out/speed.jsonl"
fi
