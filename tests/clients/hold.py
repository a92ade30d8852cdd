"""Holds a connection open until standard input ends; says the canonical name first."""
import sys

import nbd

handle = nbd.NBD()
handle.set_full_info(True)
handle.connect_uri(sys.argv[1])
print(handle.get_canonical_export_name(), flush=True)
sys.stdin.read()
handle.shutdown()
