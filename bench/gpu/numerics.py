"""Ours beside PyTorch on the same weights and tokens: ten optimizer steps against PyTorch in f32.

The yardstick is what PyTorch's own bf16 autocast is off by: ours may be off by GATES times as much. Compared are the
losses and gradient norms of all steps, every gradient of the first step (the optimizer's first moment after it, which is
a tenth of the clipped gradient) and the parameters after the last one. Prints one JSON object a model as it goes.

usage: numerics.py '{"bin": DIR, "work": DIR, "device": "cuda", "target": "cuda:sm_90", "seconds": 120,
                     "cases": [{"name", "layers", "heads", "width", "vocab", "context", "batch"}],
                     "variants": [{"precision": "bf16", "residual": "bf16"}]}'
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import torch

import files
from peers_gpt2 import GPT2, SETTINGS, Batches, make_optimizer, optimizer_step

STEPS = 10
GATES = {("bf16", "bf16"): 2.5, ("bf16", "f32"): 1.25}  # times autocast's error, by precision and residual stream
F32_LIMIT = 1e-4  # relative: two orders of summation, nothing else
# Below these a bf16 error is no longer a matter of the implementation: scalars hit 0 by chance, small tensors too.
FLOORS = {"loss": 1e-4, "norm": 1e-3, "gradient": 2e-3, "worst gradient": 4e-3, "parameters": 2e-2}
WORST_MARGIN = 2  # the worst of all tensors may lie this much further out than all together


def seeded_model(case):
    """A GPT-2 whose biases and norms are not those of the start, so that an error in them shows."""
    torch.manual_seed(7)
    model = GPT2(case["layers"], case["heads"], case["width"], case["vocab"], case["context"])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def reference(case, folder, device, autocast, start):
    """Ten steps in PyTorch."""
    model = GPT2(case["layers"], case["heads"], case["width"], case["vocab"], case["context"])
    model.load_state_dict(start)
    model.to(device)
    optimizer = make_optimizer(model, device)
    batches = Batches(files.read_shard(folder), case["batch"], case["context"], device)
    losses, norms, moments = [], [], {}
    for step in range(STEPS):
        loss, norm = optimizer_step(model, model, optimizer, *batches(), device, autocast)
        losses.append(float(loss))
        norms.append(float(norm))
        if step == 0:
            moments = {name: optimizer.state[p]["exp_avg"].to("cpu", copy=True) for name, p in model.named_parameters()}
    return {"losses": losses, "norms": norms, "moments": moments,
            "parameters": {name: p.detach().cpu() for name, p in model.named_parameters()}}


def gptrun_train(spec, plan, case, steps):
    """Lines of metrics.jsonl and the folder of the last checkpoint."""
    run = pathlib.Path(spec["work"]) / "run"
    shutil.rmtree(run, ignore_errors=True)
    command = [f"{spec['bin']}/gptrun", "train", plan, "--data", case["data"], "-o", run, "--init-from", case["weights"],
               "--steps", steps, "--order", "sequential", "--schedule", "constant", "--lr", SETTINGS["lr"], "--beta1",
               SETTINGS["betas"][0], "--beta2", SETTINGS["betas"][1], "--eps", SETTINGS["eps"], "--weight-decay",
               SETTINGS["weight_decay"], "--clip", SETTINGS["clip"], "--eval-every", 0, "--checkpoint-every", 0]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=spec["seconds"])
    if done.returncode != 0:
        raise RuntimeError(f"gptrun train ended with {done.returncode}: {done.stderr[-1500:]}")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return lines, run / "checkpoints" / "latest"


def ours(spec, case, variant):
    work = pathlib.Path(spec["work"])
    graph, plan = work / "model.graph", work / "model.fb"
    settings = [f"--set={key}={case[key]}" for key in ("layers", "heads", "width", "vocab", "context")]
    commands = [["gptc", "model", "gpt2", *settings, "-o", graph],
                ["gptc", "compile", graph, "-o", plan, "--batch", case["batch"], "--target", spec["target"],
                 "--precision", variant["precision"], "--residual", variant["residual"]]]
    for program, *words in commands:
        done = subprocess.run([f"{spec['bin']}/{program}", *map(str, words)], capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"{program} {words[0]} ended with {done.returncode}: {done.stderr[-1500:]}")
    first, checkpoint = gptrun_train(spec, plan, case, 1)
    stored = files.read_safetensors(checkpoint / "optimizer-r0.safetensors")
    lines, checkpoint = gptrun_train(spec, plan, case, STEPS)
    weights = files.read_safetensors(checkpoint / "model.safetensors")
    moments, parameters = {}, {}
    for name in case["names"]:
        moments[name] = files.transposed(name, stored[f"m.{files.optimizer_name(name)}"])
        parameters[name] = files.transposed(name, weights[f"transformer.{name}"])
    vocab = case["vocab"]  # rows of padding are left out
    moments["wte.weight"], parameters["wte.weight"] = moments["wte.weight"][:vocab], parameters["wte.weight"][:vocab]
    same = all(first[0][key] == lines[0][key] for key in ("loss", "grad_norm"))
    return {"losses": [line["loss"] for line in lines], "norms": [line["grad_norm"] for line in lines],
            "moments": moments, "parameters": parameters, "same_first_step": same}


def relative(values, wanted):
    """Root of the mean square of the relative errors."""
    return (sum(((a - b) / b) ** 2 for a, b in zip(values, wanted)) / len(wanted)) ** 0.5


def distances(got, wanted):
    """‖got - wanted‖ / ‖wanted‖ of each tensor and of all together."""
    squares = {name: (float((got[name].double() - w.double()).square().sum()), float(w.double().square().sum()))
               for name, w in wanted.items()}
    error, size = (sum(column) for column in zip(*squares.values()))
    each = {name: (e / max(s, 1e-30)) ** 0.5 for name, (e, s) in squares.items()}
    return (error / size) ** 0.5, each


def errors(result, exact, start):
    gradient, each = distances(result["moments"], exact["moments"])
    change = {name: exact["parameters"][name] - start[name] for name in start}
    moved = {name: result["parameters"][name] - start[name] for name in start}
    return {"loss": relative(result["losses"], exact["losses"]), "norm": relative(result["norms"], exact["norms"]),
            "gradient": gradient, "parameters": distances(moved, change)[0]}, each


def compare(result, autocast, exact, start, variant):
    """One row a quantity: our error, autocast's, the largest that is allowed."""
    mine, my_tensors = errors(result, exact, start)
    yardstick, their_tensors = errors(autocast, exact, start)
    rows = []

    def row(name, error, theirs, limit, **more):
        rows.append({"name": name, "error": error, "autocast": theirs, "limit": limit, "ok": error <= limit} | more)

    exactly = variant["precision"] == "f32"
    gate = GATES.get((variant["precision"], variant["residual"]))
    for name, error in mine.items():
        limit = F32_LIMIT * (10 if name == "parameters" else 1) if exactly else gate * max(yardstick[name], FLOORS[name])
        row(name, error, yardstick[name], limit)
    limits = {name: 10 * F32_LIMIT if exactly else WORST_MARGIN * gate * max(theirs, FLOORS["worst gradient"])
              for name, theirs in their_tensors.items()}
    worst = max(limits, key=lambda name: my_tensors[name] / limits[name])
    row("worst gradient", my_tensors[worst], their_tensors[worst], limits[worst], tensor=worst)
    rows.append({"name": "same first step in two runs", "ok": result["same_first_step"]})
    return rows


