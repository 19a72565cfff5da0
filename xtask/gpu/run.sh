#!/usr/bin/env bash
# What `cargo xtask gpu-check` runs on a machine with a GPU: everything that needs one, then a table.
#
#   run.sh [GROUP...]    groups: laws parity train sanitize speed profile; all by default
#
# Logs go to $OUT (default: logs beside this file). DEVICE names another device than cuda:0.
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$here/logs}
device=${DEVICE:-cuda:0}
groups=${*:-laws parity train sanitize speed profile}
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
  export LD_LIBRARY_PATH="$found${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
declare -a names pids
: >"$out/table"

# step NAME SECONDS COMMAND...: runs it in the background, its output in a log of its own.
step() {
  local name=$1 limit=$2
  shift 2
  (
    SECONDS=0
    timeout "$limit" "$@" >"$out/$name.log" 2>&1
    rc=$?
    case $rc in 0) verdict=passed ;; 124) verdict=timeout ;; *) verdict=FAILED ;; esac
    grep -q '^skipped:' "$out/$name.log" && [ $rc = 0 ] && verdict=skipped
    why=$(grep -m1 -E "panicked|^error|FAILED [a-z0-9]|========= (Invalid|Error)" "$out/$name.log" | cut -c1-150)
    printf '%-22s %-8s %4d s  %s\n' "$name" "$verdict" "$SECONDS" "$why" >>"$out/table"
  ) &
  pids+=($!)
}

all() {
  wait "${pids[@]}" 2>/dev/null
  pids=()
}

wants() { [[ " $groups " == *" $1 "* ]]; }

"$here/bin/ferrotape" doctor >"$out/doctor.log" 2>&1
cat "$out/doctor.log"

if wants laws; then
  step conformance 200 "$here/bin/laws-cuda" on_a_gpu --test-threads=6
  step gpu 200 "$here/bin/laws-cuda" alone_on_a_gpu --test-threads=1
  step operators 240 env FERROTAPE_LAWS_DEVICE="$device" "$here/bin/laws-autograd" --test-threads=6 --skip threads
fi
if wants parity; then
  for dtype in f64 f32; do
    step "parity-ops-$dtype" 200 "$here/bin/ferrotape-parity" --device "$device" --dtype $dtype "$here/fixtures/ops" "$here/fixtures/optim.json"
    step "parity-zoo-$dtype" 200 "$here/bin/ferrotape-parity" --device "$device" --dtype $dtype "$here/fixtures/zoo.json"
  done
fi
all
if wants train; then
  for run in 1 2; do
    rm -rf "$out/run-$run"
    step "train-$run" 120 "$here/bin/ferrotape" train lenet5 --device "$device" --epochs 2 --out "$out/run-$run"
  done
  all
  cmp "$out/run-1/model.safetensors" "$out/run-2/model.safetensors" >"$out/equal.log" 2>&1 &&
    echo "train twice: equal files" >>"$out/table" || echo "train twice: FAILED, files differ" >>"$out/table"
  grep -h -i 'accuracy' "$out/train-1.log" | tail -n 1 >>"$out/table"
  rm -rf "$out"/run-*
fi
if wants sanitize; then
  if command -v compute-sanitizer >/dev/null; then
    export FERROTAPE_CONFORMANCE_CASES=12
    for tool in memcheck racecheck; do
      step "$tool" 150 compute-sanitizer --tool $tool --error-exitcode 9 "$here/bin/laws-cuda" conformance::on_a_gpu --test-threads=6
    done
    all
    unset FERROTAPE_CONFORMANCE_CASES
  else
    echo "sanitize: skipped, compute-sanitizer is not on the PATH" >>"$out/table"
  fi
fi
if wants speed; then
  : >"$out/speed.jsonl"
  : >"$out/speed.err"
  for row in ${ROWS:-train/resnet50/b256/bf16 infer/resnet50/b256/bf16 train/lenet5/b64/f32}; do
    busy="$out/busy-${row//\//-}.log"
    nvidia-smi --query-gpu=utilization.gpu,clocks.sm,power.draw --format=csv,noheader,nounits -lms 200 >"$busy" 2>&1 &
    watcher=$!
    timeout 60 "$here/bin/steps" "$device" "$row" >>"$out/speed.jsonl" 2>>"$out/speed.err"
    kill $watcher 2>/dev/null
    # The row was timed in the last four seconds.
    tail -n 18 "$busy" | awk -F', ' -v row="$row" '{n++; u += $1; c += $2; w += $3}
      END {if (n) printf "{\"busy\": \"%s\", \"percent\": %.0f, \"mhz\": %.0f, \"watts\": %.0f}\n", row, u/n, c/n, w/n}' >>"$out/speed.jsonl"
    for mode in ${MODES:-eager compile}; do
      timeout 100 python3 "$here/torch_gpu.py" $mode "$row" >>"$out/speed.jsonl" 2>>"$out/speed.err"
    done
  done
  cat "$out/speed.jsonl"
fi
if wants profile; then
  for row in ${PROFILES:-train/resnet50/b256/bf16}; do
    FERROTAPE_BENCH_DEVICE=$device CUDA_LAUNCH_BLOCKING=1 timeout 60 "$here/bin/profile" "$row" 5 >"$out/profile-${row//\//-}.txt" 2>&1
  done
fi
sort "$out/table"
