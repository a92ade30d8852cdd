//! What the tests share: fixtures made by scripts, servers that end with their
//! test, mounts that are taken down again, and judges that are not ours.

mod blockd;
mod certificates;
mod command;
mod compare;
mod fixture;
mod git;
mod guest;
mod image;
mod machine;
mod model;
mod mounted;
pub(crate) mod peer;
mod twins;

pub(crate) use blockd::{TestBlockd, binary, blockd, escaped, history};
pub(crate) use certificates::Certificates;
pub(crate) use command::{DISTRO_PYTHON, fails, program, requires, run, stdout};
pub(crate) use compare::Tree;
pub(crate) use fixture::{Fixture, TestRepo};
pub(crate) use git::{HERMETIC, git, hermetic};
pub(crate) use guest::GuestRun;
pub(crate) use image::{TestImage, sha256_of};
pub(crate) use machine::{TOKEN, TestMachine, agent};
pub(crate) use model::Model;
pub(crate) use mounted::{Mounted, requires_mounting};
pub(crate) use peer::Peer;
pub(crate) use twins::{Twin, Twins};
