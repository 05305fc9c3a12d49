"""Files that both sides read: safetensors, config.json and token shards, by the standard library and torch's memory."""
import array
import ctypes
import json
import pathlib
import random
import struct

SHARD_MAGIC, SHARD_VERSION = 20240520, 1


def write_shard(folder, name, vocab, count, seed=1):
    """One training shard of `count` random tokens, a few of them frequent and most of them rare, as in text."""
    draw = random.Random(seed).random
    tokens = array.array("H", [int(vocab * draw() ** 3) for _ in range(count)])
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}_train_000000.bin", "wb") as file:
        file.write(struct.pack("<256i", SHARD_MAGIC, SHARD_VERSION, count, *[0] * 253))
        tokens.tofile(file)


def read_shard(folder):
    import torch

    (path,) = pathlib.Path(folder).glob("*_train_000000.bin")
    return torch.frombuffer(bytearray(path.read_bytes()[1024:]), dtype=torch.uint16).to(torch.int64)


def write_safetensors(path, tensors):
    """f32 tensors on the CPU, by name."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors.items():
        size = 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            kept = tensor.contiguous()
            file.write((ctypes.c_char * (4 * kept.numel())).from_address(kept.data_ptr()))


def read_safetensors(path):
    import torch

    data = bytearray(pathlib.Path(path).read_bytes())
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: {name} is {entry['dtype']}, F32 was expected")
        flat = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=8 + length + begin)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def write_model(folder, state, shape):
    """A Hugging Face folder of GPT-2 with the weights of peers_gpt2.GPT2 (`state`: its state_dict)."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"transformer.{name}": transposed(name, tensor.detach().float().cpu()) for name, tensor in state.items()}
    write_safetensors(folder / "model.safetensors", tensors)
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": shape["vocab"],
              "n_positions": shape["context"], "n_ctx": shape["context"], "n_embd": shape["width"],
              "n_layer": shape["layers"], "n_head": shape["heads"], "activation_function": "gelu_new",
              "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config, indent=1))


def transposed(name, tensor):
    """Between a Linear's [out, in] and the [in, out] of the file and of our optimizer's state."""
    return tensor.T if tensor.dim() == 2 and ".c_" in name else tensor


def optimizer_name(name):
    """What our checkpoints call a weight of peers_gpt2.GPT2, behind `m.` or `v.`."""
    if name.startswith(("wte", "wpe")):
        return name.removesuffix(".weight")
    if name.startswith("ln_f"):
        return name.replace("ln_f", "norm")
    _, layer, *rest = name.split(".")
    part = ".".join(rest)
    for theirs, ours in {"attn.c_attn": "qkv", "attn.c_proj": "projection", "mlp.c_fc": "up", "mlp.c_proj": "down",
                         "ln_1": "norm1", "ln_2": "norm2"}.items():
        part = part.replace(theirs, ours)
    return f"h{layer}.{part}"
