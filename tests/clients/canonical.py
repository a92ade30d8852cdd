"""Prints the canonical name, the size and the description of the export at a URI."""
import sys

import nbd

handle = nbd.NBD()
handle.set_full_info(True)
handle.connect_uri(sys.argv[1])
print(handle.get_canonical_export_name())
print(handle.get_size())
print(handle.get_export_description())
handle.shutdown()
