# SPDX-License-Identifier: Apache-2.0
"""typed.py ANSWER COMMAND...: runs the command on a terminal of its own and types ANSWER when it asks for something ("...: " and silence). What it prints goes to
stdout, its exit code is ours. Twenty seconds at most."""
import os
import pty
import select
import sys
import time

answer, command = sys.argv[1], sys.argv[2:]
pid, tty = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
seen, typed, end = b"", False, time.monotonic() + 20
while time.monotonic() < end:
    ready, _, _ = select.select([tty], [], [], 0.2)
    if ready:
        try:
            piece = os.read(tty, 4096)
        except OSError:
            piece = b""
        if not piece:
            break
        seen += piece
    elif not typed and seen.endswith(b": "):
        os.write(tty, answer.encode() + b"\n")
        typed = True
else:
    os.kill(pid, 9)
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
