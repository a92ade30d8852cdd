//! CRC32C with the seeds that `metadata_csum` uses
//! (`Documentation/filesystems/ext4/checksums.rst`).

use super::numbers::InodeNr;

/// A running checksum.
///
/// The kernel's `ext4_chksum` omits the final inversion of the definition of
/// CRC32C, which the `crc32c` crate performs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crc(u32);

impl Crc {
    /// The checksum of no bytes: the kernel's initial value of all ones.
    pub(super) const START: Self = Self(0);

    /// Adds `bytes`.
    pub(super) fn update(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    /// The value that is stored on disk.
    pub(super) const fn value(self) -> u32 {
        !self.0
    }
}

/// The checksum seed of one file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum {
    seed: Crc,
}

impl Checksum {
    /// The seed of the file system whose `s_uuid` is `uuid`.
    pub(crate) fn new(uuid: &[u8; 16]) -> Self {
        Self {
            seed: Crc::START.update(uuid),
        }
    }

    /// The seed for the metadata of inode `nr`, whose `i_generation` is 0.
    pub(crate) fn inode(self, nr: InodeNr) -> InodeChecksum {
        let generation = [0; 4];
        InodeChecksum {
            seed: self
                .seed
                .update(&nr.get().to_le_bytes())
                .update(&generation),
        }
    }

    pub(super) fn bitmap(self, bits: &[u8]) -> u32 {
        self.seed.update(bits).value()
    }

    pub(super) fn descriptor(self, group: u32, descriptor: &[u8]) -> u32 {
        self.seed
            .update(&group.to_le_bytes())
            .update(descriptor)
            .value()
    }
}

/// The checksum seed of one inode, for the inode itself, its directory blocks
/// and its extent leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InodeChecksum {
    seed: Crc,
}

impl InodeChecksum {
    pub(super) fn of(self, bytes: &[u8]) -> u32 {
        self.seed.update(bytes).value()
    }

    /// The checksum of a directory index block: the entries in use, then the
    /// tail with a checksum field of 0 (`ext4_dx_csum`).
    pub(super) fn of_index(self, used: &[u8], tail: &[u8]) -> u32 {
        self.seed.update(used).update(tail).value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_register_is_not_inverted_at_the_end() {
        // The check value of CRC32C is 0xE3069283 with the inversion.
        assert_eq!(Crc::START.update(b"123456789").value(), !0xE306_9283);
        assert_eq!(Crc::START.value(), u32::MAX);
    }

    #[test]
    fn parts_sum_up_like_the_whole() {
        let checksum = Checksum::new(&[7; 16]);
        let whole = [&[7; 16][..], &11_u32.to_le_bytes(), &[0; 4], b"abc", b"def"].concat();
        let inode = checksum.inode(InodeNr::FIRST);
        assert_eq!(
            inode.of_index(b"abc", b"def"),
            Crc::START.update(&whole).value()
        );
        assert_eq!(inode.of(b"abcdef"), Crc::START.update(&whole).value());
    }
}
