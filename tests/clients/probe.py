"""Everything libnbd can ask of a server, and what a server must refuse.

Use: probe.py URI IMAGE, where IMAGE is a file with the bytes of the export.
"""
import errno
import sys

import nbd

URI, IMAGE = sys.argv[1:]
DATA = open(IMAGE, "rb")
SIZE = DATA.seek(0, 2)


def expected(offset, length):
    DATA.seek(offset)
    return DATA.read(length)


def connected(structured=True):
    handle = nbd.NBD()
    handle.set_request_structured_replies(structured)
    handle.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    handle.connect_uri(URI)
    # What libnbd would not send, the server must refuse by itself.
    handle.set_strict_mode(0)
    return handle


def refused(number, call, *arguments):
    try:
        call(*arguments)
    except nbd.Error as error:
        assert error.errno == errno.errorcode[number], (call, error.errno, error.string)
        return
    raise AssertionError(f"{call} {arguments[1:]} was not refused")


def flags(handle):
    assert handle.get_size() == SIZE
    assert handle.is_read_only() and handle.can_multi_conn()
    assert handle.can_df() and handle.can_cache()
    assert not handle.can_trim() and not handle.can_zero() and not handle.is_rotational()
    assert handle.get_structured_replies_negotiated()
    assert handle.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION)


def reads(handle):
    for offset, length in ((0, 4096), (1024, 1), (4095, 2), (SIZE - 1, 1), (1, 100_001), (0, 2 << 20)):
        length = min(length, SIZE - offset)
        assert bytes(handle.pread(length, offset)) == expected(offset, length), (offset, length)


def chunks(handle, flag):
    """The pieces of a structured reply cover the request once."""
    covered = bytearray(1 << 20)
    pieces = []

    def chunk(data, offset, status, error):
        assert error.value == 0
        pieces.append(status)
        for at in (offset, offset + len(data) - 1):
            assert not covered[at], "covered twice"
        covered[offset:offset + len(data)] = b"\1" * len(data)

    data = handle.pread_structured(len(covered), 0, chunk, flag)
    assert bytes(data) == expected(0, len(covered))
    assert all(covered), "not covered"
    return pieces


def block_status(handle):
    at, holes = 0, 0
    while at < SIZE:
        got = []

        def extent(name, offset, entries, error):
            assert name == nbd.CONTEXT_BASE_ALLOCATION and offset == at
            got.extend(zip(entries[0::2], entries[1::2]))

        handle.block_status(min(SIZE - at, 1 << 30), at, extent)
        assert got
        for length, status in got:
            assert length > 0
            if status & nbd.STATE_ZERO:
                probe = min(length, 1 << 20)
                assert expected(at, probe) == bytes(probe), f"not zero at {at}"
                holes += 1
            at += length
    assert at >= SIZE and holes > 0, "an image has free space"
    one = []
    handle.block_status(1 << 20, 0, lambda n, o, entries, e: one.extend(entries), nbd.CMD_FLAG_REQ_ONE)
    assert len(one) == 2 and one[0] <= 1 << 20


def refusals(handle):
    buffer = bytes(4096)
    refused(errno.EPERM, handle.pwrite, buffer, 0)
    refused(errno.EPERM, handle.zero, 4096, 0)
    refused(errno.EPERM, handle.trim, 4096, 0)
    for length, offset in ((4096, SIZE), (4096, SIZE - 4095), (1, 2**63 - 1)):
        refused(errno.EINVAL, handle.pread, length, offset)
    refused(errno.EINVAL, handle.cache, 4096, SIZE)
    refused(errno.EINVAL, handle.block_status, 4096, SIZE, lambda *_: 0)
    refused(errno.EINVAL, handle.pread, 512, 0, 1 << 9)
    handle.flush()
    handle.cache(1 << 20, 0)
    reads(handle)


def many_in_flight(handle):
    """Sixty-four requests at once, each with its own answer."""
    spots = [(i * 7919 * 4096 % (SIZE - 65536), 4096 + i * 511) for i in range(64)]
    buffers = [nbd.Buffer(length) for _, length in spots]
    cookies = [handle.aio_pread(buffer, offset) for buffer, (offset, _) in zip(buffers, spots)]
    while cookies:
        cookies = [cookie for cookie in cookies if not handle.aio_command_completed(cookie)]
        handle.poll(1)
    for buffer, (offset, length) in zip(buffers, spots):
        assert bytes(buffer.to_bytearray()) == expected(offset, length), offset


def option_mode():
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.set_full_info(True)
    handle.connect_uri(URI)
    name = handle.get_export_name()
    listed = []
    handle.opt_list(lambda export, description: listed.append(export))
    assert listed, "an empty list"
    contexts = []
    handle.add_meta_context("base:")
    handle.opt_list_meta_context(contexts.append)
    assert contexts == [nbd.CONTEXT_BASE_ALLOCATION], contexts
    handle.set_export_name("no-such-repository")
    refused(errno.ENOENT, handle.opt_info)
    handle.set_export_name(name)
    handle.opt_info()
    assert handle.get_size() == SIZE and handle.is_read_only()
    handle.opt_go()
    reads(handle)
    handle.shutdown()

    aborted = nbd.NBD()
    aborted.set_opt_mode(True)
    aborted.connect_uri(URI)
    aborted.opt_abort()


def main():
    handle = connected()
    flags(handle)
    reads(handle)
    chunks(handle, 0)
    assert len(chunks(handle, nbd.CMD_FLAG_DF)) == 1, "DF forbids pieces"
    block_status(handle)
    refusals(handle)
    many_in_flight(handle)
    sizes = [handle.get_block_size(kind) for kind in (nbd.SIZE_MINIMUM, nbd.SIZE_PREFERRED, nbd.SIZE_MAXIMUM)]
    assert sizes[0] == 1 and sizes[1] == 4096 and sizes[2] >= 1 << 20, sizes
    handle.shutdown()
    simple = connected(structured=False)
    assert not simple.get_structured_replies_negotiated()
    reads(simple)
    refused(errno.EINVAL, simple.pread, 4096, SIZE)
    simple.shutdown()
    option_mode()


main()
