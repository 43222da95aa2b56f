"""report - tables, plots, raw data and gates from what bench.py measured."""
import json
import shutil
import statistics
import subprocess

COLUMNS = [
    ("tcp_gbit", "TCP 1 stream, Gbit/s", 2),
    ("tcp4_gbit", "TCP 4 streams, Gbit/s", 2),
    ("cpu_s_per_gb", "CPU s/GB, both ends", 2),
    ("udp64_kpps", "64 B UDP, < 1 % loss, kpps", 0),
    ("udp64_cpu_us", "CPU us per small packet", 1),
    ("ping_us", "idle ping, us", 0),
    ("ping_p99_us", "p99, us", 0),
    ("loaded_ping_ms", "ping under load, ms", 2),
    ("loaded_ping_p99_ms", "p99, ms", 1),
    ("rss_idle_mb", "RSS idle, MB", 1),
    ("rss_load_mb", "RSS load, MB", 1),
]
VETH = {"whole": "veth passes GSO packets whole",
    "cut": "veth without UDP segmentation offload (as a card without USO)"}


def values(data, system, veth, figure):
    return [r["figures"][figure] for r in data["rows"] if r["system"] == system and
        r["veth"] == veth and figure in r["figures"]]


def median(data, system, veth, figure):
    found = values(data, system, veth, figure)
    return statistics.median(found) if found else None


def order(data):
    return list(dict.fromkeys(r["system"] for r in data["rows"]))


def cell(found, digits):
    if not found:
        return "-"
    middle = f"{statistics.median(found):.{digits}f}"
    return middle if len(found) == 1 else f"{middle} ({min(found):.{digits}f}-{max(found):.{digits}f})"


def system_table(data, veth):
    columns = [c for c in COLUMNS if any(values(data, s, veth, c[0]) for s in order(data))]
    lines = [f"### {VETH[veth]}", "", "| system | " + " | ".join(c[1] for c in columns) + " |",
        "|---" * (len(columns) + 1) + "|"]
    for system in order(data):
        name = next(r["name"] for r in data["rows"] if r["system"] == system)
        cells = [cell(values(data, system, veth, c[0]), c[2]) for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines + [""]


def versions_table(data):
    lines = ["| system | version | cipher |", "|---|---|---|"]
    for system in order(data):
        row = next((r for r in data["rows"] if r["system"] == system and r["version"]), None)
        if row:
            lines.append(f"| {row['name']} | {row['version']} | {row['cipher']} |")
    return lines + [""]


def moves_table(part, rows):
    lines = [f"### {part}", "", "| case | runs | figure | median | worst | failed |", "|---|---|---|---|---|---|"]
    for case in dict.fromkeys(r["case"] for r in rows):
        mine = [r for r in rows if r["case"] == case]
        failed = sum(1 for r in mine if "error" in r)
        figures = dict.fromkeys(k for r in mine for k in r["figures"])
        for figure in figures or ["-"]:
            found = [r["figures"][figure] for r in mine if figure in r["figures"]]
            middle = f"{statistics.median(found):.1f}" if found else "-"
            worst = f"{max(found):.1f}" if found else "-"
            lines.append(f"| {case} | {len(mine)} | {figure} | {middle} | {worst} | {failed} |")
    return lines + [""]


def markdown(data):
    env = data["environment"]
    lines = ["# Bench: foundation", "",
        f"{env['at']}, {env['cores']} cores {env['cpu']}, kernel {env['kernel']}, {env['iperf3']}; "
        f"{data['rounds']} interleaved rounds of {data['seconds']} s per figure, medians (least-greatest); "
        "both ends and the load on this one machine. Made by `make bench`.", ""]
    if data["rows"]:
        for veth in dict.fromkeys(r["veth"] for r in data["rows"]):
            lines += system_table(data, veth)
        lines += versions_table(data)
    for part, rows in data["moves"].items():
        lines += moves_table(part, rows)
    errors = [f"- {r['name']} ({r['veth']}, round {r['round'] + 1}): {r['error']}"
        for r in data["rows"] if r.get("error")]
    if errors:
        lines += ["Trials without a figure:", "", *errors, ""]
    return "\n".join(lines)


# --- plots -------------------------------------------------------------------------------------

PLOTS = [("tcp_gbit", "TCP one stream, Gbit/s"), ("udp64_kpps", "64 B UDP with < 1 % loss, kpps"),
    ("cpu_s_per_gb", "CPU seconds per GB (less is better)"), ("ping_us", "idle ping, us (less is better)")]


def plot(data, directory):
    """One SVG with a bar chart per figure, by gnuplot."""
    veths = list(dict.fromkeys(r["veth"] for r in data["rows"]))
    charts = [p for p in PLOTS if any(values(data, s, v, p[0]) for s in order(data) for v in veths)]
    if not charts or not shutil.which("gnuplot"):
        return
    script = [f'set terminal svg size 900,{300 * len(charts)} font "sans,12" background "white"',
        f'set output "{directory / "foundation.svg"}"',
        f"set multiplot layout {len(charts)},1", "set style data histograms",
        "set style histogram clustered gap 1", "set style fill solid 0.8", "set yrange [0:*]",
        "set grid ytics", "set key top right", "set xtics rotate by -20"]
    for figure, title in charts:
        block = [f'"{s}" ' + " ".join(str(median(data, s, v, figure) or 0) for v in veths)
            for s in order(data)]
        name = f"$data_{figure}"
        script += [f"{name} << EOD", *block, "EOD", f'set title "{title}"']
        script.append("plot " + ", ".join(
            f'{name} using {i + 2}:xtic(1) title "veth {v}"' for i, v in enumerate(veths)))
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)


