"""Acceptance of the CUDA backend on one GPU: correctness, ceilings, numerics beside PyTorch, kernels, speed beside others.

Parts, in this order (--parts names some): machine, ceilings, unit, numerics, tune, kernels, speed. Each runs or says what
it lacks. Results are written to -o after every part and turn; a short table comes last. Exit code 0: all that ran passed.

usage: bench/gpu/accept [--bin build-gpu/bin] [--parts machine,speed] [--models 124M,350M] [--minutes 5] [-o FILE]
       bench/gpu/accept --rehearse --bin build/bin      all of it with a tiny model on the CPU
"""
import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import kernels
import machine
import table
from files import write_shard
from programs import Failed, Programs
from speed import PEERS, PeersOfModel, SpeedOfModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).parent
PARTS = ("machine", "ceilings", "unit", "numerics", "tune", "kernels", "speed")
UNTIMED = ("unit", "numerics")  # the peers of the first model are compiled meanwhile
CONTESTANTS = ("ours", "ours_f32_residual", *PEERS, "llmc")
VARIANTS = ({"precision": "f32", "residual": "f32"}, {"precision": "bf16", "residual": "f32"}, {"precision": "bf16", "residual": "bf16"})


def shape(name, layers, heads, width, vocab=50257, context=1024):
    return {"name": name, "layers": layers, "heads": heads, "width": width, "vocab": vocab, "context": context}


SHAPES = {s["name"]: s for s in (shape("124M", 12, 12, 768), shape("350M", 24, 16, 1024), shape("774M", 36, 20, 1280),
                                 shape("1558M", 48, 25, 1600), shape("tiny", 2, 4, 64, 512, 64), shape("small", 3, 4, 128, 700, 128))}
# Sequences of a micro-batch by the GPU's memory: what the peers' activations leave room for.
BATCHES = {"124M": (64, 64), "350M": (32, 64), "774M": (16, 32), "1558M": (8, 16), "tiny": (4, 4), "small": (4, 4)}
LARGE_MEMORY = 100 << 30
WHOLE_COMPILE = ("124M", "tiny", "small")  # of the others torch.compile takes minutes: their layers are compiled once
NUMERICS = [shape("odd", 2, 4, 128, 307, 70) | {"batch": 3}, shape("small", 4, 4, 256, 4096, 256) | {"batch": 8},
            SHAPES["124M"] | {"batch": 4}]
REHEARSED_NUMERICS = [shape("odd", 2, 4, 128, 307, 70) | {"batch": 3}, shape("wide", 1, 2, 128, 256, 32) | {"batch": 2}]


class Lacks(Exception):
    """Why a part cannot run here."""


class Budget:
    def __init__(self, seconds):
        self.until = time.time() + seconds

    def left(self):
        return self.until - time.time()


class Report:
    """The JSON file; whole at any time."""

    def __init__(self, path, head):
        self.path, self.data = path, head | {"parts": {}, "rows": []}
        path.parent.mkdir(parents=True, exist_ok=True)

    def set(self, part, result):
        self.data["parts"][part] = result
        self.save()

    def save(self):
        # In the form that bench/compare reads, too.
        self.data["rows"] = [{"name": f"{model}/{name}", "ms": [ms for turn in each["turns"] for ms in turn["ms"]]}
                             for model, result in self.data["parts"].get("speed", {}).get("models", {}).items()
                             for name, each in result["contestants"].items()]
        part = self.path.with_suffix(".tmp")
        part.write_text(json.dumps(self.data, indent=1) + "\n")
        part.replace(self.path)


def say(text):
    print(f"[{time.time() - START:6.1f} s] {text}", file=sys.stderr, flush=True)


START = time.time()


