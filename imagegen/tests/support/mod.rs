//! Programs that tests run: git, which writes and checks repositories, and
//! e2fsprogs, which check images. Included by path by the unit tests, the
//! integration tests, the fuzz targets and the benchmarks.

pub(crate) mod e2fsprogs;
pub(crate) mod git;
