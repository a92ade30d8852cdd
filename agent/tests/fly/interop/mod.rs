//! With blockd, root and its mounts under it: these run where `make e2e` does.

mod gate;