class Acceptance:
    def __init__(self, args, work):
        self.args, self.work = args, pathlib.Path(work)
        self.programs = Programs(args.bin, work)
        self.gpu = machine.has_gpu()
        self.device = "cpu" if args.rehearse else "cuda"
        self.target = args.target or ("native" if args.rehearse else f"cuda:sm_{machine.sm() or 90}")
        self.budget = Budget(60 * args.minutes)
        self.sampler = machine.Sampler()
        self.ceilings, self.peers, self.plans = None, {}, {}
        head = {"program": "bench/gpu", "flags": sys.argv[1:], "date": machine.now(), "revision": args.revision or machine.revision(self.programs.top),
                "machine": machine.cpu_name(), "threads": os.cpu_count(), "rehearsal": args.rehearse}
        self.report = Report(args.output, head)
        self.memory = machine.memory_bytes()
        large = self.memory is not None and self.memory > LARGE_MEMORY
        self.batches = {name: sizes[large] for name, sizes in BATCHES.items()} | args.batch

    # What several parts need, or why it is not there.
    def need_gpu(self):
        if not self.gpu and not self.args.rehearse:
            raise Lacks("no NVIDIA GPU here (nvidia-smi finds none)")

    def need_programs(self):
        for name in ("gptc", "gptrun"):
            if not self.programs.has(name):
                raise Lacks(f"no {name} in {self.programs.folder}; --bin names the folder of the built programs")

    def need_torch(self):
        if subprocess.run([sys.executable, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)"]).returncode:
            raise Lacks(f"no PyTorch in {sys.executable}; PYTHON names a Python that has it")

    def plan_of_first_model(self):
        self.need_programs()
        model = self.args.models[0]
        if model not in self.plans:
            self.plans[model] = self.programs.compile(SHAPES[model], self.batches[model], self.target)
        return SHAPES[model], *self.plans[model]

    def machine(self):
        return machine.describe() | {"python": sys.version.split()[0]}

    def unit(self):
        self.need_gpu()
        test = self.programs.gpu_test()
        if test is None:
            raise Lacks(f"no gpu_test beside {self.programs.folder}")
        runs = []
        for _ in range(1 if self.args.rehearse else 2):
            begun = time.time()
            try:
                done = subprocess.run([str(test)], capture_output=True, text=True, timeout=min(120, self.budget.left()))
            except subprocess.TimeoutExpired:
                return {"ok": False, "runs": runs, "error": "took longer than 120 s"}
            runs.append(gtest_counts(done.stdout) | {"code": done.returncode, "seconds": time.time() - begun})
            if done.returncode != 0:
                runs[-1]["output"] = failures_of(done.stdout) + done.stderr[-1500:]
        return {"ok": all(run["code"] == 0 and run["passed"] > 0 for run in runs), "runs": runs}

    def measure_ceilings(self):
        self.need_gpu()
        self.need_torch()
        begun = time.time()
        done = subprocess.run([sys.executable, HERE / "ceilings.py", self.device], capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise Failed(done.stderr[-1500:])
        self.ceilings = json.loads(done.stdout)
        return self.ceilings | {"during": self.sampler.during(begun, time.time())}

    def tune(self):
        self.need_gpu()
        if self.args.rehearse:
            raise Lacks("a GPU: tuning is cuBLASLt's")
        _, plan, _ = self.plan_of_first_model()
        os.environ.setdefault("GPTC_TUNING_DIR", str(self.work / "tuning"))
        return self.tune_plan(plan)

    def tune_plan(self, plan):
        timings = json.loads(self.programs.run("gptrun", "tune", plan, "--json", timeout=min(60, self.budget.left())))
        products = [t for t in timings if "product" in t]
        return {"products": products, "ops": [t for t in timings if "ways" in t],
                "default_ms": sum(t["default_us"] for t in products) / 1e3,
                "tuned_ms": sum(t["best_us"] for t in products) / 1e3}

    def profile_kernels(self):
        self.need_gpu()
        model, plan, about = self.plan_of_first_model()
        timeout = min(60, self.budget.left())
        return kernels.profile_step(self.programs, plan, model, about["batch"], self.ceilings, timeout) | {"model": model["name"]}

    def numerics(self):
        self.need_gpu()
        self.need_torch()
        self.need_programs()
        cases = REHEARSED_NUMERICS if self.args.rehearse else NUMERICS
        seconds = 0.6 * self.budget.left() if self.args.rehearse else min(150, self.budget.left())
        spec = {"bin": str(self.programs.folder), "work": str(self.work / "numerics"), "device": self.device, "target": self.target,
                "seconds": seconds, "cases": cases, "variants": VARIANTS}
        process = subprocess.Popen([sys.executable, HERE / "numerics.py", json.dumps(spec)], stdout=subprocess.PIPE,
                                   stderr=open(self.work / "numerics.log", "w"), text=True)
        alarm = threading.Timer(seconds, process.kill)
        alarm.start()
        results = []
        for line in process.stdout:
            results.append(json.loads(line))
            say(f"  numerics {results[-1]['case']}, {results[-1]['ours']}: {'ok' if results[-1]['ok'] else 'FAILED'}")
            self.report.set("numerics", {"status": "ran", "ok": False, "cases": results})
        alarm.cancel()
        answer = {"ok": process.wait() == 0 and all(r["ok"] for r in results), "cases": results}
        if process.returncode != 0:
            answer["error"] = f"ended with {process.returncode}: {(self.work / 'numerics.log').read_text()[-1500:]}"
        return answer

    def start_peers(self, name):
        """The peers' processes of a model; they compile while nothing is timed."""
        if name in self.peers or "speed" not in self.args.parts:
            return
        data = self.work / f"shard-{name}"
        batch = self.batches[name]
        length = SHAPES[name]["context"]
        if not data.exists():
            write_shard(data, "random", SHAPES[name]["vocab"], min(40 * batch * length, 4_000_000) + 1)
        how = self.args.compile if self.args.compile != "auto" else "whole" if name in WHOLE_COMPILE else "blocks"
        settings = [s for s in PEERS if s in self.args.contestants and (self.device == "cuda" or s != "compiled_cudnn")]
        # Weights, gradients and two moments of each, in f32.
        alone = self.args.one_at_a_time or (self.memory or 1e30) * 0.4 < 16 * parameters_of(SHAPES[name]) * len(settings)
        peers = PeersOfModel(settings, SHAPES[name], batch, data, self.device, how, self.work, alone)
        self.peers[name] = peers
        peers.start(self.budget.left() - 20)

    def start_peers_of_first_model(self):
        if self.gpu or self.args.rehearse:
            try:
                self.need_torch()
                self.start_peers(self.args.models[0])
            except Lacks:
                pass  # speed says so

    def speed(self):
        self.need_gpu()
        self.need_torch()
        self.need_programs()
        models = {}
        for number, name in enumerate(self.args.models):
            begun = time.time()
            lost = [model for model, result in models.items() if "ours" in result["failures"]]
            if number > 0 and (self.budget.left() < 40 or lost):
                why = f"left out, as ours failed at {lost[0]}" if lost else "no time was left"
                models[name] = {"shape": SHAPES[name], "contestants": {}, "failures": {"all": why}}
                continue
            self.speed_of(name, number, models)
            say(f"  {name}: {time.time() - begun:.0f} s")
        return {"models": models, "ok": not any("ours" in result["failures"] for result in models.values())}

    def speed_of(self, name, number, models):
        self.start_peers(name)
        peers = self.peers[name]
        options = argparse.Namespace(**vars(self.args))
        options.batch = self.batches[name]
        race = SpeedOfModel(self.programs, SHAPES[name], self.work / f"shard-{name}", self.device, self.sampler, options)
        race.compile_ours(self.batches[name], self.target, self.memory)
        peers.wait()
        ready = ", ".join(f"{setting} in {answer['seconds']:.0f} s" for setting, answer in peers.ready.items())
        say(f"  {name}: peers ready: {ready or ('each when it is its turn' if peers.alone else 'none')}")
        if number > 0 and "tune" in self.args.parts and "ours" in race.plans and self.device == "cuda":
            try:
                tuned = self.tune_plan(race.plans["ours"][0])
                say(f"  {name}: products {tuned['default_ms']:.2f} ms by default, {tuned['tuned_ms']:.2f} ms tuned")
            except (Failed, ValueError, KeyError) as failure:
                say(f"  {name}: not tuned: {failure}")
        share = len(self.args.models) - number
        until = time.time() + max(20, (self.budget.left() - 40 * (share - 1)) * 0.8)
        parameters = parameters_of(SHAPES[name])  # nobody's padding
        ceiling = self.ceilings["gemm_tflop_per_s"] if self.ceilings else None

        def keep():
            models[name] = race.result(parameters, ceiling, peers)
            self.report.set("speed", {"status": "ran", "models": models})

        race.rounds(peers, self.budget, until, keep)
        peers.end()
        keep()

    def run(self):
        methods = {"machine": self.machine, "ceilings": self.measure_ceilings, "unit": self.unit, "numerics": self.numerics,
                   "tune": self.tune, "kernels": self.profile_kernels, "speed": self.speed}
        passed = True
        for part in [p for p in PARTS if p in self.args.parts]:
            begun = time.time()
            if part in UNTIMED:
                self.start_peers_of_first_model()
            elif self.args.models[0] in self.peers:
                self.peers[self.args.models[0]].wait()
            try:
                if self.budget.left() < 10 and part != "machine":
                    raise Lacks(f"time: {self.args.minutes} minutes are over")
                result = {"status": "ran"} | methods[part]()
            except Lacks as lack:
                result = {"status": "lacks", "lacks": str(lack)}
            except (Failed, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as failure:
                result = {"status": "failed", "error": f"{type(failure).__name__}: {failure}"[:3000]}
            failed = result["status"] == "failed" or result.get("ok") is False
            passed = passed and not failed
            self.report.set(part, result | {"seconds": time.time() - begun})
            say(f"{part}: {result.get('lacks') and 'lacks ' + result['lacks'] or ('FAILED ' + result.get('error', '')[-600:] if failed else 'ok')}")
        return passed

    def end(self):
        for peers in self.peers.values():
            peers.end()
        self.sampler.stop()


def gtest_counts(text):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for line in text.splitlines():
        for name, mark in (("passed", "[  PASSED  ]"), ("failed", "[  FAILED  ]"), ("skipped", "[  SKIPPED ]")):
            if line.startswith(mark) and " test" in line and line.rstrip().rstrip(".,:;").endswith(("test", "tests", "below")):
                counts[name] = int(line.split("]")[1].split()[0])
    return counts


def failures_of(text):
    lines = [line for line in text.splitlines() if "FAILED" in line or "Failure" in line or line.startswith(("Expected", "  Actual", "Value of"))]
    return "\n".join(lines)[:6000]


def parameters_of(s):
    width = s["width"]
    return width * (s["vocab"] + s["context"] + 2) + s["layers"] * (12 * width * width + 13 * width)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: [word for word in text.split(",") if word]
    add = parser.add_argument
    add("--bin", type=pathlib.Path, default=ROOT / "build-gpu/bin", help="folder of gptc, gptrun (and gpu_test, here or in ../tests), or an archive by bench/gpu/pack")
    add("--parts", type=listed, default=list(PARTS), help="some of " + ",".join(PARTS))
    add("--models", type=listed, help="some of " + ",".join(SHAPES) + "; the first is profiled and tuned (124M,350M,1558M)")
    add("--contestants", type=listed, default=list(CONTESTANTS), help="some of " + ",".join(CONTESTANTS) + " (llmc where LLMC_BIN names its train_gpt2cu)")
    add("--batch", type=listed, default=[], metavar="124M=32,...", help="sequences of a micro-batch, where the default is not wanted")
    add("--minutes", type=float, default=5, help="for all parts together")
    add("--rounds", type=int, default=3)
    add("--steps", type=int, default=20, help="measured in a turn")
    add("--warmup", type=int, default=5, help="steps before them in a turn of ours")
    add("--compile", choices=("auto", "whole", "blocks"), default="auto", help="what torch.compile is given: the model, or its layers one by one")
    add("--one-at-a-time", action="store_true", help="peers leave the GPU after their turns, as they do where not all fit")
    add("--target", help="of our plans; default: this GPU's")
    add("--revision", help="of the programs; default: the pack's, else git's")
    add("--rehearse", action="store_true", help="a tiny model on the CPU")
    add("-o", "--output", type=pathlib.Path)
    args = parser.parse_args()
    args.models = args.models or (["tiny"] if args.rehearse else ["124M", "350M", "1558M"])
    for flag, given, known in (("--parts", args.parts, PARTS), ("--models", args.models, SHAPES), ("--contestants", args.contestants, CONTESTANTS)):
        for word in given:
            if word not in known:
                parser.error(f"{flag}: {word} is none of {', '.join(known)}")
    args.batch = {name: int(size) for name, size in (word.split("=") for word in args.batch)}
    if args.rehearse:
        args.rounds, args.steps, args.warmup = 2, 5, 2
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # several programs at once on a machine that may have two cores
    if args.output is None:
        kind = "gpu-rehearsal" if args.rehearse else "gpu-accept"
        args.output = ROOT / "bench/results" / f"{datetime.date.today()}-{kind}.json"
    return args


def main():
    args = parse()
    with tempfile.TemporaryDirectory(prefix="gpu-accept-") as work:
        acceptance = Acceptance(args, work)
        try:
            passed = acceptance.run()
        finally:
            acceptance.end()
        print(table.text(acceptance.report.data))
        print(f"full results: {args.output}")
    sys.exit(0 if passed else 1)


main()
