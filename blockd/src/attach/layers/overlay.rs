//! The overlay of the upper layer on the lower layer
//! (Documentation/filesystems/overlayfs.rst).
//!
//! Three of its options matter to git. `metacopy`: git sets the mtime of a pack
//! when it writes an object that the pack has, which would copy the whole pack
//! up. `redirect_dir`: `git mv` of a directory. `xino`: inode numbers that do
//! not change.

use std::{ffi::CString, fs, path::Path};

use anyhow::{Result, anyhow, bail};
use rustix::{io::Errno, mount};

use super::{
    device::probe,
    lower::ext4,
    mounts::{Mount, Mounts},
    target::Target,
    upper::OverlayDirs,
};
use crate::attach::state::{attachment_dir::AttachmentDir, upper_kind::UpperKind};

/// An option of overlayfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Feature {
    name: &'static str,
    /// The file in `/sys/module/overlay/parameters` with its default.
    parameter: &'static str,
    /// What does not work without it.
    without: &'static str,
}

const FEATURES: [Feature; 3] = [
    Feature {
        name: "metacopy",
        parameter: "metacopy",
        without: "git may copy whole packs into the upper layer when it writes an object they have",
    },
    Feature {
        name: "redirect_dir",
        parameter: "redirect_dir",
        without: "renaming a directory of the export fails with EXDEV, and `git mv` with it",
    },
    Feature {
        name: "xino",
        parameter: "xino_auto",
        without: "inode numbers of directories change, and git's untracked cache is of no use",
    },
];

/// Mounts the overlay with all features that this kernel has, as far as the file
/// system of the upper layer can do them; returns a warning for each missing one.
///
/// # Errors
///
/// When the kernel refuses the mount without any feature, or for another reason; or
/// when the directory was moved meanwhile.
pub(crate) fn mount(lower: &Path, dirs: &OverlayDirs, target: &Target) -> Result<Vec<String>> {
    let (mountpoint, place) = (target.path(), target.to_mount_at());
    for features in subsets() {
        let options = CString::new(options(lower, dirs, &features))?;
        let flags = ext4::MOUNT_FLAGS;
        match mount::mount("blockd", &place, "overlay", flags, options.as_c_str()) {
            Ok(()) => {
                target.check_place()?;
                if features.len() == FEATURES.len() {
                    return turned_off(mountpoint);
                }
                return Ok(warnings(|feature| !features.contains(feature)));
            }
            Err(Errno::INVAL) => {}
            Err(error) => return Err(mount_error(dirs, mountpoint, error)),
        }
    }
    Err(mount_error(dirs, mountpoint, Errno::INVAL))
}

fn mount_error(dirs: &OverlayDirs, mountpoint: &Path, error: Errno) -> anyhow::Error {
    let upper = dirs.upper.display();
    let reason = match error {
        Errno::NODEV => "this kernel has no overlayfs; attach with --read-only".to_owned(),
        Errno::PERM | Errno::ACCESS => {
            "mounting is not allowed here: CAP_SYS_ADMIN is needed".to_owned()
        }
        Errno::INVAL if dirs.volatile && !has_volatile() => {
            "--volatile needs Linux 5.10 or newer: leave it out".to_owned()
        }
        Errno::INVAL => format!(
            "the file system of {upper} cannot hold an upper layer (overlayfs itself cannot); \
             choose another directory with --state, or keep changes in memory with --upper tmpfs"
        ),
        _ => "the mount failed".to_owned(),
    };
    let mountpoint = mountpoint.display();
    anyhow!(error).context(format!(
        "cannot mount the overlay at {mountpoint}: {reason}"
    ))
}

/// Whether this kernel has the option `volatile`; one of an unknown release is taken
/// to have it.
fn has_volatile() -> bool {
    let Ok(release) = probe::kernel_release() else {
        return true;
    };
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 10),
        _ => true,
    }
}

/// All features first, then as few as possible left out.
fn subsets() -> Vec<Vec<Feature>> {
    let mut subsets: Vec<Vec<Feature>> = (0..1_u8 << FEATURES.len())
        .map(|left_out| {
            let used = FEATURES
                .iter()
                .zip(0..)
                .filter(|(_, bit)| left_out & (1 << bit) == 0);
            used.map(|(feature, _)| *feature).collect()
        })
        .collect();
    subsets.sort_by_key(|features| FEATURES.len() - features.len());
    subsets
}

fn options(lower: &Path, dirs: &OverlayDirs, features: &[Feature]) -> Vec<u8> {
    let layers = [
        ("lowerdir", lower),
        ("upperdir", &dirs.upper),
        ("workdir", &dirs.work),
    ];
    let layers = layers.map(|(key, path)| [key.as_bytes(), b"=", &escape(path)].concat());
    let features = features
        .iter()
        .map(|feature| format!("{}=on", feature.name).into_bytes());
    let volatile = dirs.volatile.then(|| b"volatile".to_vec());
    layers
        .into_iter()
        .chain(features)
        .chain(volatile)
        .collect::<Vec<_>>()
        .join(&b',')
}

