"""What this GPU can do: copying memory and multiplying matrices, through PyTorch. Prints one JSON object.

usage: ceilings.py DEVICE
"""
import json
import statistics
import sys
import time

import torch


def median_ms(work, device, count, warmup):
    for _ in range(warmup):
        work()
    if device != "cuda":
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            work()
            times.append((time.perf_counter() - begun) * 1e3)
        return statistics.median(times)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    marks[0].record()
    for mark in marks[1:]:
        work()
        mark.record()
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in zip(marks, marks[1:]))


def main():
    device = sys.argv[1]
    torch.manual_seed(1)
    gpu = device == "cuda"
    result = {"torch": torch.__version__, "torch_cuda": torch.version.cuda}
    if gpu:
        properties = torch.cuda.get_device_properties(0)
        result |= {"device": properties.name, "multiprocessors": properties.multi_processor_count,
                   "sm": f"{properties.major}{properties.minor}", "memory_bytes": properties.total_memory,
                   "cudnn": torch.backends.cudnn.version()}
    size = 2 << 30 if gpu else 64 << 20  # far more than a cache holds
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    ms = median_ms(lambda: target.copy_(source), device, 20 if gpu else 5, 3)
    result["copy_gb_per_s"] = 2 * size / ms / 1e6
    del source, target
    side = 8192 if gpu else 512
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    ms = median_ms(lambda: torch.matmul(a, b), device, 30 if gpu else 5, 5)
    result["gemm_side"], result["gemm_tflop_per_s"] = side, 2 * side**3 / ms / 1e9
    print(json.dumps(result))


main()
