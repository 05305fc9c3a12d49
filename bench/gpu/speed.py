"""Whole optimizer steps by turns: ours, PyTorch in its settings, llm.c."""
import json
import os
import pathlib
import queue
import re
import statistics
import subprocess
import sys
import threading
import time

from programs import Failed

HERE = pathlib.Path(__file__).parent
PEERS = ("eager", "compiled", "compiled_cudnn")
AFTER_A_PAUSE = 3  # steps that bring a peer back to its pace


class Peer:
    """A process of peers_gpt2.py. Orders are sent at once; answers are waited for."""

    def __init__(self, setting, shape, batch, data, device, how, log):
        spec = {"setting": setting, "compile": how, "device": device, "batch": batch, "data": str(data)} | shape
        self.log, self.answers = open(log, "w+"), queue.Queue()
        self.process = subprocess.Popen([sys.executable, HERE / "peers_gpt2.py", json.dumps(spec)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))
        self.answers.put(None)

    def send(self, **order):
        try:
            print(json.dumps(order), file=self.process.stdin, flush=True)
        except OSError:
            pass  # read() tells that it ended

    def answer(self, timeout):
        try:
            answer = self.answers.get(timeout=max(timeout, 0.1))
        except queue.Empty as error:
            raise Failed(f"no answer in {timeout:.0f} s") from error
        if answer is None:
            self.log.seek(0)
            raise Failed(f"ended with {self.process.wait()}: {self.log.read()[-1500:]}")
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def ask(self, timeout, **order):
        self.send(**order)
        return self.answer(timeout)

    def end(self):
        self.process.kill()
        self.process.wait()


class PeersOfModel:
    """The peers of one model. Where all of their weights and moments fit the GPU's memory together, they stay through all
    rounds; they prepare in the background, one after another, so that each has the rest of the memory. Where not
    (`alone`), each is there for its own turns only."""

    def __init__(self, settings, shape, batch, data, device, how, work, alone):
        self.make = lambda setting: Peer(setting, shape, batch, data, device, how, pathlib.Path(work) / f"{shape['name']}-{setting}.log")
        self.settings, self.how, self.alone = list(settings), how, alone
        self.peers, self.ready, self.failures = {}, {}, {}
        self.until, self.thread = 0, threading.Thread(target=self.prepare_all, daemon=True)

    def start(self, seconds):
        self.until = time.time() + seconds
        if not self.alone:
            self.peers = {setting: self.make(setting) for setting in self.settings}
            self.thread.start()

    def prepare_all(self):
        for setting in self.settings:
            self.prepare(setting)

    def prepare(self, setting):
        try:
            self.ready[setting] = self.peers[setting].ask(self.until - time.time(), do="prepare")
        except Failed as failure:
            self.drop(setting, failure)

    def wait(self):
        if not self.alone:
            self.thread.join()

    def turn(self, setting, timeout, steps):
        if self.alone and setting not in self.peers:
            self.peers[setting] = self.make(setting)
            self.prepare(setting)
        if setting in self.failures:
            raise Failed(self.failures[setting])
        try:
            return self.peers[setting].ask(timeout, do="run", warmup=AFTER_A_PAUSE, steps=steps)
        except Failed as failure:
            self.drop(setting, failure)
            raise

    def drop(self, setting, failure):
        self.failures[setting] = str(failure)
        self.peers.pop(setting).end()

    def end(self):
        for peer in self.peers.values():
            peer.end()
        self.peers = {}


