"""Sample the processor, memory, load and network of the machine.

Trigger: `every:<duration>` or `cron:<expression>`.
Arguments: `host`, the value of the tag (default: the machine's name).
Writes: at the time of the call, with the tag `host`, the tables `system_cpu` (`usage_percent`,
from the second call on), `system_memory` (`total_bytes`, `available_bytes`, `used_percent`),
`system_load` (`load1`, `load5`, `load15`) and `system_network` (`received_bytes`, `sent_bytes`
since the machine started).

With `psutil` in the plugin's environment that is asked; without it Linux's /proc is read, so the
plugin needs no package.
"""

import os
import socket
from datetime import timezone
from pathlib import Path

try:
    import psutil
except ImportError:
    psutil = None

NS_PER_S = 1_000_000_000


def process_scheduled_call(influxdb3_local, call_time, args=None):
    """Write one sample."""
    host = (args or {}).get("host") or socket.gethostname()
    # The call time comes without a zone and is UTC.
    time_ns = int(call_time.replace(tzinfo=timezone.utc).timestamp()) * NS_PER_S  # noqa: UP017 - Core may run an older Python
    sample = read_psutil() if psutil else read_proc()

    def write(table, **fields):
        line = LineBuilder(table).tag("host", host).time_ns(time_ns)
        for name, value in fields.items():
            line.float64_field(name, value)
        influxdb3_local.write(line)

    usage = usage_percent(influxdb3_local.cache.get("cpu_seconds"), sample["cpu_seconds"])
    if usage is not None:
        write("system_cpu", usage_percent=usage)
    total, available = sample["memory_bytes"]
    used_percent = 100 * (total - available) / total
    write("system_memory", total_bytes=total, available_bytes=available, used_percent=used_percent)
    load1, load5, load15 = os.getloadavg()
    write("system_load", load1=load1, load5=load5, load15=load15)
    received, sent = sample["network_bytes"]
    write("system_network", received_bytes=received, sent_bytes=sent)
    influxdb3_local.cache.put("cpu_seconds", sample["cpu_seconds"])


def usage_percent(before, now):
    """Return how busy the processors were between two readings of (busy, total) seconds."""
    if before is None or now[1] <= before[1]:
        return None
    return 100 * (now[0] - before[0]) / (now[1] - before[1])


def read_psutil():
    """Ask psutil."""
    times = psutil.cpu_times()
    # Linux counts the time of guests within `user` and `nice` already.
    total = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)
    memory = psutil.virtual_memory()
    network = psutil.net_io_counters()
    return {
        "cpu_seconds": (total - times.idle - getattr(times, "iowait", 0), total),
        "memory_bytes": (memory.total, memory.available),
        "network_bytes": (network.bytes_recv, network.bytes_sent) if network else (0, 0),
    }


def read_proc(proc="/proc"):
    """Read what Linux shows of itself."""
    return {
        "cpu_seconds": cpu_of(Path(proc, "stat").read_text()),
        "memory_bytes": memory_of(Path(proc, "meminfo").read_text()),
        "network_bytes": network_of(Path(proc, "net/dev").read_text()),
    }


def cpu_of(stat):
    """Return (busy, total) seconds of all processors: user nice system idle iowait irq ..."""
    ticks = [int(word) for word in stat.splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    per_second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - idle) / per_second, sum(ticks) / per_second


def memory_of(meminfo):
    """Return (total, available) bytes."""
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in meminfo.splitlines() if line}
    return kibibytes["MemTotal"] * 1024, kibibytes["MemAvailable"] * 1024


def network_of(devices):
    """Return (received, sent) bytes of all devices: two lines of titles, then one per device."""
    numbers = [line.split(":")[1].split() for line in devices.splitlines()[2:]]
    return sum(int(words[0]) for words in numbers), sum(int(words[8]) for words in numbers)
