//! The features of ext4, by their bits and the names that ext4(5) has for them: those
//! of the disks that are written here, and those that are refused.

/// `s_feature_compat`. `resize_inode`, room to grow the descriptor table, is
/// left out.
pub(super) mod compat {
    /// Only with free space: a disk that is never written to needs no journal.
    pub(crate) const HAS_JOURNAL: u32 = 0x4;
    /// Extended attributes, for clients that mount a copy read-write.
    pub(crate) const EXT_ATTR: u32 = 0x8;
    /// Only where it is needed: with it the kernel reads even a directory of
    /// one block in hash order and without read-ahead, and a walk takes many
    /// times as long.
    pub(crate) const DIR_INDEX: u32 = 0x20;
    /// With both `s_backup_bgs` 0: no backup superblocks.
    pub(crate) const SPARSE_SUPER2: u32 = 0x200;
    /// What every disk has.
    pub(crate) const ALWAYS: u32 = EXT_ATTR | SPARSE_SUPER2;

    pub(crate) const NAMES: &[(u32, &str)] = &[
        (0x1, "dir_prealloc"),
        (0x2, "imagic_inodes"),
        (HAS_JOURNAL, "has_journal"),
        (EXT_ATTR, "ext_attr"),
        (0x10, "resize_inode"),
        (DIR_INDEX, "dir_index"),
        (SPARSE_SUPER2, "sparse_super2"),
        (0x400, "fast_commit"),
        (0x800, "stable_inodes"),
        (0x1000, "orphan_file"),
    ];
}

/// `s_feature_incompat`. `64bit`, which doubles the size of a descriptor, is
/// left out: only disks of 16 TiB and more need it.
pub(super) mod incompat {
    /// `file_type` in directory entries.
    pub(crate) const FILETYPE: u32 = 0x2;
    /// The kernel sets it while it has a disk with a journal mounted for writing.
    pub(crate) const RECOVER: u32 = 0x4;
    /// Files are mapped by extents.
    pub(crate) const EXTENTS: u32 = 0x40;
    /// Bitmaps and inode tables may lie outside their group.
    pub(crate) const FLEX_BG: u32 = 0x200;
    /// What every disk has.
    pub(crate) const ALWAYS: u32 = FILETYPE | EXTENTS | FLEX_BG;

    pub(crate) const NAMES: &[(u32, &str)] = &[
        (0x1, "compression"),
        (FILETYPE, "filetype"),
        (RECOVER, "needs_recovery"),
        (0x8, "journal_dev"),
        (0x10, "meta_bg"),
        (EXTENTS, "extent"),
        (0x80, "64bit"),
        (0x100, "mmp"),
        (FLEX_BG, "flex_bg"),
        (0x400, "ea_inode"),
        (0x1000, "dirdata"),
        (0x2000, "metadata_csum_seed"),
        (0x4000, "large_dir"),
        (0x8000, "inline_data"),
        (0x10000, "encrypt"),
        (0x20000, "casefold"),
    ];
}

/// `s_feature_ro_compat`. `sparse_super` is left out, since its backups would
/// interrupt the run of data blocks, and `uninit_bg`, which `metadata_csum`
/// replaces.
pub(super) mod ro_compat {
    /// Files of 2 GiB and more.
    pub(crate) const LARGE_FILE: u32 = 0x2;
    /// `i_blocks` of 48 bits.
    pub(crate) const HUGE_FILE: u32 = 0x8;
    /// Directories of more than 65000 links have a count of 1.
    pub(crate) const DIR_NLINK: u32 = 0x20;
    /// Inodes have fields beyond the first 128 bytes.
    pub(crate) const EXTRA_ISIZE: u32 = 0x40;
    /// All metadata is checksummed, and groups may be uninitialized.
    pub(crate) const METADATA_CSUM: u32 = 0x400;
    /// What every disk has.
    pub(crate) const ALWAYS: u32 = LARGE_FILE | HUGE_FILE | DIR_NLINK | EXTRA_ISIZE | METADATA_CSUM;

    pub(crate) const NAMES: &[(u32, &str)] = &[
        (0x1, "sparse_super"),
        (LARGE_FILE, "large_file"),
        (HUGE_FILE, "huge_file"),
        (0x10, "uninit_bg"),
        (DIR_NLINK, "dir_nlink"),
        (EXTRA_ISIZE, "extra_isize"),
        (0x100, "quota"),
        (0x200, "bigalloc"),
        (METADATA_CSUM, "metadata_csum"),
        (0x1000, "read-only"),
        (0x2000, "project"),
        (0x8000, "verity"),
        (0x10000, "orphan_present"),
    ];
}

/// The names of the features in a word, and its unknown bits.
pub(super) fn names(word: u32, table: &[(u32, &str)]) -> String {
    let known = table.iter().filter(|(bit, _)| word & bit != 0);
    let mut names: Vec<_> = known.map(|(_, name)| (*name).to_owned()).collect();
    let unknown = table.iter().fold(word, |left, (bit, _)| left & !bit);
    if unknown != 0 {
        names.push(format!("{unknown:#x}"));
    }
    if names.is_empty() {
        names.push("none".to_owned());
    }
    names.join(" ")
}
