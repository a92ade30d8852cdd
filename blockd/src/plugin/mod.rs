//! Plugins of container engines: the host attaches, and the container gets a bind mount,
//! for which it needs no privileges.

pub mod docker;