/// Escapes what overlayfs takes for a separator: commas and colons.
fn escape(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes
        .iter()
        .flat_map(|byte| match byte {
            b'\\' | b',' | b':' => vec![b'\\', *byte],
            byte => vec![*byte],
        })
        .collect()
}

fn warnings(missing: impl Fn(&Feature) -> bool) -> Vec<String> {
    let missing = FEATURES.iter().filter(|feature| missing(feature));
    missing
        .map(|Feature { name, without, .. }| {
            format!("overlayfs is mounted without {name}=on: {without}")
        })
        .collect()
}

/// Warnings for the features that the kernel accepted and then turned off, since
/// the file system of the upper layer cannot do them.
fn turned_off(mountpoint: &Path) -> Result<Vec<String>> {
    let mounts = Mounts::read()?;
    let Some(mount) = mounts.at(mountpoint) else {
        let mountpoint = mountpoint.display();
        bail!("the overlay at {mountpoint} was unmounted by another program: attach again");
    };
    Ok(warnings(|feature| {
        is_off(feature, &mount.options, is_on_by_default(feature))
    }))
}

/// A parameter that is not there is one that this kernel does not know.
fn is_on_by_default(feature: &Feature) -> bool {
    let path = format!("/sys/module/overlay/parameters/{}", feature.parameter);
    fs::read_to_string(path).is_ok_and(|value| value.starts_with('Y'))
}

/// mountinfo has an option only where it differs from the default.
fn is_off(feature: &Feature, shown: &str, on_by_default: bool) -> bool {
    let mut shown = shown.split(',').filter_map(|option| option.split_once('='));
    match shown.find(|(key, _)| *key == feature.name) {
        Some((_, value)) => value == "off" || value == "nofollow",
        None => !on_by_default,
    }
}

/// Whether a mount is the overlay of this mountpoint.
pub(crate) fn is_of(dir: &AttachmentDir, mount: &Mount) -> bool {
    let has = |upper: &Path| {
        let escaped = String::from_utf8_lossy(&escape(upper)).into_owned();
        [escaped, upper.to_string_lossy().into_owned()]
            .iter()
            .any(|upper| mount.options.contains(&format!("upperdir={upper},")))
    };
    let kinds = [UpperKind::State, UpperKind::Tmpfs { size: None }];
    let mut dirs = kinds.iter().filter_map(|kind| OverlayDirs::of(dir, *kind));
    mount.kind == "overlay" && dirs.any(|dirs| has(&dirs.upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_options_are_tried_first_and_none_last() {
        let dir = AttachmentDir::new(Path::new("/st,a:te"), Path::new("/m"));
        let dirs = OverlayDirs::in_directory(&dir.path());
        let of = |features: &Vec<Feature>| options(Path::new("/l:x"), &dirs, features);
        let tried: Vec<String> = subsets()
            .iter()
            .map(|features| String::from_utf8(of(features)).unwrap())
            .collect();
        let directory = dir.path().display().to_string().replace(',', "\\,");
        let directory = directory.replace(':', "\\:");
        let layers = format!("lowerdir=/l\\:x,upperdir={directory}/upper,workdir={directory}/work");
        assert_eq!(
            tried[0],
            format!("{layers},metacopy=on,redirect_dir=on,xino=on")
        );
        assert_eq!(tried[1], format!("{layers},redirect_dir=on,xino=on"));
        assert_eq!(tried.len(), 8);
        assert_eq!(tried[7], layers);
        let dirs = OverlayDirs {
            volatile: true,
            ..dirs
        };
        let volatile = options(Path::new("/l:x"), &dirs, &[]);
        assert_eq!(String::from_utf8(volatile).unwrap(), layers + ",volatile");
    }

    #[test]
    fn every_missing_option_has_its_warning() {
        assert_eq!(warnings(|_| false), Vec::<String>::new());
        let all = warnings(|_| true);
        assert_eq!(all.len(), 3);
        assert!(all[0].contains("metacopy=on") && all[0].contains("packs"));
    }

    #[test]
    fn a_feature_that_the_kernel_turned_off_is_found() {
        let metacopy = &FEATURES[0];
        assert!(!is_off(metacopy, "rw,redirect_dir=on,metacopy=on", false));
        assert!(is_off(metacopy, "rw", false));
        assert!(!is_off(metacopy, "rw", true));
        assert!(is_off(metacopy, "rw,metacopy=off", true));
    }
}
