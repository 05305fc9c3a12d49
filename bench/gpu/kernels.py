"""`gptrun profile --json` of a step, kernel by kernel, against the measured ceilings and the gates."""
import json
import re

# (kernels, unit, least share of the copy bandwidth or least TFLOP/s)
GATES = [(r"layer_norm|rms_norm", "copy", 0.85), (r"adamw", "copy", 0.88), (r"cross_entropy", "copy", 0.85),
         (r"attention(?!.*backward)", "tflops", 200), (r"attention.*backward", "tflops", 170)]
# Of a causal [T, T] product a half is done; two such products forward, five backward.
ATTENTION_PRODUCTS = {False: 2, True: 5}


def attention_tflops(row, shape, batch):
    products = ATTENTION_PRODUCTS["backward" in row["name"]]
    flops = row["calls"] * products * batch * shape["context"] ** 2 * shape["width"]
    return flops / row["ms"] / 1e9


def judge(profile, shape, batch, ceilings):
    rows = []
    for kernel in profile["kernels"]:
        row = {key: kernel.get(key) for key in ("name", "dtype", "calls", "ms", "share")}
        row |= {"tflop_per_s": kernel["gflop_per_s"] / 1e3, "gb_per_s": kernel["gb_per_s"],
                "share_of_roofline": kernel.get("share_of_roofline")}
        if "attention" in row["name"]:
            row["tflop_per_s"] = attention_tflops(row, shape, batch)
        if ceilings:
            row["share_of_copy"] = row["gb_per_s"] / ceilings["copy_gb_per_s"]
            row["share_of_gemm"] = row["tflop_per_s"] / ceilings["gemm_tflop_per_s"]
            for pattern, unit, least in GATES:
                if re.search(pattern, row["name"]) and row["ms"] > 0:
                    value = row["share_of_copy"] if unit == "copy" else row["tflop_per_s"]
                    row["gate"] = {"unit": unit, "least": least, "ok": value >= least}
                    break
        rows.append(row)
    return {"rows": rows, "kernels_ms": sum(row["ms"] for row in rows), "wall_ms": profile["ms"],
            "ceilings_of_profile": profile.get("ceilings")}


def profile_step(programs, plan, shape, batch, ceilings, timeout):
    text = programs.run("gptrun", "profile", plan, "--json", "--by-step", timeout=timeout)
    profile = json.loads(text)
    return judge(profile, shape, batch, ceilings) | {"slowest": profile.get("slowest", [])[:20]}
