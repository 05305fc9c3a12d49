"""The machine: what nvidia-smi says of it, once and while something runs."""
import datetime
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import threading
import time

FIELDS = {"clocks.sm": "sm_mhz", "clocks.mem": "memory_mhz", "power.draw": "watts", "temperature.gpu": "celsius",
          "memory.used": "used_mib", "clocks_throttle_reasons.active": "throttle_reasons"}
ONCE = ["name", "driver_version", "memory.total", "power.limit", "clocks.max.sm", "clocks.max.mem", "persistence_mode",
        "pci.bus_id"]


def has_gpu():
    return shutil.which("nvidia-smi") is not None and subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0


def describe():
    words = {"cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform(), "glibc": "".join(platform.libc_ver())}
    if not has_gpu():
        return words | {"gpu": None}
    line = output("nvidia-smi", f"--query-gpu={','.join(ONCE)}", "--format=csv,noheader,nounits", "-i", "0")
    words["gpu"] = dict(zip(ONCE, (value.strip() for value in line.split(","))))
    for line in output("nvidia-smi").splitlines():
        if "CUDA Version" in line:
            words["cuda_of_driver"] = line.split("CUDA Version:")[1].split()[0]
    return words


def memory_bytes():
    """Of GPU 0; None without one."""
    if not has_gpu():
        return None
    return int(output("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits", "-i", "0")) << 20


def sm():
    """90 for compute capability 9.0; None without a GPU."""
    if not has_gpu():
        return None
    return int(output("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader", "-i", "0").strip().replace(".", ""))


def cpu_name():
    try:
        names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def output(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def revision(programs):
    """Of the packed programs, else of this tree."""
    packed = pathlib.Path(programs) / "revision"
    if packed.exists():
        return packed.read_text().strip()
    root = pathlib.Path(__file__).resolve().parents[2]
    return output("git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude", "*", "--dirty").strip() or "unknown"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Sampler:
    """Clocks, power and memory five times a second, for as long as the program runs."""

    def __init__(self):
        self.samples, self.process = [], None
        if not has_gpu():
            return
        self.process = subprocess.Popen(
            ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits", "-i", "0", "-lms", "200"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            values = [value.strip() for value in line.split(",")]
            if len(values) == len(FIELDS):
                self.samples.append((time.time(), dict(zip(FIELDS.values(), values))))

    def during(self, begun, ended):
        """Medians between two times, and the most memory; {} where nothing was sampled."""
        inside = [sample for at, sample in list(self.samples) if begun <= at <= ended]
        if not inside:
            return {}
        result = {}
        for name in FIELDS.values():
            if name == "throttle_reasons":
                result[name] = sorted({sample[name] for sample in inside})
                continue
            numbers = [float(sample[name]) for sample in inside if sample[name].replace(".", "", 1).isdigit()]
            if numbers:
                result[name] = max(numbers) if name == "used_mib" else statistics.median(numbers)
        return result

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
