# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an emulator with Ballast in it: speaks COM1 on the socket it is given, for the commands' own tests.

Usage: fake_machine.py SOCKET SCENARIO   SCENARIO: off, crashed, panic, refuses, silent, dies, demo (a guest that grows and shrinks), flat,
console (what is typed before it is ready is lost; ends when told)
"""
import socket
import sys
import threading
import time

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
scenario = sys.argv[2]
memory = {"assigned": 512, "total": 480}
ready, told = threading.Event(), threading.Event()


def say(text):
    connection.sendall(text.encode() + b"\r\n")


def row():
    return (f"ballast: | {'web':16} | running  | {memory['assigned']:8} |    301 |   41% | OK           | 256/512/1024     |")


def listen():
    pending = b""
    while data := connection.recv(4096):
        pending += data
        while b"\r" in pending:
            word, pending = pending.split(b"\r", 1)
            if scenario == "console" and not ready.is_set():
                continue  # the firmware's
            if word == b"stop web off":
                told.set()
            elif word == b"list":
                say("ballast: | partition        | state    | assigned | demand | avail | status       | min/startup/max  |")
                say(row())
                say("ballast: host: 2048 MiB of RAM, 1000 MiB free")
            elif word == b"check":
                say("ballast: check: ok 524288 frames")
            else:
                say(f"ballast: error: '{word.decode()}' is no command; 'help' lists them")


threading.Thread(target=listen, daemon=True).start()
say("\x1b[2J\x1b[01;01Hballast: loader: Ballast")
if scenario in ("off", "crashed"):
    say("[web] hello")
    say("ballast: all partitions ended: " + ("off" if scenario == "off" else "crashed web"))
elif scenario == "panic":
    say("ballast: panic: a test")
    time.sleep(60)
elif scenario == "refuses":
    say("ballast: error: Ballast cannot run here: a test")
elif scenario == "silent":
    time.sleep(60)
elif scenario == "console":
    time.sleep(0.7)
    ready.set()
    say("ballast: ready")
    told.wait(60)
    say("ballast: all partitions ended: off")
elif scenario in ("demo", "flat"):
    say("[web] ballast-guest: up")
    plan = [(512, 480)] * 2 + ([(700, 668), (900, 868), (600, 568), (300, 268)] if scenario == "demo" else [(512, 480)] * 4)
    for second, (memory["assigned"], memory["total"]) in enumerate(plan):
        say(f"[web] memload: phase {second + 1}/6: {second * 10} MiB for 1 s")
        for _ in range(2):
            say(f"[web] ballast-guest: MemTotal={memory['total'] * 1024} kB MemAvailable=1024 kB ballooned=0 added=0 onlined=0 "
                f"committed=1 state=2 uptime={second}.5")
            time.sleep(0.3)
    say("[web] memload: done, every page as written")
    time.sleep(0.3)
    say("ballast: all partitions ended: off")
connection.close()