def run_case(spec, case):
    work = pathlib.Path(spec["work"])
    case["data"], case["weights"] = str(work / f"tokens-{case['name']}"), str(work / f"weights-{case['name']}")
    files.write_shard(case["data"], "random", case["vocab"], case["batch"] * case["context"] * STEPS + 1)
    model = seeded_model(case)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    case["names"] = list(start)
    files.write_model(case["weights"], start, case)
    exact = reference(case, case["data"], spec["device"], False, start)
    autocast = reference(case, case["data"], spec["device"], True, start)
    if spec["device"] == "cuda":
        torch.cuda.empty_cache()
    for variant in spec["variants"]:
        label = f"{variant['precision']} with {variant['residual']} residual"
        answer = {"case": case["name"], "ours": label, "losses_f32": exact["losses"], "losses_autocast": autocast["losses"],
                  "norms_f32": exact["norms"], "norms_autocast": autocast["norms"]}
        begun = time.time()
        try:
            result = ours(spec, case, variant)
            rows = compare(result, autocast, exact, start, variant)
            answer |= {"losses": result["losses"], "norms": result["norms"], "rows": rows, "ok": all(r["ok"] for r in rows)}
        except (RuntimeError, OSError, KeyError, ValueError, subprocess.TimeoutExpired) as error:
            answer |= {"ok": False, "error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(answer | {"seconds": time.time() - begun}), flush=True)
    shutil.rmtree(case["weights"])
    shutil.rmtree(work / "run", ignore_errors=True)


def main():
    spec = json.loads(sys.argv[1])
    os.makedirs(spec["work"], exist_ok=True)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.enable_mem_efficient_sdp(False)  # attention in f32 is plain products, in bf16 FlashAttention
    torch.backends.cuda.enable_cudnn_sdp(False)
    for case in spec["cases"]:
        run_case(spec, case)


main()
