//! Reading git: repositories, objects, snapshots, and the synthesized `.git`.
