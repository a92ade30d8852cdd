//! Entries of a pack as they are, for another pack.

use gix::zlib::{Decompress, FlushDecompress, Status};
use gix_pack::data;

use super::pack::Pack;
use crate::{error::Result, numbers::to_usize};

/// How much is inflated at once to find the end of an entry, in bytes.
const PIECE: usize = 32 << 10;

impl Pack {
    /// The entry at `offset`, and the offset of its base in the pack if it is a
    /// delta.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`](crate::Kind::Corrupt) if it is damaged.
    pub(in crate::git) fn entry_and_base(&self, offset: u64) -> Result<(data::Entry, Option<u64>)> {
        let mut entries = Vec::new();
        let base = self.push_entry(offset, &mut entries)?;
        Ok((entries.pop().expect("it was pushed"), base))
    }

    /// The length of the compressed data of an entry, in bytes: a pack says where an
    /// entry begins, and not where it ends.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`](crate::Kind::Corrupt) if it is damaged.
    pub(in crate::git) fn compressed_length(&self, entry: &data::Entry) -> Result<u64> {
        let corrupt = |reason: &'static str| self.corrupt(entry.pack_offset(), reason);
        let input = self.compressed(entry)?;
        let (mut state, mut piece) = (Decompress::new(), vec![0; PIECE]);
        loop {
            let before = (state.total_in(), state.total_out());
            let rest = input.split_at_checked(to_usize(before.0));
            let (_, rest) = rest.ok_or_else(|| corrupt("an entry without an end"))?;
            let status = state.decompress(rest, &mut piece, FlushDecompress::None);
            let status = status.map_err(|error| self.corrupt(entry.pack_offset(), error))?;
            if status == Status::StreamEnd {
                break;
            }
            if (state.total_in(), state.total_out()) == before {
                return Err(corrupt("an entry without an end"));
            }
        }
        if state.total_out() != entry.decompressed_size {
            return Err(corrupt("an entry that is not as long as it says"));
        }
        Ok(state.total_in())
    }

    /// The first `length` bytes of the compressed data of an entry.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`](crate::Kind::Corrupt) if the pack is shorter.
    pub(in crate::git) fn compressed_data(
        &self,
        entry: &data::Entry,
        length: u64,
    ) -> Result<&[u8]> {
        let data = self.compressed(entry)?.split_at_checked(to_usize(length));
        let short = || self.corrupt(entry.pack_offset(), "an entry without an end");
        Ok(data.ok_or_else(short)?.0)
    }
}
