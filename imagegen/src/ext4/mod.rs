//! The on-disk format of ext4: counts in, geometry out; structs to bytes.
