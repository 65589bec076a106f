# SPDX-License-Identifier: Apache-2.0
"""A serial port of the machine as a TCP port of this one: gdb connects here, the emulator's UART is at the other end.

The emulator connects to a listener of ours when it starts (Bochs's own socket server would hold up its start until somebody
connects). One client at a time; the next one is served when it has gone. What the guest sends while nobody listens is dropped,
so nothing ever blocks in the machine.
"""
import os
import socket
import threading

from .say import Failure


class SerialLine:
    """com: number of the port, 2 to 4. port: where clients connect on 127.0.0.1; 0 picks a free one, `port` then tells which.
    record: a list that gets (">" to the guest or "<" from it, bytes), or None. dropped: bytes of the guest that nobody heard.
    """

    def __init__(self, com, port=0, record=None):
        self.com, self.record, self.dropped = com, record, 0
        try:
            self._clients = socket.create_server(("127.0.0.1", port), backlog=4)
        except OSError as error:
            raise Failure(f"port {port} for the debugger: {os.strerror(error.errno)}; 0 picks a free one") from None
        self.port = self._clients.getsockname()[1]
        self._emulator = self._listener = self._client = None
        self._lock = threading.Lock()
        self._closed = False

    def open(self, bed, folder):
        """Makes the listener for an emulator that is about to start; returns its address as the emulator's option wants it."""
        if bed == "bochs":
            self._listener = socket.create_server(("127.0.0.1", 0))
            address = "%s:%d" % self._listener.getsockname()
        else:
            address = str(folder / f"com{self.com}")
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(address)
            self._listener.listen(1)
        threading.Thread(target=self._from_emulator, daemon=True).start()
        return address

    def close(self):
        self._closed = True
        for each in (self._client, self._emulator, self._listener, self._clients):
            if each is not None:
                try:
                    each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits there
                except OSError:
                    pass
                each.close()

    def _note(self, direction, data):
        if self.record is not None:
            self.record.append((direction, data))

    def _from_emulator(self):
        try:
            self._emulator, _ = self._listener.accept()
            threading.Thread(target=self._from_clients, daemon=True).start()
            while data := self._emulator.recv(65536):
                with self._lock:
                    client = self._client
                if client is None:
                    self.dropped += len(data)
                    continue
                self._note("<", data)
                try:
                    client.sendall(data)
                except OSError:
                    pass  # it has just gone; its own thread notices
        except OSError:
            pass
        finally:
            self.close()  # the machine has ended: gdb sees the line drop

    def _from_clients(self):
        while not self._closed:
            try:
                client, _ = self._clients.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._client = client
            try:
                while data := client.recv(65536):
                    self._note(">", data)
                    self._emulator.sendall(data)
            except OSError:
                pass
            with self._lock:
                self._client = None
            client.close()