def llmc_turn(binary, shape, batch, data, work, steps, warmup, timeout):
    """llm.c's train_gpt2cu on the same shard, from random weights."""
    depth = {768: "d12", 1024: "d24", 1280: "d36", 1600: "d48"}.get(shape["width"])
    if depth is None:
        raise Failed(f"it has no model of width {shape['width']}")
    (shard,) = pathlib.Path(data).glob("*_train_000000.bin")
    length = shape["context"]
    command = [binary, "-i", shard, "-j", shard, "-e", depth, "-b", batch, "-t", length, "-d", batch * length, "-x",
               warmup + steps, "-v", 0, "-s", 0, "-h", 0, "-l", 6e-4, "-u", 0, "-c", 0.1, "-n", 0]
    begun = time.time()
    try:
        done = subprocess.run([str(word) for word in command], cwd=work, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"took longer than {timeout:.0f} s") from error
    times = [float(ms) for ms in re.findall(r"step +\d+/\d+ .*?([\d.]+) ms", done.stdout)]
    if done.returncode != 0 or len(times) <= warmup:
        raise Failed(f"ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    return {"ms": times[warmup:], "begun": begun, "ended": time.time(), "batch": batch}


def summary(turns, shape, batch, flops_per_token, ceiling):
    times = sorted(ms for turn in turns for ms in turn["ms"])
    median = statistics.median(times)
    tokens = batch * shape["context"]
    result = {"batch": batch, "median_ms": median, "p10_ms": quantile(times, 0.1), "p90_ms": quantile(times, 0.9),
              "steps": len(times), "rounds": len(turns), "tokens_per_s": tokens / median * 1e3,
              "model_tflop_per_s": tokens * flops_per_token / median / 1e9}
    if ceiling:
        result["mfu"] = result["model_tflop_per_s"] / ceiling
    walls = [turn["wall_ms"] for turn in turns if turn.get("wall_ms")]
    if walls:
        result["wall_ms"] = statistics.median(walls)
    return result


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class SpeedOfModel:
    """Rounds of turns of one model's contestants, their order turned by one every round."""

    def __init__(self, programs, shape, data, device, sampler, options):
        self.programs, self.shape, self.data, self.device, self.sampler = programs, shape, data, device, sampler
        self.options, self.turns, self.failures, self.plans = options, {}, {}, {}

    def compile_ours(self, batch, target, memory):
        """Each variant of ours at the largest batch that fits, from `batch` down by halves."""
        for name in [c for c in self.options.contestants if c.startswith("ours")]:
            residual = "f32" if name == "ours_f32_residual" else "bf16"
            size = batch
            try:
                while True:
                    plan, about = self.programs.compile(self.shape, size, target, "bf16", residual)
                    if memory is None or about["peak_bytes"] < 0.97 * memory - (1 << 30) or size == 1:
                        break
                    size //= 2
                self.plans[name] = (plan, about)
            except Failed as failure:
                self.failures[name] = str(failure)

    def turn(self, name, peers, budget):
        steps, timeout = self.options.steps, min(90.0, budget.left())
        if name in self.plans:
            plan, about = self.plans[name]
            return self.programs.turn(plan, self.data, steps, self.options.warmup, timeout) | {"batch": about["batch"]}
        if name == "llmc":
            return llmc_turn(os.environ["LLMC_BIN"], self.shape, self.options.batch, self.data, self.programs.work, steps,
                             self.options.warmup, timeout)
        return peers.turn(name, timeout, steps)

    def rounds(self, peers, budget, until, report):
        llmc = "LLMC_BIN" in os.environ and "llmc" in self.options.contestants
        names = [*self.plans, *peers.settings] + ["llmc"] * llmc
        count = self.options.rounds
        if peers.alone:  # one contestant after another
            order = [(number, name) for name in names for number in range(count)]
        else:
            order = [(number, names[(place + number) % len(names)]) for number in range(count) for place in range(len(names))]
        for position, (number, name) in enumerate(order):
            if name not in self.failures and budget.left() > 5 and (number == 0 or time.time() < until):
                try:
                    turn = self.turn(name, peers, budget)
                    turn["during"] = self.sampler.during(turn["begun"], turn["ended"])
                    self.turns.setdefault(name, []).append(turn)
                except Failed as failure:
                    self.failures[name] = str(failure)
                report()
            if peers.alone and not any(other == name for _, other in order[position + 1 :]):
                peers.end()

    def result(self, parameters, ceiling, peers):
        shape = self.shape
        flops = 6 * parameters + 6 * shape["layers"] * shape["width"] * shape["context"]
        contestants = {}
        for name, turns in self.turns.items():
            contestants[name] = summary(turns, shape, turns[0]["batch"], flops, ceiling) | {"turns": turns}
            if name in self.plans:
                contestants[name]["plan"] = self.plans[name][1]
            if name in peers.ready:
                contestants[name] |= {"prepare_seconds": peers.ready[name]["seconds"],
                                      "compiled": peers.how if name != "eager" else None}
        return {"shape": shape, "flops_per_token": flops, "contestants": contestants, "failures": self.failures}
