"""Whole optimizer steps of one GPT-2 shape: ours beside PyTorch eager and compiled and, where LLMC_SRC names its source
tree, llm.c. The contestants take turns; every turn is a process of its own. Writes what bench/compare reads.

usage: bench/peers/run [--layers 12 --heads 12 --width 768 --vocab 50257 --batch 4 --seq 256 --precision f32]
                       [--rounds 3 --steps 3] [--json bench/results/peers.json]
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*words, cwd=None):
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(word) for word in words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def ours(args, work):
    """Our plan, compiled once; a turn is one run of `gptrun profile`, whose walls are those of whole steps."""
    settings = [f"--set={key}={value}" for key, value in
                {"layers": args.layers, "heads": args.heads, "width": args.width, "vocab": args.vocab, "context": args.seq}.items()]
    run(args.bin / "gptc", "model", "gpt2", *settings, "-o", work / "m.graph")
    run(args.bin / "gptc", "compile", work / "m.graph", "-o", work / "m.fb", "--batch", args.batch, "--seq", args.seq, "--precision", args.precision)

    def turn():
        trace = work / "trace.json"
        run(args.bin / "gptrun", "profile", work / "m.fb", "--steps", args.steps, "--trace", trace)
        return [event["dur"] / 1e3 for event in json.loads(trace.read_text())["traceEvents"] if event.get("cat") == "step"]

    return turn


def torch(args, setting):
    script = pathlib.Path(__file__).with_name("torch_step.py")
    shape = (args.layers, args.heads, args.width, args.vocab, args.batch, args.seq, args.steps)
    return lambda: json.loads(run(sys.executable, script, setting, args.precision, *shape))


def llmc(args, work):
    """llm.c's train_gpt2, compiled from LLMC_SRC with its own flags, on random weights and tokens of this shape."""
    source = pathlib.Path(os.environ["LLMC_SRC"])
    text = (source / "train_gpt2.c").read_text()
    text = re.sub(r"int B = 4;", f"int B = {args.batch};", text)
    text = re.sub(r"int T = 64;", f"int T = {args.seq};", text)
    text = re.sub(r"step <= \d+; step\+\+", f"step <= {args.steps}; step++", text)
    text = text.replace("step % 10 == 0", "0").replace("step > 0 && step % 20 == 0", "0")  # no validation, no samples
    (work / "train_gpt2.c").write_text(text)
    run("gcc", "-Ofast", "-march=native", "-fno-finite-math-only", "-fopenmp", "-DOMP", f"-I{source}", work / "train_gpt2.c", "-lm", "-lgomp", "-o", work / "llmc")
    data = work / "dev/data/tinyshakespeare"
    data.mkdir(parents=True)
    padded = -(-args.vocab // 128) * 128
    header = [20240326, 3, args.seq, args.vocab, args.layers, args.heads, args.width, padded]
    count = args.width * (padded + args.seq + 2) + args.layers * args.width * (12 * args.width + 13)
    with open(work / "gpt2_124M.bin", "wb") as file:
        file.write(struct.pack("<256i", *header, *[0] * (256 - len(header))))
        block = struct.pack("<1024f", *[0.001 * (i % 13 - 6) for i in range(1024)])
        for at in range(0, count, 1024):
            file.write(block[: 4 * min(1024, count - at)])
    tokens = args.batch * args.seq * (args.steps + 2) + 1
    for split in ("train", "val"):
        with open(data / f"tiny_shakespeare_{split}.bin", "wb") as file:
            file.write(struct.pack("<256i", 20240520, 1, tokens, *[0] * 253))
            file.write(struct.pack(f"<{tokens}H", *[i * 7919 % args.vocab for i in range(tokens)]))

    def turn():
        times = re.findall(r"took ([\d.]+) ms", run(work / "llmc", cwd=work))
        return [float(time) for time in times][1:]  # the first warms up

    return turn


def environment():
    revision = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--abbrev=40", "--exclude", "*", "--dirty"], capture_output=True, text=True).stdout.strip()
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {"revision": revision or "unknown", "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "machine": f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}", "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"layers": 12, "heads": 12, "width": 768, "vocab": 50257, "batch": 4, "seq": 256, "rounds": 3, "steps": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--only", nargs="+", choices=("ours", "eager", "compiled", "llmc"), help="contestants; default: all that are there")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/bin")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "bench/results/peers.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        wanted = args.only or ["ours", "eager", "compiled"] + ["llmc"] * ("LLMC_SRC" in os.environ and args.precision == "f32")
        makers = {"ours": lambda: ours(args, work), "eager": lambda: torch(args, "eager"), "compiled": lambda: torch(args, "compiled"), "llmc": lambda: llmc(args, work)}
        turns = {name: makers[name]() for name in wanted}
        times = {name: [] for name in wanted}
        for _ in range(args.rounds):
            for name, turn in turns.items():
                times[name] += turn()
    shape = f"{args.layers}x{args.width} B={args.batch} T={args.seq} {args.precision}"
    result = environment() | {"program": "bench/peers", "flags": sys.argv[1:], "rows": [{"name": f"{shape}/{name}", "ms": ms} for name, ms in times.items()]}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    first = statistics.median(times[wanted[0]])
    for name, ms in times.items():
        median = statistics.median(ms)
        print(f"{name:10} {median:10.1f} ms a step, {args.batch * args.seq / median * 1e3:8.0f} tokens/s, {median / first:5.2f}x the time of {wanted[0]}")


main()
