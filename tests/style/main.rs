//! The rules of the house that no lint knows: which file may use which, how
//! long a file may be, what a file may be called.

#[cfg(test)]
mod arrows;
#[cfg(test)]
mod files;
#[cfg(test)]
mod names;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod source;
#[cfg(test)]
mod uses;
