//! The metadata of machines: all that coordinators know of a machine besides
//! what the platform does. Setting them makes no new version of the machine.

use std::{collections::BTreeMap, time::SystemTime};

use crate::fly::{Error, Machine};

/// What the machine is for.
pub(super) const ROLE: &str = "role";
/// The role of agents.
pub(super) const AGENT: &str = "agent";
/// A hash of what the agent works on.
pub(super) const KEY: &str = "key";
/// The task that the agent works for; an agent without one is free.
pub(super) const TASK: &str = "task";
/// Who had the machine made, if not a manager.
pub(super) const MADE_BY: &str = "made-by";
/// A request with the callers' token had.
pub(super) const CALLER: &str = "caller";
/// The time at which a sweep destroys the machine, in seconds since 1970.
pub(super) const EXPIRES: &str = "expires";
/// Of the template: when the token was issued that promoted its image, in
/// seconds since 1970.
pub(super) const PROMOTED: &str = "promoted";
/// Set while the holder of the machine's lease gives it another image.
pub(super) const ROLLING: &str = "rolling";
/// The image that the machine had before this one, which has not become ready
/// here yet.
pub(super) const BEFORE: &str = "image-before";
/// An image that did not become ready here.
pub(super) const REFUSED: &str = "image-refused";
/// The id of the lost machine in whose place this one was made.
pub(super) const REPLACES: &str = "replaces";
/// Of a lost machine: the id of the one in its place.
pub(super) const REPLACED_BY: &str = "replaced-by";
/// Set on a machine in the place of another until it has become ready.
pub(super) const UNPROVEN: &str = "unproven";

/// The value of a key, unless it is empty.
pub(super) fn value<'a>(machine: &'a Machine, key: &str) -> Option<&'a str> {
    machine.metadata(key).filter(|value| !value.is_empty())
}

/// The value of a key as a time, in seconds since 1970.
///
/// # Errors
///
/// [`Error::Invalid`] when it is not a number.
pub(super) fn time(machine: &Machine, key: &str) -> Result<Option<u64>, Error> {
    time_in(&machine.config.metadata, key).map_err(|value| {
        Error::Invalid(format!(
            "machine {} has the metadata {key}={value}, which is not a number of seconds: set it anew",
            machine.id
        ))
    })
}

/// [`time`] in metadata that may belong to no machine yet; the error is the value.
pub(super) fn time_in<'a>(
    metadata: &'a BTreeMap<String, String>,
    key: &str,
) -> Result<Option<u64>, &'a str> {
    let value = metadata.get(key).filter(|value| !value.is_empty());
    value
        .map(|value| value.parse().map_err(|_| value.as_str()))
        .transpose()
}

/// The present time, in seconds since 1970.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("the clock is set to after 1970").as_secs()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{EXPIRES, time_in};

    #[test]
    fn a_time_that_is_no_number_is_an_error_and_not_absent() {
        let with = |value: &str| BTreeMap::from([(EXPIRES.to_owned(), value.to_owned())]);
        assert_eq!(time_in(&with("12"), EXPIRES), Ok(Some(12)));
        assert_eq!(time_in(&with(""), EXPIRES), Ok(None));
        assert_eq!(time_in(&BTreeMap::new(), EXPIRES), Ok(None));
        assert_eq!(time_in(&with("soon"), EXPIRES), Err("soon"));
    }
}
