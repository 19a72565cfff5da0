#!/usr/bin/env python3
"""PyTorch and torchvision as a peer: CNN rows on the CPU, one process per row and mode.

Without --row this is the driver: it starts each row in a process of its own (clean peak memory,
clean thread pools), collects the JSON lines and prints a table with the best mode of each row. With
--list it names the rows and modes instead. The driver itself does not load torch.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

MODELS = {  # name: (default batch, input shape, classes)
    "lenet5": (64, (1, 28, 28), 10),
    "alexnet": (16, (3, 224, 224), 1000),
    "vgg16": (4, (3, 224, 224), 1000),
    "googlenet": (16, (3, 224, 224), 1000),
    "resnet18": (16, (3, 224, 224), 1000),
    "resnet50": (8, (3, 224, 224), 1000),
}
PHASES = ["infer", "infer1", "train"]
DTYPES = ["f32", "bf16"]
GEMM_SIZES = [256, 512, 1024, 2048, 4096]
COMPILE_LIMIT = 180  # seconds that torch.compile may take for one row


def modes_of(phase, dtype, want_compile):
    """The ways in which a user would plausibly run this row."""
    modes = ["contiguous", "channels_last"]
    if phase == "train":
        modes.append("channels_last_fused")  # SGD(fused=True)
    elif dtype == "bf16":
        modes.append("channels_last_weights")  # the model itself in bf16, no autocast
    if want_compile:
        modes.append("compile")
        if phase != "train":
            modes.append("compile_freezing")
    return modes


def timing(step, quick):
    """Warms up, then times. Short steps are timed several at a time (samples of about 0.1 s).
    Measures again, three times at most, while (max - min) / median is above a quarter, and keeps
    the attempt with the smallest spread."""
    clock = time.perf_counter
    start = clock()
    step()
    if clock() - start < 2.0:
        done = 1
        while done < 3 or (clock() - start < 0.5 and done < 200):
            step()
            done += 1
    one = 1e9
    for _ in range(3):
        t = clock()
        step()
        one = max(min(one, clock() - t), 1e-7)
        if one > 1.0:
            break
    iters = min(max(int(0.1 / one), 1), 10000)
    budget = 3.0 if quick else 4.0
    least = 3 if (quick or one > 2.0) else 5
    runs = min(max(int(budget / (one * iters)), least), 15)
    best = None
    for attempt in range(1, 4):
        ms = []
        for _ in range(runs):
            t = clock()
            for _ in range(iters):
                step()
            ms.append((clock() - t) * 1e3 / iters)
        ms.sort()
        h = runs // 2
        median = ms[h] if runs % 2 else 0.5 * (ms[h - 1] + ms[h])
        spread = (ms[-1] - ms[0]) / median
        if best is None or spread < best[0]:
            best = (spread, dict(median_ms=round(median, 4), min_ms=round(ms[0], 4),
                                 max_ms=round(ms[-1], 4), runs=runs, iters=iters))
        best[1]["attempts"] = attempt
        if spread <= 0.25 or quick:
            break
    return best[1]


def row_name(phase, model, dtype):
    """The row of a phase: infer1 is inference at batch 1."""
    batch = 1 if phase == "infer1" else MODELS[model][0]
    return f"{'train' if phase == 'train' else 'infer'}/{model}/b{batch}/{dtype}"


def all_rows(want_compile):
    """Every row with each of its modes."""
    for dtype in DTYPES:
        for model in MODELS:
            for phase in PHASES:
                for mode in modes_of(phase, dtype, want_compile):
                    yield row_name(phase, model, dtype), mode
        for n in GEMM_SIZES:
            yield f"gemm/n{n}/{dtype}", "mm"


def rss_mib(field):
    """VmHWM (peak) or VmRSS (now) of this process in MiB; None where the system does not say."""
    try:
        with open("/proc/self/status") as f:
            for line in f:
                if line.startswith(field + ":"):
                    return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    return None


def start_memory_count():
    """Returns freed memory to the system, reads what is resident, and starts the peak anew there."""
    import ctypes
    import gc
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        return None
    return rss_mib("VmRSS")


def make_model(name):
    import torch
    n = torch.nn
    if name == "lenet5":
        return n.Sequential(
            n.Conv2d(1, 6, 5, padding=2), n.Tanh(), n.AvgPool2d(2),
            n.Conv2d(6, 16, 5), n.Tanh(), n.AvgPool2d(2), n.Flatten(),
            n.Linear(400, 120), n.Tanh(), n.Linear(120, 84), n.Tanh(), n.Linear(84, 10))
    import torchvision.models as zoo
    if name == "googlenet":
        return zoo.googlenet(weights=None, aux_logits=False, init_weights=False)
    if name == "vgg16":
        return zoo.vgg16(weights=None, init_weights=False)
    return getattr(zoo, name)(weights=None)


def run_model_row(args):
    """Times one row of a network in this process; returns its JSON object."""
    phase, model_name, batch, dtype = args.row.split("/")
    batch = int(batch[1:])
    mode = args.mode
    out = dict(peer="torch", mode=mode, name=args.row)
    if mode == "compile_freezing":
        os.environ["TORCHINDUCTOR_FREEZING"] = "1"
    import warnings
    warnings.filterwarnings("ignore")
    import torch
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    _, shape, classes = MODELS[model_name]
    last = mode != "contiguous"
    layout = torch.channels_last if last else torch.contiguous_format
    bf16 = dtype == "bf16"
    half_weights = mode == "channels_last_weights"
    compiled = mode.startswith("compile")
    model = make_model(model_name).to(memory_format=layout)
    x = torch.randn(batch, *shape).contiguous(memory_format=layout)
    y = torch.tensor([(i * 7919 + 13) % classes for i in range(batch)])

    def autocast():
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16 and not half_weights)

    if phase == "infer":
        model.eval()
        if half_weights:
            model, x = model.to(torch.bfloat16), x.to(torch.bfloat16)
        net = torch.compile(model) if compiled else model

        def step():
            with torch.inference_mode(), autocast():
                return net(x)
    else:
        model.train()
        net = torch.compile(model) if compiled else model
        fused = mode in ("channels_last_fused", "compile")
        sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=fused or None)

        def step():
            sgd.zero_grad()
            with autocast():
                loss = torch.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            sgd.step()
            return loss

    if compiled:
        def too_long(_sig, _frame):
            raise TimeoutError(f"torch.compile took more than {COMPILE_LIMIT} s")
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(COMPILE_LIMIT)
        t = time.perf_counter()
        step()
        step()
        signal.alarm(0)
        out["compile_s"] = round(time.perf_counter() - t, 1)
    with torch.no_grad(), autocast():
        net(x)
    before = start_memory_count()
    got = timing(step, args.quick)
    out.update(value=round(batch * 1e3 / got["median_ms"], 3), unit="img/s")
    out.update(got)
    out.update(threads=args.threads, version=torch.__version__.split("+")[0])
    peak = rss_mib("VmHWM")
    if before and peak:
        out["rss_before_mib"], out["peak_rss_mib"] = before, peak
        if phase == "train":
            held = sum(q.numel() * q.element_size() for q in model.parameters()) / 2**20
            out["grad_and_momentum_mib"] = round(2 * held, 1)
    return out


def run_gemm_row(args):
    """Times one matrix product in this process; returns its JSON object."""
    _, size, dtype = args.row.split("/")
    n = int(size[1:])
    import torch
    torch.set_num_threads(args.threads)
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    a = torch.rand(n, n).to(kind)
    b = torch.rand(n, n).to(kind)
    c = torch.empty(n, n, dtype=kind)
    with torch.inference_mode():
        got = timing(lambda: torch.mm(a, b, out=c), args.quick)
    out = dict(peer="torch", mode="mm", name=args.row,
               value=round(2.0 * n ** 3 / 1e6 / got["median_ms"], 2), unit="GF/s")
    out.update(got)
    out.update(threads=args.threads, version=torch.__version__.split("+")[0])
    return out


def child(args, extra, threads, limit):
    """Runs one row; returns its JSON object (with "error" where it failed)."""
    env = dict(os.environ)
    for v in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        env[v] = str(threads)
    cmd = [sys.executable, os.path.abspath(__file__), "--threads", str(threads)] + extra
    if args.quick:
        cmd.append("--quick")
    p = subprocess.Popen(cmd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         start_new_session=True)
    try:
        stdout, stderr = p.communicate(timeout=limit)
        why = None
    except subprocess.TimeoutExpired:
        why = f"no result within {limit} s"
        stdout = stderr = ""
    finally:
        try:
            os.killpg(p.pid, signal.SIGKILL)  # compile workers too
        except ProcessLookupError:
            pass
        p.wait()
    for line in stdout.splitlines():
        if line.startswith("{"):
            return json.loads(line)
    lines = [s for s in stderr.splitlines() if s.strip()]
    return {"error": why or (lines[-1][:300] if lines else f"exit status {p.returncode}")}


def table(results):
    rows = {}
    for r in results:
        rows.setdefault((r["name"], r["threads"]), []).append(r)
    print(f"\n{'row':28s} {'thr':>3s} {'best':>10s} {'unit':6s} mode", file=sys.stderr)
    for (name, threads), rs in rows.items():
        ok = [r for r in rs if r.get("value")]
        if not ok:
            print(f"{name:28s} {threads:3d} failed", file=sys.stderr)
            continue
        best = max(ok, key=lambda r: r["value"])
        rest = ", ".join(f"{r['mode']} {r['value'] if r.get('value') else 'failed'}"
                         for r in rs if r is not best)
        print(f"{name:28s} {threads:3d} {best['value']:10.2f} {best['unit']:6s} {best['mode']}"
              f"   ({rest})", file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", help="comma list of " + ", ".join(MODELS))
    p.add_argument("--phase", help="comma list of infer (batch B), infer1 (batch 1), train")
    p.add_argument("--dtype", help="comma list of f32, bf16")
    p.add_argument("--mode", help="comma list of modes; with --row, the one mode")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--quick", action="store_true", help="fewer runs, no repeats, no torch.compile")
    p.add_argument("--no-compile", action="store_true", help="leave torch.compile's modes out")
    p.add_argument("--gemm", action="store_true", help="the matrix product's rate instead of the models")
    p.add_argument("--json", help="append the JSON lines to this file as well")
    p.add_argument("--row", help="run this one row here: train/resnet18/b16/f32, gemm/n1024/f32")
    p.add_argument("--list", action="store_true", help="name every row and mode, a line each")
    args = p.parse_args()

    if args.row:
        if args.row.startswith("gemm/"):
            got = run_gemm_row(args)
        else:
            args.mode = args.mode or "channels_last"
            got = run_model_row(args)
        line = json.dumps(got)
        print(line)
        if args.json:
            with open(args.json, "a") as f:
                f.write(line + "\n")
        return
    if args.list:
        print("\n".join(f"{name} {mode}" for name, mode in all_rows(not args.no_compile)))
        return

    def pick(given, all_of):
        names = given.split(",") if given else list(all_of)
        for n in names:
            if n not in all_of:
                p.error(f"{n}: not one of {', '.join(all_of)}")
        return names

    jobs = []  # (name, mode, threads, arguments, limit in seconds)
    if args.gemm:
        for dtype in pick(args.dtype, DTYPES):
            for n in GEMM_SIZES:
                for threads in sorted({1, args.threads}):
                    name = f"gemm/n{n}/{dtype}"
                    jobs.append((name, "mm", threads, ["--row", name], 300))
    else:
        want_compile = not (args.quick or args.no_compile)
        wanted = args.mode.split(",") if args.mode else None
        for model in pick(args.model, MODELS):
            for dtype in pick(args.dtype, DTYPES):
                for phase in pick(args.phase, PHASES):
                    name = row_name(phase, model, dtype)
                    for mode in modes_of(phase, dtype, want_compile or wanted):
                        if wanted and mode not in wanted:
                            continue
                        limit = COMPILE_LIMIT + 150 if mode.startswith("compile") else 400
                        jobs.append((name, mode, args.threads, ["--row", name, "--mode", mode], limit))

    results = []
    for name, mode, threads, extra, limit in jobs:
        got = child(args, extra, threads, limit)
        if "error" in got:
            got = dict(peer="torch", mode=mode, name=name, value=None,
                       unit="GF/s" if args.gemm else "img/s", threads=threads, error=got["error"])
        results.append(got)
        line = json.dumps(got)
        print(line, flush=True)
        if args.json:
            with open(args.json, "a") as f:
                f.write(line + "\n")
    table(results)


if __name__ == "__main__":
    main()
