"""Ours: plans by gptc, turns of gptrun train."""
import hashlib
import json
import pathlib
import shutil
import subprocess
import tarfile
import time


class Failed(Exception):
    """A program of ours ended with an error; its last words."""


class Programs:
    def __init__(self, where, work):
        self.work = pathlib.Path(work)
        where = pathlib.Path(where).resolve()
        if where.is_file():  # an archive made by bench/gpu/pack
            with tarfile.open(where) as archive:
                archive.extractall(self.work / "programs", filter="tar")
            (where,) = (self.work / "programs").iterdir()
        self.folder = where / "bin" if (where / "bin").is_dir() else where
        self.top = where

    def has(self, name):
        return (self.folder / name).exists()

    def gpu_test(self):
        for path in (self.folder / "gpu_test", self.folder.parent / "tests" / "gpu_test"):
            if path.exists():
                return path
        return None

    def run(self, name, *words, timeout=120):
        try:
            done = subprocess.run([str(self.folder / name), *map(str, words)], capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{name} {words[0]} took longer than {timeout:.0f} s") from error
        if done.returncode != 0:
            raise Failed(f"{name} {words[0]} ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def compile(self, shape, batch, target, precision="bf16", residual="bf16"):
        """The plan's path and what `gptc inspect --json` says of it."""
        stem = self.work / f"{shape['name']}-{batch}-{precision}-{residual}"
        graph, plan = stem.with_suffix(".graph"), stem.with_suffix(".fb")
        settings = [f"--set={key}={shape[key]}" for key in ("layers", "heads", "width", "vocab", "context")]
        self.run("gptc", "model", "gpt2", *settings, "-o", graph)
        begun = time.time()
        self.run("gptc", "compile", graph, "-o", plan, "--batch", batch, "--target", target, "--precision", precision,
                 "--residual", residual)
        about = json.loads(self.run("gptc", "inspect", plan, "--json"))
        kept = ("parameters", "peak_bytes", "state_bytes", "arena_bytes", "workspace_bytes", "flops_per_step", "target")
        return plan, {key: about.get(key) for key in kept} | {
            "compile_seconds": time.time() - begun, "sha256": hashlib.sha256(plan.read_bytes()).hexdigest(), "batch": batch}

    def turn(self, plan, data, steps, warmup, timeout):
        """Times of steps of one `gptrun train`, which is ended before it would write its checkpoint."""
        run, log = self.work / "turn", self.work / "turn.log"
        shutil.rmtree(run, ignore_errors=True)
        margin = 50  # steps that it never comes to
        command = [self.folder / "gptrun", "train", plan, "--data", data, "-o", run, "--steps", warmup + steps + margin,
                   "--order", "sequential", "--schedule", "constant", "--lr", 6e-4, "--eval-every", 0, "--checkpoint-every", 0]
        started, lines, seen = time.time(), [], []
        with open(log, "w") as errors:
            process = subprocess.Popen([str(word) for word in command], stdout=errors, stderr=errors)
            try:
                while len(lines) < warmup + steps:
                    time.sleep(0.0005)
                    if process.poll() is not None:
                        raise Failed(f"gptrun train ended with {process.returncode}: {log.read_text()[-1500:]}")
                    if time.time() - started > timeout:
                        raise Failed(f"gptrun train made {len(lines)} steps in {timeout:.0f} s: {log.read_text()[-800:]}")
                    arrived = complete_lines(run / "metrics.jsonl")
                    seen += [time.time()] * (len(arrived) - len(lines))
                    lines = arrived
            finally:
                process.kill()
                process.wait()
        lines, seen = [json.loads(line) for line in lines[: warmup + steps]], seen[: warmup + steps]
        wall = (seen[-1] - seen[warmup - 1]) / steps * 1e3 if warmup > 0 else None
        first = seen[0] - started
        return {"ms": [line["ms"] for line in lines[warmup:]], "loss": lines[-1]["loss"], "begun": seen[max(warmup - 1, 0)],
                "ended": seen[-1], "wall_ms": wall, "seconds_to_first_step": first}


def complete_lines(path):
    try:
        text = path.read_text()
    except OSError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()
