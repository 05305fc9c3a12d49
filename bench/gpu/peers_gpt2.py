"""GPT-2 in PyTorch as people train it: bf16 autocast, scaled_dot_product_attention, fused AdamW, clipping to norm 1.

As a program it is one contestant that keeps its compiled model between turns: it reads one JSON object a line from
standard input and answers each with one line on standard output.

usage: peers_gpt2.py '{"setting": "eager|compiled|compiled_cudnn", "compile": "whole|blocks", "device": "cuda",
                       "layers":, "heads":, "width":, "vocab":, "context":, "batch":, "data": FOLDER}'
  {"do": "prepare"}                     builds, compiles, warms up
  {"do": "run", "warmup": 2, "steps": 20}   milliseconds of each step; gives cached memory back afterwards
  {"do": "quit"}
"""
import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

import files

WARM_UP = 5
SETTINGS = {"lr": 6e-4, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0}


class Attention(nn.Module):
    def __init__(self, heads, width):
        super().__init__()
        self.heads = heads
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.c_attn(x).split(width, dim=2)
        q, k, v = (part.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2) for part in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, tokens, width))


class Feedforward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, heads, width):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = Attention(heads, width), Feedforward(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """Parameters are named as in Hugging Face's files, without `transformer.`."""

    def __init__(self, layers, heads, width, vocab, context):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.h = nn.ModuleList(Block(heads, width) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith("c_proj.weight")
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if deep else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def embed(self, ids):
        return self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))

    def head(self, x, targets):
        logits = F.linear(self.ln_f(x), self.wte.weight)  # tied
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))

    def forward(self, ids, targets):
        x = self.embed(ids)
        for block in self.h:
            x = block(x)
        return self.head(x, targets)


def make_optimizer(model, device):
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": SETTINGS["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=SETTINGS["lr"], betas=SETTINGS["betas"], eps=SETTINGS["eps"], fused=device == "cuda")


def optimizer_step(forward, model, optimizer, ids, targets, device, autocast):
    """One step; returns loss and norm without waiting for them."""
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
        loss = forward(ids, targets)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["clip"])
    optimizer.step()
    return loss.detach(), norm.detach()


class Batches:
    """Micro-batches of a shard in order, as `gptrun train --order sequential` reads them."""

    def __init__(self, tokens, batch, length, device):
        self.tokens, self.batch, self.length, self.device, self.at = tokens, batch, length, device, 0

    def __call__(self):
        count = self.batch * self.length
        if self.at + count + 1 > self.tokens.numel():
            self.at = 0
        part = self.tokens[self.at : self.at + count + 1]
        self.at += count
        if self.device == "cuda":
            part = part.pin_memory().to("cuda", non_blocking=True)
        return part[:-1].view(self.batch, self.length), part[1:].view(self.batch, self.length)


class Contestant:
    def __init__(self, spec):
        self.spec, self.device, self.model = spec, spec["device"], None
        self.batch = spec["batch"]
        torch.manual_seed(1)
        torch.set_float32_matmul_precision("high")
        if self.device == "cuda":  # which attention is meant must not depend on PyTorch's version
            cudnn = spec["setting"] == "compiled_cudnn"
            torch.backends.cuda.enable_cudnn_sdp(cudnn)
            torch.backends.cuda.enable_flash_sdp(not cudnn)
            torch.backends.cuda.enable_mem_efficient_sdp(False)
            torch.backends.cuda.enable_math_sdp(False)

    def prepare(self):
        """Halves the batch until a step fits; the answer says with which it ended."""
        begun = time.perf_counter()
        while True:
            try:
                self.build()
                self.run_steps(WARM_UP)
                break
            except torch.cuda.OutOfMemoryError:
                if self.batch == 1:
                    raise
            self.model = self.optimizer = self.forward = None
            torch.compiler.reset()
            torch.cuda.empty_cache()
            self.batch //= 2
        if self.device == "cuda":
            torch.cuda.empty_cache()
        return {"seconds": time.perf_counter() - begun, "batch": self.batch}

    def build(self):
        spec = self.spec
        padded = -(-spec["vocab"] // 128) * 128  # 50304, as everybody pads
        with torch.device(self.device):
            self.model = GPT2(spec["layers"], spec["heads"], spec["width"], padded, spec["context"])
        self.optimizer = make_optimizer(self.model, self.device)
        self.batches = Batches(files.read_shard(spec["data"]), self.batch, spec["context"], self.device)
        self.forward = self.model
        if spec["setting"] == "eager":
            return
        if spec["compile"] == "whole":
            self.forward = torch.compile(self.model)
        else:  # one layer's code for all layers: a tenth of the time to compile
            for block in self.model.h:
                block.compile()
            self.model.embed, self.model.head = torch.compile(self.model.embed), torch.compile(self.model.head)

    def run_steps(self, count):
        marks, last = [self.mark()], None
        for _ in range(count):
            last = optimizer_step(self.forward, self.model, self.optimizer, *self.batches(), self.device, True)
            marks.append(self.mark())
        if self.device == "cuda":
            torch.cuda.synchronize()
            times = [begin.elapsed_time(end) for begin, end in zip(marks, marks[1:])]
        else:
            times = [(end - begin) * 1e3 for begin, end in zip(marks, marks[1:])]
        return times, float(last[0])

    def mark(self):
        if self.device != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def run(self, warmup, steps):
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        if warmup > 0:
            self.run_steps(warmup)
        begun = time.time()
        times, loss = self.run_steps(steps)
        answer = {"ms": times, "loss": loss, "batch": self.batch, "begun": begun, "ended": time.time()}
        if self.device == "cuda":
            answer["memory_bytes"] = torch.cuda.max_memory_reserved()
            torch.cuda.empty_cache()
        return answer


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    contestant = Contestant(json.loads(sys.argv[1]))
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "quit":
            break
        try:
            answer = contestant.prepare() if order["do"] == "prepare" else contestant.run(order["warmup"], order["steps"])
        except Exception as error:  # the other contestants go on
            answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