def write(data, text, directory):
    directory.mkdir(parents=True, exist_ok=True)
    plot(data, directory)
    picture = "![bars](foundation.svg)\n" if (directory / "foundation.svg").exists() else ""
    (directory / "foundation.md").write_text(text + "\n" + picture)
    (directory / "foundation.json").write_text(json.dumps(data, indent=1) + "\n")


# --- gates -------------------------------------------------------------------------------------

class Gates:
    """Lines of the form: gate=NAME figure=1.23 unit=x bound=>=2 goal=... pass|miss"""

    def __init__(self):
        self.missed = False

    def line(self, name, figure, unit, bound, most=False, goal=None):
        if figure is None:
            state = "miss"
            shown = "none"
        else:
            state = "pass" if (figure <= bound if most else figure >= bound) else "miss"
            shown = f"{figure:.3g}" if figure < 100 else f"{figure:.0f}"
        self.missed = self.missed or state == "miss"
        sign = "<=" if most else ">="
        extra = f" goal={sign}{goal:g}" if goal is not None else ""
        print(f"gate={name} figure={shown} unit={unit} bound={sign}{bound:g}{extra} {state}")


def ratio(a, b):
    return a / b if a is not None and b else None


def wireguard(data, veth, figure):
    """The newest wireguard-go; a run without it falls back to the system's own, which its row says."""
    newest = median(data, "wireguard", veth, figure)
    return newest if newest is not None else median(data, "wireguard-own", veth, figure)


def tcp_gates(g, data, veth):
    def of(system, figure="tcp_gbit"):
        return median(data, system, veth, figure)
    aes = of("overlay-aes")
    wg = wireguard(data, veth, "tcp_gbit")
    g.line(f"tcp_aes_{veth}", ratio(aes, wg), "x_wireguard-go", 2)
    g.line(f"tcp_chacha_{veth}", ratio(of("overlay-chacha"), wg), "x_wireguard-go", 1, goal=1.2)
    cpu = of("overlay-aes", "cpu_s_per_gb")
    g.line(f"cpu_per_gb_{veth}", ratio(cpu, wireguard(data, veth, "cpu_s_per_gb")), "x_wireguard-go",
        0.5, most=True)
    print(f"goal=tcp_aes_{veth} figure={ratio(aes, of('tunfwd-aes')) or 0:.3g} unit=x_tunfwd bound=>=1")
    print(f"goal=cpu_per_gb_{veth} figure={cpu or 0:.3g} unit=s bound=<=1")


def udp_gates(g, data, veth):
    peers = [p for p in ("wireguard", "wireguard-own", "nebula", "fastd", "tinc")
        if median(data, p, veth, "udp64_kpps") is not None]
    best = max(peers, key=lambda p: median(data, p, veth, "udp64_kpps"), default=None)

    def against(figure):
        return ratio(median(data, "overlay-aes", veth, figure),
            median(data, best, veth, figure)) if best else None
    g.line(f"udp64_{veth}", against("udp64_kpps"), f"x_{best}", 1.3, goal=3)
    g.line(f"udp64_cpu_{veth}", against("udp64_cpu_us"), f"x_{best}", 0.6, most=True)


def system_gates(g, data, parts, veth):
    def of(figure, system="overlay-aes"):
        return median(data, system, veth, figure)
    if "tcp" in parts:
        tcp_gates(g, data, veth)
    if "tcp4" in parts:
        g.line(f"tcp4_{veth}", ratio(of("tcp4_gbit"), of("tcp_gbit")), "x_one_stream", 0.85, goal=1)
    if "udp" in parts:
        udp_gates(g, data, veth)
    if "ping" in parts:
        raw, fastd = of("ping_us", "raw"), of("ping_us", "fastd")
        g.line(f"ping_{veth}", of("ping_us"), "us", fastd or 0, most=True,
            goal=raw + 25 if raw else None)
    if "loaded" in parts:
        g.line(f"loaded_ping_{veth}", of("loaded_ping_ms"), "ms", 0.8, most=True, goal=0.3)
        g.line(f"loaded_ping_p99_{veth}", of("loaded_ping_p99_ms"), "ms", 6, most=True, goal=2)
    if "memory" in parts and "tcp" in parts:
        g.line(f"rss_load_{veth}", of("rss_load_mb"), "MB", 16, most=True, goal=8)


def move_gates(g, moves):
    def worst(rows, figure):
        if not rows or any("error" in r for r in rows):
            return None
        found = [r["figures"][figure] for r in rows if figure in r["figures"]]
        return max(found) if found else None
    if "roam" in moves:
        g.line("roam_worst", worst(moves["roam"], "gap_ms"), "ms", 300, most=True, goal=150)
    if "nat" in moves:
        g.line("nat_forgets_worst", worst(moves["nat"], "gap_ms"), "ms", 1000, most=True, goal=500)
    if "mtu" in moves:
        tables = [r for r in moves["mtu"] if r["case"].startswith("mtu_")]
        good = sum(1 for r in tables if "error" not in r)
        g.line("mtu_table", good, "of_8", 8)
        drops = [r for r in moves["mtu"] if r["case"].startswith("silent_drop")]
        g.line("silent_drop_resumes", worst(drops, "resume_ms"), "ms", 5000, most=True, goal=2000)


def gates(data, parts):
    """Prints the gates of the parts that were measured; the exit status tells whether all passed."""
    g = Gates()
    for veth in dict.fromkeys(r["veth"] for r in data["rows"]):
        system_gates(g, data, parts, veth)
    move_gates(g, data["moves"])
    for row in data["rows"]:
        if row.get("error"):
            print(f"note system={row['system']} veth={row['veth']} {row['error'][:200]}")
    return 1 if g.missed else 0
