//! blockd.
fn main() {}
