"""Whole optimizer steps of GPT-2 in PyTorch: forward, backward, clipping to norm 1, AdamW (fused).

usage: torch_step.py SETTING PRECISION LAYERS HEADS WIDTH VOCAB BATCH TOKENS STEPS
SETTING is eager or compiled, PRECISION f32 or bf16 (autocast). Prints one JSON list: milliseconds of each step after
three that warm up.
"""
import json
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

WARM_UP = 3


class Block(nn.Module):
    def __init__(self, heads, width):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(attended.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, layers, heads, width, vocab, context):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(heads, width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.norm(x) @ self.tokens.weight.T  # tied
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def main():
    setting, precision = sys.argv[1:3]
    layers, heads, width, vocab, batch, length, steps = map(int, sys.argv[3:])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    torch.manual_seed(1)
    model = GPT2(layers, heads, width, vocab, length)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    run = torch.compile(model) if setting == "compiled" else model
    ids = torch.randint(vocab, (batch, length + 1))
    times = []
    for _ in range(WARM_UP + steps):
        begun = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = run(ids[:, :-1], ids[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append((time.perf_counter() - begun) * 1e3)
    print(json.dumps(times[WARM_UP:]))


main()
