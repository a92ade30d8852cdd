"""Sends valid and invalid requests by libnbd, and checks the replies. The export:
1 MiB of 0x5a, then 1 MiB of zeroes."""

import errno
import sys

import nbd

MIB = 1 << 20
SIZE = 2 * MIB
uri = sys.argv[1]


def client():
    handle = nbd.NBD()
    handle.set_strict_mode(0)
    handle.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    return handle


def connected():
    handle = client()
    handle.connect_uri(uri)
    return handle


def fails(handle, what, call, *errors):
    """Checks that a call fails with one of these errors, and the connection goes on."""
    try:
        call()
    except nbd.Error as error:
        assert error.errnum in errors, f"{what}: {error}"
    else:
        raise AssertionError(f"{what} did not fail")
    assert handle.pread(4, 0) == b"ZZZZ", f"the connection is dead after {what}"


# What is negotiated.
handle = connected()
assert handle.get_protocol() == "newstyle-fixed"
assert handle.get_structured_replies_negotiated()
assert handle.get_size() == SIZE
assert handle.is_read_only() and handle.can_multi_conn() and handle.can_cache()
assert handle.can_df() and handle.can_meta_context("base:allocation")
assert not (handle.can_flush() or handle.can_fua() or handle.can_trim() or handle.can_zero())
assert handle.get_block_size(nbd.SIZE_MINIMUM) == 1
assert handle.get_block_size(nbd.SIZE_PREFERRED) == 4096
assert handle.get_block_size(nbd.SIZE_MAXIMUM) == 32 * MIB

# Reads.
assert handle.pread(MIB, 0) == b"Z" * MIB
assert handle.pread(8192, MIB - 4096) == b"Z" * 4096 + bytes(4096)
assert handle.pread(8192, MIB - 4096, nbd.CMD_FLAG_DF) == b"Z" * 4096 + bytes(4096)
assert handle.pread(1, SIZE - 1) == b"\0"
assert handle.pread(0, 0) == b""

# Chunks of a structured read.
chunks = []
handle.pread_structured(
    2 * MIB, 0, lambda data, offset, kind, error: chunks.append((kind, offset, len(data)))
)
assert sorted(chunks, key=lambda chunk: chunk[1]) == [
    (nbd.READ_DATA, 0, MIB),
    (nbd.READ_HOLE, MIB, MIB),
], chunks

# Invalid reads.
fails(handle, "a read past the end", lambda: handle.pread(2, SIZE - 1), errno.EINVAL)
fails(handle, "a read far past the end", lambda: handle.pread(1, 1 << 62), errno.EINVAL)
fails(handle, "a read with FUA", lambda: handle.pread(1, 0, nbd.CMD_FLAG_FUA), errno.EINVAL)
fails(
    handle, "a read with an unknown flag", lambda: handle.pread(1, 0, 1 << 14), errno.EINVAL
)

# Writes.
fails(handle, "a write", lambda: handle.pwrite(b"w" * 4096, 0), errno.EPERM)
fails(handle, "a large write", lambda: handle.pwrite(b"w" * (8 * MIB), 0), errno.EPERM)
fails(handle, "a write past the end", lambda: handle.pwrite(b"w", SIZE), errno.EPERM)
fails(handle, "a trim", lambda: handle.trim(4096, 0), errno.EPERM)
fails(handle, "writing zeroes", lambda: handle.zero(4096, 0), errno.EPERM)
handle.flush()

# Prefetching.
handle.cache(SIZE, 0)
handle.cache(0, 0)
fails(handle, "a prefetch past the end", lambda: handle.cache(1, SIZE), errno.EINVAL)

# Extents.
found = []


def extents(length, offset, flags=0):
    del found[:]
    handle.block_status(
        length, offset, lambda context, offset, entries, error: found.extend(entries), flags
    )
    return found


assert extents(SIZE, 0) == [MIB, 0, MIB, 3], found
assert extents(512, 512, nbd.CMD_FLAG_REQ_ONE) == [512, 0], found
assert extents(SIZE, 0, nbd.CMD_FLAG_REQ_ONE) == [MIB, 0], found
fails(handle, "extents past the end", lambda: extents(1, SIZE), errno.EINVAL)
handle.shutdown()

# Without structured replies: simple ones, and no extents.
handle = client()
handle.set_request_structured_replies(False)
handle.connect_uri(uri)
assert not handle.can_df() and not handle.can_meta_context("base:allocation")
assert handle.pread(8192, MIB - 4096) == b"Z" * 4096 + bytes(4096)
fails(handle, "a simple read past the end", lambda: handle.pread(2, SIZE - 1), errno.EINVAL)
fails(handle, "DF without structured replies", lambda: handle.pread(1, 0, nbd.CMD_FLAG_DF), errno.EINVAL)
fails(handle, "a simple write", lambda: handle.pwrite(b"w" * 4096, 0), errno.EPERM)
handle.shutdown()

# Option by option.
handle = client()
handle.set_opt_mode(True)
handle.connect_uri(uri)
listed = []
handle.opt_list(lambda name, description: listed.append((name, description)))
assert listed == [("memory", "2097152 bytes in memory")], listed
handle.set_full_info(True)
handle.set_export_name("memory")
handle.opt_info()
assert handle.get_canonical_export_name() == "memory"
assert handle.get_export_description() == "2097152 bytes in memory"
contexts = []
handle.opt_list_meta_context(contexts.append)
assert contexts == ["base:allocation"], contexts
handle.set_export_name("nothing")
try:
    handle.opt_go()
except nbd.Error as error:
    assert error.errnum == errno.ENOENT, error
else:
    raise AssertionError("an export that is not there was opened")
handle.set_export_name("")
handle.opt_go()
assert handle.pread(4, 0) == b"ZZZZ"
handle.shutdown()

handle = client()
handle.set_opt_mode(True)
handle.connect_uri(uri)
handle.opt_abort()

# Many requests at a time.
handle = connected()
buffers = [nbd.Buffer(4096) for _ in range(500)]
cookies = [
    handle.aio_pread(buffer, (MIB - 4096 * 250) + 4096 * number)
    for number, buffer in enumerate(buffers)
]
while handle.aio_in_flight():
    handle.poll(-1)
for number, (cookie, buffer) in enumerate(zip(cookies, buffers)):
    assert handle.aio_command_completed(cookie)
    expected = b"Z" * 4096 if number < 250 else bytes(4096)
    assert bytes(buffer.to_bytearray()) == expected, number
handle.shutdown()
