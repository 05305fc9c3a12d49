"""The short table at the end, of the results' JSON."""


def text(data):
    parts = data["parts"]
    lines = ["", f"revision {data['revision']}, {data['date']}" + (" (rehearsal on the CPU)" if data["rehearsal"] else "")]
    for name in SECTIONS:
        part = parts.get(name)
        if part is None:
            continue
        if part["status"] != "ran":
            lines.append(f"{name}: {part['status']} {part.get('lacks') or part.get('error', '')[-300:]}")
            continue
        lines += SECTIONS[name](part)
    return "\n".join(lines)


def machine_lines(part):
    gpu = part.get("gpu")
    if gpu is None:
        return [f"machine: {part['cores']} cores of {part['cpu']}, no GPU"]
    return [f"machine: {gpu['name']}, {gpu['memory.total']} MiB, driver {gpu['driver_version']}, CUDA {part.get('cuda_of_driver')}, "
            f"power limit {gpu['power.limit']} W; {part['cores']} cores of {part['cpu']}"]


def unit_lines(part):
    runs = "; ".join(f"{run['passed']} passed, {run['failed']} failed, {run['skipped']} skipped in {run['seconds']:.0f} s" for run in part["runs"])
    return [f"unit: {'ok' if part['ok'] else 'FAILED'}: {runs} {part.get('error', '')}"] + \
           [line for run in part["runs"] for line in run.get("output", "").splitlines()[:12]]


def ceilings_lines(part):
    during = part.get("during", {})
    return [f"ceilings: copy {part['copy_gb_per_s']:.0f} GB/s, bf16 {part['gemm_side']}^3 product {part['gemm_tflop_per_s']:.0f} TFLOP/s"
            + (f" at {during['sm_mhz']:.0f} MHz" if "sm_mhz" in during else "") + f" (torch {part['torch']})"]


def tune_lines(part):
    return [f"tune: {len(part['products'])} products, {part['default_ms']:.2f} ms by default, {part['tuned_ms']:.2f} ms tuned"]


def kernels_lines(part, most=14):
    lines = [f"kernels of one step of {part['model']}: {part['kernels_ms']:.2f} ms together, {part['wall_ms']:.2f} ms from start to end",
             f"  {'kernel':30} {'type':5} {'calls':>5} {'ms':>8} {'TFLOP/s':>8} {'GB/s':>7}  of copy  gate"]
    for row in part["rows"][:most] + [row for row in part["rows"][most:] if "gate" in row]:
        gate = row.get("gate")
        verdict = "" if gate is None else f"{'ok' if gate['ok'] else 'BELOW'} {gate['least']:g}{' TFLOP/s' if gate['unit'] == 'tflops' else ''}"
        share = f"{100 * row['share_of_copy']:6.0f} %" if "share_of_copy" in row else " " * 8
        lines.append(f"  {row['name']:30} {row['dtype'] or '':5} {row['calls']:5d} {row['ms']:8.3f} {row['tflop_per_s']:8.1f} {row['gb_per_s']:7.0f} {share}  {verdict}")
    return lines


def numerics_lines(part):
    lines = [f"numerics: {'ok' if part['ok'] else 'FAILED'} {part.get('error', '')[-300:]}"]
    for case in part["cases"]:
        if "rows" not in case:
            lines.append(f"  {case['case']} {case['ours']}: {case['error'][-300:]}")
            continue
        rows = [row for row in case["rows"] if "error" in row]
        words = ", ".join(f"{row['name']} {row['error']:.1e}/{row['limit']:.1e}{'' if row['ok'] else ' FAILED'}" for row in rows)
        again = next(row["ok"] for row in case["rows"] if row["name"].startswith("same"))
        lines.append(f"  {case['case']} {case['ours']}: {'ok' if case['ok'] else 'FAILED'}; error/limit: {words}{'' if again else '; two runs DIFFER'}")
    return lines


def speed_lines(part):
    lines = []
    for model, result in part["models"].items():
        lines += ["", f"{model}, T={result['shape']['context']}: medians of steps",
                  f"  {'':18} {'B':>3} {'ms':>9} {'p10':>9} {'p90':>9} {'tok/s':>9} {'MFU':>6} {'ours/it':>8} {'MHz':>5} {'W':>4} {'GiB':>5}"]
        ours = result["contestants"].get("ours")
        for name, each in sorted(result["contestants"].items(), key=lambda item: -item[1]["tokens_per_s"]):
            mfu = f"{100 * each['mfu']:5.1f}%" if "mfu" in each else ""
            ratio = f"{ours['tokens_per_s'] / each['tokens_per_s']:7.2f}x" if ours else ""
            during = [turn.get("during", {}) for turn in each["turns"]]
            clock, power = (middle([d[key] for d in during if key in d]) for key in ("sm_mhz", "watts"))
            memory = max([turn.get("memory_bytes", 0) for turn in each["turns"]]) or (each.get("plan") or {}).get("peak_bytes", 0)
            note = "" if each.get("compiled") in (None, "whole") else " (layers compiled)"
            if each.get("wall_ms", 0) > 1.02 * each["median_ms"]:
                note += f" ({each['wall_ms']:.2f} ms by wall clock)"
            lines.append(f"  {name:18} {each['batch']:3d} {each['median_ms']:9.2f} {each['p10_ms']:9.2f} {each['p90_ms']:9.2f} "
                         f"{each['tokens_per_s']:9.0f} {mfu:>6} {ratio:>8} {clock:>5} {power:>4} {memory / 2**30:5.1f}{note}")
        lines += [f"  {name}: {why[-300:]}" for name, why in result["failures"].items()]
    return lines


def middle(values):
    return f"{sorted(values)[len(values) // 2]:.0f}" if values else ""


SECTIONS = {"machine": machine_lines, "ceilings": ceilings_lines, "unit": unit_lines, "numerics": numerics_lines, "tune": tune_lines,
            "kernels": kernels_lines, "speed": speed_lines}
