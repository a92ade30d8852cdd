//! The lengths of the files that checkout converts. They decide where the data
//! of all files lies, and are measured after the walk, all at once.

use std::sync::Arc;

use gix::bstr::{BString, ByteSlice};

use crate::{
    Error, Result,
    git::{Conversion, Job, Objects},
    image::{
        allowance::Allowance,
        dir_layout::DirLayout,
        dirs::{Dir, path_of_directory},
        folder::Folder,
        path,
        walk::Walk,
    },
    numbers::to_usize,
};

/// Measures all files of `walk` that may be converted, and plans them with
/// their lengths. Files that turn out not to change are planned as they are.
/// Returns the length of all that may be converted, as
/// [`Image::converted_bytes`](super::Image::converted_bytes) has it.
///
/// # Errors
///
/// As [`Image::open`](super::Image::open), with the path.
pub(super) fn measure(
    walk: &mut Walk<'_>,
    objects: &Objects,
    allowance: &dyn Allowance,
) -> Result<u64> {
    let (dirs, notices) = (&walk.dirs, &mut walk.notices);
    let each = size_of::<Job<'_>>() + size_of::<Option<(Conversion, u64)>>();
    walk.meter.grow(all(dirs).count() * each)?;
    let jobs: Vec<_> = all(dirs).map(|(_, job)| job).collect();
    if jobs.is_empty() {
        return Ok(0);
    }
    let blobs = jobs.iter().map(|job| job.size);
    allow(allowance, dirs, blobs)?;
    let measured = objects.measure_all(&jobs);
    let measured = measured.map_err(|(number, error)| {
        let failed = all(dirs).nth(number).expect("it is one of the jobs");
        error.within(path_of(dirs, &failed))
    })?;
    for (file, _) in all(dirs)
        .zip(&measured.encoded)
        .filter(|(_, encoded)| !**encoded)
    {
        notices.add(|| not_encoded(&path_of(dirs, &file), file.1.conversion));
    }
    let sizes = jobs.iter().zip(&measured.files);
    let sizes = sizes.map(|(job, file)| {
        file.as_ref()
            .map_or(job.size, |(_, size)| job.size.max(*size))
    });
    let converted = allow(allowance, dirs, sizes)?;
    if let Some(error) = measured.forgotten {
        notices.add(|| error.to_string());
    }
    let mut files = measured.files.into_iter();
    for number in 0..walk.dirs.len() {
        plan(&mut walk.dirs, number, &mut files)?;
    }
    walk.renumber_leaves();
    Ok(converted)
}

/// Asks whether files of these lengths may be converted; returns their sum.
fn allow(
    allowance: &dyn Allowance,
    dirs: &[Dir],
    sizes: impl Iterator<Item = u64> + Clone,
) -> Result<u64> {
    let sum = sizes.clone().fold(0, u64::saturating_add);
    allowance.converted(sum).map_err(|error| {
        let largest = all(dirs).zip(sizes).max_by_key(|(_, size)| *size);
        match largest {
            Some((file, _)) => error.within(path_of(dirs, &file)),
            None => error,
        }
    })?;
    Ok(sum)
}

/// The number of a directory, and a file in it.
type File<'a> = (usize, Job<'a>);

/// All files that may be converted, with their directories.
fn all(dirs: &[Dir]) -> impl Iterator<Item = File<'_>> {
    dirs.iter().enumerate().flat_map(|(number, dir)| {
        let (listing, converted) = match &dir.folder {
            Folder::Tree {
                listing, converted, ..
            } => (Some(listing), &**converted),
            Folder::Synthetic(_) | Folder::Gitlink => (None, [].as_slice()),
        };
        listing.into_iter().flat_map(move |listing| {
            converted.iter().map(move |(slot, conversion)| {
                let entry = listing.entry(to_usize(*slot));
                let job = Job {
                    name: entry.name,
                    id: entry.id,
                    size: entry.size,
                    conversion,
                };
                (number, job)
            })
        })
    })
}

/// Plans the files of one directory as they were measured.
fn plan(
    dirs: &mut [Dir],
    number: usize,
    files: &mut impl Iterator<Item = Option<(Conversion, u64)>>,
) -> Result<()> {
    let Folder::Tree {
        listing, converted, ..
    } = &mut dirs[number].folder
    else {
        return Ok(());
    };
    if converted.is_empty() {
        return Ok(());
    }
    let slots = converted.iter().map(|(slot, _)| *slot);
    let planned: Vec<_> = slots
        .zip(files)
        .filter_map(|(slot, file)| file.map(|(conversion, size)| (slot, conversion, size)))
        .collect();
    let sizes = planned
        .iter()
        .map(|(slot, _, size)| (to_usize(*slot), *size));
    *listing = Arc::new(listing.with_sizes(sizes));
    *converted = planned
        .into_iter()
        .map(|(slot, conversion, _)| (slot, conversion))
        .collect();
    let layout = DirLayout::of(&dirs[number].folder);
    let of_path = |error: Error| match path_of_directory(dirs, number) {
        path if path.is_empty() => error,
        path => error.within(path),
    };
    dirs[number].layout = layout.map_err(of_path)?;
    Ok(())
}

fn path_of(dirs: &[Dir], (number, job): &File<'_>) -> BString {
    path::join(path_of_directory(dirs, *number).as_bstr(), job.name)
}

fn not_encoded(path: &BString, conversion: &Conversion) -> String {
    let name = conversion.encoding_name();
    format!(
        "{path}: checked out unencoded, as by git: iconv fails to encode it from UTF-8 to {name}"
    )
}
