//! What an index has for a `core.fsmonitor`: that every directory is known, that
//! no file has changed, and where the entries end.
//!
//! ```text
//! UNTR head │ directory … │ bitmaps │ stat … │ id … │ NUL FSMN EOIE │ hash
//!             ▲
//!             └─ every 64th
//! ```
//!
//! It takes memory by directory: 8 bytes each for their order, which is that of
//! their names and not of trees, and 8 for every 64th.

use gix::{ObjectId, hash::Kind};

use super::{totals::Total, work_tree::WorkTree};
use crate::{
    ext4::BLOCK_SIZE,
    git::dotgit::{
        EXCLUDE,
        index::{
            Counter, Sink, Stat, Window,
            extension::{self, EXTENSION_HEADER, Extension},
            recorded_size,
            untracked::{self, STAT_LENGTH},
        },
    },
    image::{folder::Folder, ignores, stamp::Stamp},
    numbers::{exact, to_u64, to_usize},
};

/// Directories between two whose place is known.
const STEP: usize = 64;

/// For what an index is made.
#[derive(Debug)]
pub(in crate::image) struct Monitored<'a> {
    /// Where the work tree is mounted.
    pub(in crate::image) worktree: &'a [u8],
    /// The ids of those `.gitignore` that git reads itself, by the number of the
    /// directory, ascending.
    pub(in crate::image) ids: Vec<(usize, ObjectId)>,
}

/// Where it lies in the index.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) entries_end: u64,
    /// The extensions before it.
    pub(super) before: Vec<Extension>,
}

/// Where everything of it lies; offsets are those in the index.
#[derive(Debug)]
pub(super) struct Monitor {
    start: u64,
    head: Box<[u8]>,
    /// The numbers of the directories as git orders them.
    order: Box<[u32]>,
    subdirectories: Box<[u32]>,
    /// The offsets of the first directory and of every [`STEP`]th after it.
    places: Box<[u64]>,
    directories_end: u64,
    bitmaps: Box<[u8]>,
    /// The numbers of the directories with a `.gitignore`, as git orders them.
    ignoring: Box<[u32]>,
    ids: Box<[(usize, ObjectId)]>,
    kind: Kind,
    tail: Box<[u8]>,
}

impl Monitor {
    /// Finds the place of everything.
    pub(super) fn new(
        work_tree: WorkTree<'_>,
        totals: &[Total],
        kind: Kind,
        monitored: Monitored<'_>,
        place: Place,
    ) -> Self {
        let order = order(work_tree);
        let has_ignore = |number: &u32| {
            let folder = &work_tree.dirs[to_usize(*number)].folder;
            ignores::slot(folder).is_some()
        };
        let positions: Vec<u32> = (0..)
            .zip(&order)
            .filter_map(|(position, number)| has_ignore(number).then_some(position))
            .collect();
        let ignoring = positions.iter().map(|at| order[to_usize(*at)]).collect();
        let count = exact(order.len());
        let mut monitor = Self {
            start: place.start,
            head: untracked::head(kind, monitored.worktree, EXCLUDE, count).into(),
            subdirectories: order
                .iter()
                .map(|number| totals[to_usize(*number)].subtrees)
                .collect(),
            order: order.into(),
            places: Box::default(),
            directories_end: 0,
            bitmaps: untracked::bitmaps(count, &positions).into(),
            ignoring,
            ids: monitored.ids.into(),
            kind,
            tail: Box::default(),
        };
        monitor.place_directories(work_tree);
        monitor.tail = monitor.make_tail(place).into();
        monitor
    }

    fn place_directories(&mut self, work_tree: WorkTree<'_>) {
        let first = self.start + EXTENSION_HEADER + to_u64(self.head.len());
        let (mut counter, mut places) = (Counter::default(), Vec::new());
        for position in 0..self.order.len() {
            if position % STEP == 0 {
                places.push(first + counter.bytes());
            }
            self.directory(work_tree, position, &mut counter);
        }
        self.places = places.into();
        self.directories_end = first + counter.bytes();
    }

    fn make_tail(&self, place: Place) -> Vec<u8> {
        let length = self.untracked_length();
        let monitor = extension::monitor();
        let mut before = place.before;
        before.extend([(*b"UNTR", length), extension::of(&monitor)]);
        let end = extension::end_of_entries(self.kind, exact(place.entries_end), &before);
        [untracked::END.as_slice(), &monitor, &end].concat()
    }

    /// The length of the content of `UNTR`.
    fn untracked_length(&self) -> u32 {
        let end = self.tail_start() + to_u64(untracked::END.len());
        exact(end - self.start - EXTENSION_HEADER)
    }

    fn stats(&self) -> u64 {
        self.directories_end + to_u64(self.bitmaps.len())
    }

    fn ids_start(&self) -> u64 {
        self.stats() + to_u64(self.order.len()) * STAT_LENGTH
    }

    fn tail_start(&self) -> u64 {
        self.ids_start() + to_u64(self.ignoring.len() * self.kind.len_in_bytes())
    }

    /// The offset behind it.
    pub(super) fn end(&self) -> u64 {
        self.tail_start() + to_u64(self.tail.len())
    }

