"""Starts a server that speaks on its standard input and output, and reads from it.

Use: command.py IMAGE EXPORT COMMAND..., where IMAGE is a file with the export's bytes.
"""
import sys

import nbd

expected = open(sys.argv[1], "rb").read()
handle = nbd.NBD()
handle.set_export_name(sys.argv[2])
handle.connect_command(sys.argv[3:])
assert handle.get_size() == len(expected)
step = 1 << 20
for offset in range(0, len(expected), step):
    length = min(step, len(expected) - offset)
    assert bytes(handle.pread(length, offset)) == expected[offset:offset + length], offset
handle.shutdown()
