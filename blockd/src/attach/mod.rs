//! Attaching an export: device, read-only lower, local diff.
