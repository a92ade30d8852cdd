//! CRC32C, as ext4 seeds it (`metadata_csum`; `Documentation/filesystems/ext4/checksums.rst`).

use super::numbers::InodeNr;

/// A checksum in the making.
///
/// The kernel's `ext4_chksum` leaves out the final inversion that the CRC's
/// definition, and the `crc32c` crate, ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crc(u32);

impl Crc {
    /// Nothing summed yet: the kernel's seed of all ones.
    pub(super) const START: Self = Self(0);

    /// With more bytes.
    pub(super) fn update(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    /// What goes to disk.
    pub(super) const fn value(self) -> u32 {
        !self.0
    }
}

/// The seed of all checksums of one file system.
#[derive(Clone, Copy, Debug)]
pub struct Checksum {
    seed: Crc,
}

impl Checksum {
    /// The seed that `s_uuid` gives.
    pub fn new(uuid: &[u8; 16]) -> Self {
        Self {
            seed: Crc::START.update(uuid),
        }
    }

    /// The seed of everything that belongs to one inode.
    pub fn inode(&self, nr: InodeNr) -> InodeChecksum {
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

/// The seed of the checksums of one inode: its own, its directory blocks',
/// its extent leaves'.
#[derive(Clone, Copy, Debug)]
pub struct InodeChecksum {
    seed: Crc,
}

impl InodeChecksum {
    pub(super) fn of(self, bytes: &[u8]) -> u32 {
        self.seed.update(bytes).value()
    }

    /// Of an index block: the entries in use, then the tail as it stands
    /// before the checksum is in it (`ext4_dx_csum`).
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
