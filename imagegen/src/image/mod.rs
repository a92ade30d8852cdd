//! Where git and ext4 meet.
