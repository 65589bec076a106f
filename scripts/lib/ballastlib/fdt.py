# SPDX-License-Identifier: Apache-2.0
"""A flattened device tree as Python values: read what dtc made, change properties, write it again.

Source: Devicetree Specification v0.3, chapter 5 (Flattened Devicetree format).
"""
import struct

from .say import Failure

_MAGIC, _BEGIN, _END, _PROP, _NOP, _FINISH = 0xD00DFEED, 1, 2, 3, 4, 9


class Node:
    """A node: `name`, `properties` (name to bytes, in order) and `children` (in order)."""

    def __init__(self, name):
        self.name = name
        self.properties = {}
        self.children = []

    def child(self, name):
        return next((child for child in self.children if child.name == name), None)

    def strings(self, name):
        """A string-list property as Python strings; empty when there is no such property."""
        value = self.properties.get(name, b"")
        return [text.decode("utf-8", "replace") for text in value.split(b"\0")[:-1]]

    def set_strings(self, name, texts):
        self.properties[name] = b"".join(text.encode() + b"\0" for text in texts)

    def cell(self, name, default=None):
        """A property of one 32-bit cell."""
        value = self.properties.get(name)
        return struct.unpack(">I", value)[0] if value is not None and len(value) == 4 else default


def _align4(value):
    return (value + 3) & ~3


def parse(blob: bytes) -> Node:
    """The root node of a device tree blob."""
    magic, total, structure, strings = struct.unpack_from(">4I", blob)
    if magic != _MAGIC or total > len(blob):
        raise Failure("not a device tree blob")
    stack, root, at = [], None, structure
    while True:
        (token,) = struct.unpack_from(">I", blob, at)
        at += 4
        if token == _BEGIN:
            end = blob.index(b"\0", at)
            node = Node(blob[at:end].decode())
            at = _align4(end + 1)
            if stack:
                stack[-1].children.append(node)
            else:
                root = node
            stack.append(node)
        elif token == _PROP:
            size, offset = struct.unpack_from(">2I", blob, at)
            begin = strings + offset
            name = blob[begin:blob.index(b"\0", begin)].decode()
            stack[-1].properties[name] = blob[at + 8:at + 8 + size]
            at = _align4(at + 8 + size)
        elif token == _END:
            stack.pop()
        elif token == _FINISH:
            return root
        elif token != _NOP:
            raise Failure(f"device tree blob: token {token} at {at - 4}")


def serialise(root: Node) -> bytes:
    """A version 17 blob of the tree, without reserved memory."""
    structure, strings, offsets = bytearray(), bytearray(), {}

    def name_offset(name):
        if name not in offsets:
            offsets[name] = len(strings)
            strings.extend(name.encode() + b"\0")
        return offsets[name]

    def pad():
        structure.extend(b"\0" * (-len(structure) % 4))

    def write(node):
        structure.extend(struct.pack(">I", _BEGIN) + node.name.encode() + b"\0")
        pad()
        for name, value in node.properties.items():
            structure.extend(struct.pack(">3I", _PROP, len(value), name_offset(name)) + value)
            pad()
        for child in node.children:
            write(child)
        structure.extend(struct.pack(">I", _END))

    write(root)
    structure.extend(struct.pack(">I", _FINISH))
    reserve_at, structure_at = 40, 56
    strings_at = structure_at + len(structure)
    total = strings_at + len(strings)
    header = struct.pack(">10I", _MAGIC, total, structure_at, strings_at, reserve_at, 17, 16, 0, len(strings), len(structure))
    return header + bytes(16) + bytes(structure) + bytes(strings)
