//! The progress of a hydration as text.

use std::fmt;

use blockd_nbd::printable;

use crate::{
    relay::{CacheStatus, Hydration},
    units::show_size,
};

/// Prints the progress of a hydration.
pub(crate) struct Progress<'a>(pub(crate) &'a CacheStatus);

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CacheStatus {
            state,
            hydrated,
            of,
            reason,
            ..
        } = self.0;
        let reason = printable(reason.as_deref().unwrap_or("see the log of the relay"));
        match state {
            Hydration::Hydrated => {
                write!(
                    f,
                    "hydrated ({}): no server is needed any more",
                    show_size(*of)
                )
            }
            Hydration::Hydrating => write!(f, "hydrated {}", part(*hydrated, *of)),
            Hydration::Incomplete => {
                let part = part(*hydrated, *of);
                write!(f, "hydrated {part}, the rest cannot be read: {reason}")
            }
            Hydration::Failed => write!(f, "not hydrated: {reason}"),
        }
    }
}

/// `37% (120 of 320 MiB)`; a part is never rounded up to 100%.
fn part(hydrated: u64, of: u64) -> String {
    let percent = u128::from(hydrated) * 100 / u128::from(of.max(1));
    let (have, all) = (show_size(hydrated), show_size(of));
    match (have.split_once(' '), all.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => {
            format!("{percent}% ({number} of {all})")
        }
        _ => format!("{percent}% ({have} of {all})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sizes_have_one_unit_where_possible() {
        assert_eq!(part(120 << 20, 320 << 20), "37% (120 of 320 MiB)");
        assert_eq!(part(0, 320 << 20), "0% (0 bytes of 320 MiB)");
        assert_eq!(part((1 << 30) - 1, 1 << 30), "99% (1023 of 1024 MiB)");
        assert_eq!(part(0, 0), "0% (0 of 0 bytes)");
    }
}
