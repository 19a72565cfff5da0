#!/usr/bin/env python3
"""PyTorch on a GPU: the rows of `benches/examples/steps.rs`, timed the same way.

    torch_gpu.py MODE ROW...      MODE: eager or compile; ROW: train/resnet50/b256/bf16, infer/...

One JSON object a row. Memory is channels-last, cuDNN's benchmark mode is on, bf16 is autocast, f32 is f32
(no TF32), SGD has momentum 0.9 and is fused under compile.
"""

import json
import sys
import time

from torch_bench import make_model


def run_row(mode, row):
    import torch
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(1)
    phase, name, batch, dtype = row.split("/")
    batch, bf16 = int(batch[1:]), dtype == "bf16"
    shape, classes = ((1, 28, 28), 10) if name == "lenet5" else ((3, 224, 224), 1000)
    started = time.perf_counter()
    model = make_model(name).cuda().to(memory_format=torch.channels_last)
    x = torch.randn(batch, *shape, device="cuda").contiguous(memory_format=torch.channels_last)
    y = torch.tensor([(i * 7919 + 13) % classes for i in range(batch)], device="cuda")

    def autocast():
        return torch.autocast("cuda", dtype=torch.bfloat16, enabled=bf16)

    compiled = mode == "compile"
    if phase == "infer":
        model.eval()
        net = torch.compile(model) if compiled else model

        def step():
            with torch.inference_mode(), autocast():
                return net(x)
    else:
        model.train()
        net = torch.compile(model) if compiled else model
        sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=compiled or None)

        def step():
            sgd.zero_grad()
            with autocast():
                loss = torch.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            sgd.step()

    wait = torch.cuda.synchronize
    step()
    wait()
    first = time.perf_counter() - started
    steps, warm = 1, time.perf_counter()
    while time.perf_counter() - warm < 2 or steps < 4:
        step()
        wait()
        steps += 1
    one = (time.perf_counter() - warm) / steps
    iters = int(min(max(0.25 / one, 1), 2000))
    samples, timed = [], time.perf_counter()
    while time.perf_counter() - timed < 4 or len(samples) < 5:
        t = time.perf_counter()
        for _ in range(iters):
            step()
        wait()
        samples.append((time.perf_counter() - t) * 1e3 / iters)
    samples.sort()
    median = samples[len(samples) // 2]
    return dict(peer="torch", mode=mode, name=row, value=round(batch * 1e3 / median, 1), unit="img/s",
                median_ms=round(median, 4), min_ms=round(samples[0], 4), max_ms=round(samples[-1], 4),
                runs=len(samples), iters=iters, first_s=round(first, 2),
                peak_mib=torch.cuda.max_memory_allocated() >> 20, version=torch.__version__)


def main():
    mode, rows = sys.argv[1], sys.argv[2:]
    for row in rows:
        try:
            print(json.dumps(run_row(mode, row)), flush=True)
        except Exception as error:  # a row that fails does not take the others along
            print(json.dumps(dict(peer="torch", mode=mode, name=row, error=str(error)[:300])), flush=True)


if __name__ == "__main__":
    main()
