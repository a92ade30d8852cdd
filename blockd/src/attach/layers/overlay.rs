//! The overlay that puts the diff over the lower layer.
//!
//! The options matter to git. `metacopy`: it touches the time of a pack when
//! it writes an object that the pack has, which would copy the whole pack.
//! `redirect_dir`: `git mv` of a directory. `xino`: inode numbers that stay.

use std::{ffi::CString, fs, path::Path};

use anyhow::{Result, anyhow};
use rustix::{io::Errno, mount::mount};

use crate::attach::{
    layers::{
        lower::ext4,
        mounts::Mount,
        upper::{Layers, Upper},
    },
    state::attachment_dir::Place,
};

/// An option of overlayfs, and what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Feature {
    name: &'static str,
    /// Its default, in `/sys/module/overlay/parameters`.
    parameter: &'static str,
    without: &'static str,
}

const FEATURES: [Feature; 3] = [
    Feature {
        name: "metacopy",
        parameter: "metacopy",
        without: "git may copy whole packs into the diff when it writes an object they have",
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

/// Mounts the overlay, with all features that this kernel knows; returns those
/// it refuses, as sentences.
pub(crate) fn mount_over(lower: &Path, layers: &Layers, mountpoint: &Path) -> Result<Vec<String>> {
    for features in subsets() {
        let options = CString::new(options(lower, layers, &features))?;
        let flags = ext4::flags();
        match mount("blockd", mountpoint, "overlay", flags, options.as_c_str()) {
            Ok(()) => return Ok(warnings(|feature| !features.contains(feature))),
            Err(Errno::INVAL) => {}
            Err(error) => return Err(refused(layers, mountpoint, error)),
        }
    }
    Err(refused(layers, mountpoint, Errno::INVAL))
}

fn refused(layers: &Layers, mountpoint: &Path, error: Errno) -> anyhow::Error {
    let upper = layers.upper.display();
    let way_out = match error {
        Errno::NODEV => "this kernel has no overlayfs; --read-only does without".to_owned(),
        Errno::PERM | Errno::ACCESS => "mounting is not allowed here".to_owned(),
        Errno::INVAL => format!(
            "the file system of {upper} cannot hold an upper layer (overlayfs itself cannot); \
             choose another directory with --state, or keep changes in memory by --upper tmpfs"
        ),
        _ => "the mount failed".to_owned(),
    };
    let mountpoint = mountpoint.display();
    anyhow!(error).context(format!(
        "cannot mount the overlay at {mountpoint}: {way_out}"
    ))
}

/// All features first, then as few as possible left out.
fn subsets() -> Vec<Vec<Feature>> {
    let mut subsets: Vec<Vec<Feature>> = (0..1_u8 << FEATURES.len())
        .map(|left_out| {
            let kept = FEATURES
                .iter()
                .zip(0..)
                .filter(|(_, bit)| left_out & (1 << bit) == 0);
            kept.map(|(feature, _)| *feature).collect()
        })
        .collect();
    subsets.sort_by_key(|features| FEATURES.len() - features.len());
    subsets
}

fn options(lower: &Path, layers: &Layers, features: &[Feature]) -> Vec<u8> {
    let layers = [
        ("lowerdir", lower),
        ("upperdir", &layers.upper),
        ("workdir", &layers.work),
    ];
    let layers = layers.map(|(key, path)| [key.as_bytes(), b"=", &escape(path)].concat());
    let features = features
        .iter()
        .map(|feature| format!("{}=on", feature.name).into_bytes());
    layers
        .into_iter()
        .chain(features)
        .collect::<Vec<_>>()
        .join(&b',')
}

/// overlayfs splits at commas and colons, unless a backslash stands before.
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
            format!("overlayfs works without {name}=on: {without}")
        })
        .collect()
}

/// The features that the kernel took without a word and then turned off, since
/// the file system below cannot do them.
pub(crate) fn silently_off(mount: &Mount) -> Vec<String> {
    let on_by_default = |feature: &Feature| {
        let path = format!("/sys/module/overlay/parameters/{}", feature.parameter);
        fs::read_to_string(path).is_ok_and(|value| value.starts_with('Y'))
    };
    warnings(|feature| is_off(feature, &mount.options, on_by_default(feature)))
}

/// The kernel shows an option only where it is not the default.
fn is_off(feature: &Feature, shown: &str, on_by_default: bool) -> bool {
    let mut shown = shown.split(',').filter_map(|option| option.split_once('='));
    match shown.find(|(key, _)| *key == feature.name) {
        Some((_, value)) => value == "off" || value == "nofollow",
        None => !on_by_default,
    }
}

/// Whether a mount is this place's overlay.
pub(crate) fn is_ours(place: &Place, mount: &Mount) -> bool {
    let has = |upper: &Path| {
        let escaped = String::from_utf8_lossy(&escape(upper)).into_owned();
        [escaped, upper.to_string_lossy().into_owned()]
            .iter()
            .any(|upper| mount.options.contains(&format!("upperdir={upper},")))
    };
    let kinds = [Upper::State, Upper::Tmpfs { size: None }];
    mount.kind == "overlay"
        && kinds
            .iter()
            .any(|kind| has(&Layers::new(place, *kind).upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_options_are_tried_first_and_none_last() {
        let place = Place::new(Path::new("/st,a:te"), Path::new("/m"));
        let layers = Layers::new(&place, Upper::State);
        let of = |features: &Vec<Feature>| options(Path::new("/l:x"), &layers, features);
        let tried: Vec<String> = subsets()
            .iter()
            .map(|features| String::from_utf8(of(features)).unwrap())
            .collect();
        let directory = place.directory().display().to_string().replace(',', "\\,");
        let directory = directory.replace(':', "\\:");
        let layers = format!("lowerdir=/l\\:x,upperdir={directory}/upper,workdir={directory}/work");
        assert_eq!(
            tried[0],
            format!("{layers},metacopy=on,redirect_dir=on,xino=on")
        );
        assert_eq!(tried[1], format!("{layers},redirect_dir=on,xino=on"));
        assert_eq!(tried.len(), 8);
        assert_eq!(tried[7], layers);
    }

    #[test]
    fn every_missing_option_has_its_warning() {
        assert_eq!(warnings(|_| false), Vec::<String>::new());
        let all = warnings(|_| true);
        assert_eq!(all.len(), 3);
        assert!(all[0].contains("metacopy=on") && all[0].contains("packs"));
    }

    #[test]
    fn what_the_kernel_turned_off_is_noticed() {
        let metacopy = &FEATURES[0];
        assert!(!is_off(metacopy, "rw,redirect_dir=on,metacopy=on", false));
        assert!(is_off(metacopy, "rw", false));
        assert!(!is_off(metacopy, "rw", true));
        assert!(is_off(metacopy, "rw,metacopy=off", true));
    }
}
