//! Tests that need blockd, and root for its mounts: `make e2e` runs them.

mod gate;