    /// Its memory in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.head.len()
            + self.bitmaps.len()
            + self.tail.len()
            + size_of_val(&*self.order)
            + size_of_val(&*self.subdirectories)
            + size_of_val(&*self.places)
            + size_of_val(&*self.ignoring)
            + size_of_val(&*self.ids)
    }

    /// Writes all of it.
    pub(super) fn write(&self, work_tree: WorkTree<'_>, stamp: &Stamp, sink: &mut impl Sink) {
        self.write_head(sink);
        for position in 0..self.order.len() {
            self.directory(work_tree, position, sink);
        }
        sink.put(&self.bitmaps);
        for number in &self.order {
            stat(work_tree, stamp, *number, sink);
        }
        for number in &self.ignoring {
            self.id(work_tree, *number, sink);
        }
        sink.put(&self.tail);
    }

    /// Fills what of `buffer`, which is the index from `offset` on, lies in it.
    pub(super) fn read(
        &self,
        work_tree: WorkTree<'_>,
        stamp: &Stamp,
        offset: u64,
        buffer: &mut [u8],
    ) {
        self.write_head(&mut Window::new(self.start, offset, buffer));
        self.read_directories(work_tree, offset, buffer);
        Window::new(self.directories_end, offset, buffer).put(&self.bitmaps);
        let stats = (self.stats(), to_usize(STAT_LENGTH), &*self.order);
        records(stats, offset, buffer, |number, window| {
            stat(work_tree, stamp, number, window);
        });
        let ids = (self.ids_start(), self.kind.len_in_bytes(), &*self.ignoring);
        records(ids, offset, buffer, |number, window| {
            self.id(work_tree, number, window);
        });
        Window::new(self.tail_start(), offset, buffer).put(&self.tail);
    }

    fn write_head(&self, sink: &mut impl Sink) {
        sink.put(&extension::header((*b"UNTR", self.untracked_length())));
        sink.put(&self.head);
    }

    fn read_directories(&self, work_tree: WorkTree<'_>, offset: u64, buffer: &mut [u8]) {
        let behind = self.places.partition_point(|place| *place <= offset);
        let first = behind.saturating_sub(1);
        let Some(place) = self.places.get(first) else {
            return;
        };
        let mut window = Window::new(*place, offset, buffer);
        for position in first * STEP..self.order.len() {
            if window.is_past() {
                break;
            }
            self.directory(work_tree, position, &mut window);
        }
    }

    fn directory(&self, work_tree: WorkTree<'_>, position: usize, sink: &mut impl Sink) {
        let dir = &work_tree.dirs[to_usize(self.order[position])];
        let name = match self.order[position] {
            0 => b"",
            _ => work_tree.dirs[dir.parent].folder.child(dir.slot).name,
        };
        untracked::put_directory(sink, name, self.subdirectories[position]);
    }

    fn id(&self, work_tree: WorkTree<'_>, number: u32, sink: &mut impl Sink) {
        let number = to_usize(number);
        let read = self.ids.binary_search_by_key(&number, |(own, _)| *own);
        let id = match read {
            Ok(at) => self.ids[at].1.as_ref(),
            Err(_) => ignores::tracked_id(&work_tree.dirs[number].folder)
                .expect("only directories with a .gitignore are listed"),
        };
        untracked::put_id(sink, id);
    }
}

/// Fills the part of `buffer` that lies in records of the same length.
fn records(
    (start, each, numbers): (u64, usize, &[u32]),
    offset: u64,
    buffer: &mut [u8],
    put: impl Fn(u32, &mut Window<'_>),
) {
    let before = offset.checked_sub(start).map_or(0, to_usize);
    let first = before / each;
    let place = start + to_u64(first * each);
    let mut window = Window::new(place, offset, buffer);
    for number in numbers.iter().skip(first) {
        if window.is_past() {
            break;
        }
        put(*number, &mut window);
    }
}

/// The `stat` data of a directory, as its inode has it.
fn stat(work_tree: WorkTree<'_>, stamp: &Stamp, number: u32, sink: &mut impl Sink) {
    let dir = &work_tree.dirs[to_usize(number)];
    let Stamp { uid, gid, mtime } = *stamp;
    let stat = Stat {
        changed: mtime.changed().parts(),
        modified: mtime.parts(),
        inode: dir.inode.get(),
        uid,
        gid,
        size: recorded_size(dir.blocks * to_u64(BLOCK_SIZE)),
    };
    untracked::put_stat(sink, &stat);
}

/// The directories in pre-order, those of one parent by name. They are in pre-order
/// already, those of one parent as in a tree: there `a-b` comes before `a`.
fn order(work_tree: WorkTree<'_>) -> Vec<u32> {
    let dirs = work_tree.dirs;
    let is_tree = |number: usize| matches!(dirs[number].folder, Folder::Tree { .. });
    let name = |number: u32| {
        let dir = &dirs[to_usize(number)];
        dirs[dir.parent].folder.child(dir.slot).name
    };
    // The children of each directory: the last one, and for each the one before.
    let (mut last, mut before) = (vec![0_u32; dirs.len()], vec![0_u32; dirs.len()]);
    for number in (1..dirs.len()).filter(|number| is_tree(*number)) {
        let own = &mut last[dirs[number].parent];
        before[number] = *own;
        *own = exact(number);
    }
    let (mut order, mut pending) = (Vec::new(), vec![0_u32]);
    while let Some(number) = pending.pop() {
        order.push(number);
        let queued = pending.len();
        let mut child = last[to_usize(number)];
        while child != 0 {
            pending.push(child);
            child = before[to_usize(child)];
        }
        pending[queued..].sort_unstable_by(|one, other| name(*other).cmp(name(*one)));
    }
    order
}
