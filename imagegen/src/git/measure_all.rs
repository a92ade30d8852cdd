//! Measuring the files of a commit that checkout converts, on all cores.

use std::{
    num::NonZero,
    result,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use gix::oid;

use super::{
    Blob, Conversion, Measured, Objects, measure_file::Entry, measures::Known, sync::lock,
};
use crate::error::{Error, Result};

/// Files for each thread at least; for fewer, it costs more than it gains.
const FILES_PER_THREAD: usize = 32;

/// Of blobs of more bytes than this, one at a time is in memory, however many
/// cores there are.
const LARGE: u64 = 4 << 20;

/// A file to measure.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Its name, for the caller.
    pub name: &'a [u8],
    /// The id of its blob.
    pub id: &'a oid,
    /// The length of the blob in bytes.
    pub size: u64,
    /// Its conversion.
    pub conversion: &'a Conversion,
}

/// What all jobs give, in their order.
#[derive(Debug)]
pub struct MeasuredAll {
    /// The conversion of each file as it is to be planned, and its size in
    /// bytes; `None` for a file that does not change.
    pub files: Vec<Option<(Conversion, u64)>>,
    /// Whether each file is encoded as its attributes say.
    pub encoded: Vec<bool>,
    /// Why the measures could not be written to the caller's file, if so. That
    /// costs time at the next start, and nothing else.
    pub forgotten: Option<Error>,
}

/// Jobs that threads share.
struct Work<'a> {
    objects: &'a Objects,
    jobs: &'a [Job<'a>],
    next: AtomicUsize,
    large: Mutex<()>,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    known: Vec<(usize, Known)>,
    new: Vec<Entry>,
    /// The first of the jobs that failed.
    failed: Option<(usize, Error)>,
}

impl Objects {
    /// Measures what conversions make of blobs, without caching these: on all
    /// cores, and what is known already not again.
    ///
    /// # Errors
    ///
    /// As [`Objects::blob`] and [`Conversion::measure`], with the number of the
    /// first job that fails.
    pub fn measure_all(&self, jobs: &[Job<'_>]) -> result::Result<MeasuredAll, (usize, Error)> {
        let work = Work {
            objects: self,
            jobs,
            next: AtomicUsize::new(0),
            large: Mutex::new(()),
            done: Mutex::default(),
        };
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            for _ in 1..cores.min(jobs.len() / FILES_PER_THREAD) {
                scope.spawn(|| work.run());
            }
            work.run();
        });
        let done = work
            .done
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = done.failed {
            return Err(failed);
        }
        let forgotten = self.cache().measures().remember(&done.new).err();
        let mut known = done.known;
        known.sort_unstable_by_key(|(number, _)| *number);
        let file = |(job, (_, known)): (&Job<'_>, &(usize, Known))| {
            let Known {
                measured,
                from_file,
            } = known;
            // What a file says about it is checked when the content is made.
            let planned = measured.changed || *from_file;
            planned.then(|| (job.conversion.clone().as_measured(measured), measured.size))
        };
        Ok(MeasuredAll {
            files: jobs.iter().zip(&known).map(file).collect(),
            encoded: known
                .iter()
                .map(|(_, known)| known.measured.encoded)
                .collect(),
            forgotten,
        })
    }

    /// Measures the conversion of a blob anew, after content was not as long as
    /// it was remembered to be.
    ///
    /// # Errors
    ///
    /// As [`Conversion::measure`], and if the caller's file cannot be written.
    pub(crate) fn measure_anew(
        &self,
        id: &oid,
        blob: &Blob,
        conversion: &Conversion,
    ) -> Result<()> {
        let measured = conversion.as_asked().measure(id, blob)?;
        let entry = (conversion.key(id), measured);
        self.cache().measures().remember(&[entry])
    }
}

impl Work<'_> {
    fn run(&self) {
        let (mut known, mut new) = (Vec::new(), Vec::new());
        let failed = loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.jobs.get(number) else {
                break None;
            };
            match self.measure(job) {
                Ok((of_job, entry)) => {
                    known.push((number, of_job));
                    new.extend(entry);
                }
                Err(error) => break Some((number, error)),
            }
        };
        let mut done = lock(&self.done);
        done.known.append(&mut known);
        done.new.append(&mut new);
        if let Some((number, error)) = failed {
            // Jobs are taken in order: no other thread takes another one.
            self.next.store(self.jobs.len(), Ordering::Relaxed);
            if done
                .failed
                .as_ref()
                .is_none_or(|(first, _)| number < *first)
            {
                done.failed = Some((number, error));
            }
        }
    }

    fn measure(&self, job: &Job<'_>) -> Result<(Known, Option<Entry>)> {
        let key = job.conversion.key(job.id);
        if let Some(known) = self.objects.cache().measures().get(&key) {
            return Ok((known, None));
        }
        let _one_at_a_time = (job.size > LARGE).then(|| lock(&self.large));
        let blob = self.objects.blob_uncached(job.id, job.size)?;
        let measured: Measured = job.conversion.measure(job.id, &blob)?;
        let known = Known {
            measured,
            from_file: false,
        };
        Ok((known, Some((key, measured))))
    }
}
