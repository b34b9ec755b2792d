"""A service manager, as far as the tests need one: it starts the daemon, takes its notifications and
keeps the descriptors it is given, as systemd does with FileDescriptorStoreMax=.

    python3 service-manager.py SOCKET COMMAND...

Reads commands from standard input, one a line: `start`, `kill NAME` (a signal, as TERM), `store FILE NAME`
(puts an open file into the store), `forget NAME` (takes one out), `names` (what it keeps). Its own end ends the daemon. Prints one JSON object a line:
{"started": pid}, {"said": {...}, "fds": n}, {"ended": status}, {"names": [...]}.
"""

import array
import json
import os
import select
import signal
import socket
import sys

STORE_MAX = 64
FIRST_FD = 3


def tell(**what):
    print(json.dumps(what), flush=True)


class Manager:
    def __init__(self, path, command):
        self.path = path
        self.command = command
        self.store = []
        self.pid = None
        self.pidfd = None
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)

    def start(self):
        fds = [fd for _, fd in self.store]
        pid = os.fork()
        if pid == 0:
            # Out of the way first: a target may be somebody else's source.
            high = [os.dup2(fd, 200 + i, inheritable=False) and 200 + i for i, fd in enumerate(fds)]
            for i, fd in enumerate(high):
                os.dup2(fd, FIRST_FD + i, inheritable=True)
            environment = dict(os.environ, NOTIFY_SOCKET=self.path)
            if fds:
                environment.update(
                    LISTEN_PID=str(os.getpid()),
                    LISTEN_FDS=str(len(fds)),
                    LISTEN_FDNAMES=":".join(name for name, _ in self.store),
                )
            os.dup2(2, 1)
            os.execvpe(self.command[0], self.command, environment)
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        tell(started=pid)

    def listen(self):
        space = socket.CMSG_SPACE(16 * 4)
        data, control, _, _ = self.socket.recvmsg(65536, space)
        said = dict(line.split("=", 1) for line in data.decode().split("\n") if line)
        fds = []
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(payload[: len(payload) - len(payload) % 4])
                fds += list(received)
        for fd in fds:
            os.set_inheritable(fd, False)
        name = said.get("FDNAME", "stored")
        if said.get("FDSTOREREMOVE") == "1":
            for entry in [entry for entry in self.store if entry[0] == name]:
                os.close(entry[1])
                self.store.remove(entry)
        for fd in fds:
            if said.get("FDSTORE") == "1" and len(self.store) < STORE_MAX:
                self.store.append((name, fd))
            else:
                os.close(fd)
        tell(said=said, fds=len(fds))

    def reap(self):
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.pid = self.pidfd = None
        while select.select([self.socket], [], [], 0)[0]:
            self.listen()
        tell(ended=os.waitstatus_to_exitcode(status))

    def obey(self, line):
        words = line.split()
        if words[0] == "start":
            self.start()
        elif words[0] == "kill":
            os.kill(self.pid, getattr(signal, "SIG" + words[1]))
        elif words[0] == "store":
            self.store.append((words[2], os.open(words[1], os.O_RDWR)))
        elif words[0] == "forget":
            for entry in [entry for entry in self.store if entry[0] == words[1]]:
                os.close(entry[1])
                self.store.remove(entry)
        elif words[0] == "names":
            tell(names=[name for name, _ in self.store])

    def run(self):
        pending = b""
        while True:
            sources = [0, self.socket] + ([self.pidfd] if self.pidfd is not None else [])
            ready = select.select(sources, [], [])[0]
            if self.socket in ready:
                self.listen()
            if self.pidfd is not None and self.pidfd in ready:
                self.reap()
            if 0 in ready:
                data = os.read(0, 4096)
                if not data:
                    break
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self.obey(line.decode())
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


Manager(sys.argv[1], sys.argv[2:]).run()
