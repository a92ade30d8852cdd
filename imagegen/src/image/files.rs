//! The files of the commit, by path and by offset on the disk.

use std::ops::Range;

use crate::{
    ext4::BLOCK_SIZE,
    image::{Image, extent_map::Source, folder::Content, plan::EntryRef},
    numbers::to_u64,
};

impl Image {
    /// The path of the file whose content includes the byte at `offset`,
    /// relative to the root of the image; `None` for metadata, free space,
    /// files of `.git`, and past the end.
    pub fn file_at(&self, offset: u64) -> Option<Vec<u8>> {
        if offset >= self.size() {
            return None;
        }
        let Source::File { entry, .. } = self.plan.piece(offset).source else {
            return None;
        };
        let child = self.plan.child(entry);
        matches!(child.content, Content::Blob { .. })
            .then(|| self.plan.path_to(entry.dir, child.name))
    }

    /// Calls `each` with every regular file of the commit that is not empty:
    /// its path, and the byte range of its content on the disk.
    pub fn each_file(&self, each: &mut dyn FnMut(&[u8], Range<u64>)) {
        for (number, dir) in self.plan.dirs.iter().enumerate() {
            let mut path = self.plan.path_of(number);
            if !path.is_empty() {
                path.push(b'/');
            }
            let folder = path.len();
            for (slot, child) in dir.folder.children().enumerate() {
                if !matches!(child.content, Content::Blob { .. }) || child.size == 0 {
                    continue;
                }
                let entry = EntryRef { dir: number, slot };
                let start = self.plan.data_of(entry).0 * to_u64(BLOCK_SIZE);
                path.truncate(folder);
                path.extend_from_slice(child.name);
                each(&path, start..start + child.size);
            }
        }
    }
}
