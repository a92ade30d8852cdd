//! What every upstream must export: one disk, by its canonical name.

use blockd_nbd::{ExportInfo, client::Offer};

/// The disk, as the first upstream that answered has described it.
#[derive(Clone, Debug)]
pub(in crate::relay) struct Disk(ExportInfo);

impl Disk {
    /// The disk of an offer.
    ///
    /// # Errors
    ///
    /// The offer has no canonical name.
    pub(in crate::relay) fn of(offer: &Offer) -> Result<Self, String> {
        check_named(offer)?;
        Ok(Self(offer.info.clone()))
    }

    pub(in crate::relay) fn info(&self) -> &ExportInfo {
        &self.0
    }

    /// The name without the layout and the snapshot. A server that has never
    /// opened the commit refuses the canonical name; by this one it makes its
    /// own snapshot, and has the canonical name if both are the same.
    pub(super) fn name_of_commit(&self) -> String {
        let stays = |part: &&str| !part.starts_with("layout=") && !part.starts_with("snapshot=");
        let parts: Vec<_> = self.0.name.split(':').filter(stays).collect();
        parts.join(":")
    }

    /// Checks that an offer is of this disk.
    ///
    /// # Errors
    ///
    /// What is different.
    pub(super) fn check(&self, offer: &Offer) -> Result<(), String> {
        check_named(offer)?;
        let (ours, theirs) = (&self.0, &offer.info);
        if theirs.name != ours.name {
            return Err(format!(
                "it shows {:?}, and {:?} was asked for: two commits are never mixed",
                theirs.name, ours.name
            ));
        }
        if theirs.size != ours.size {
            return Err(format!(
                "its disk has {} bytes, and that of {:?} has {}: it is another disk of the same name",
                theirs.size, ours.name, ours.size
            ));
        }
        if theirs.block_size.minimum > ours.block_size.minimum {
            return Err(format!(
                "it reads blocks of at least {} bytes, and {} were promised to local clients",
                theirs.block_size.minimum, ours.block_size.minimum
            ));
        }
        Ok(())
    }
}

fn check_named(offer: &Offer) -> Result<(), String> {
    if offer.named {
        return Ok(());
    }
    Err(
        "it does not send the export's canonical name (NBD_INFO_NAME), and without that a \
         reconnect could go to another disk unseen"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockd_nbd::BlockSize;

    #[test]
    fn the_name_of_the_commit_has_its_options() {
        let disk = |name: &str| {
            Disk(ExportInfo {
                name: name.into(),
                description: String::new(),
                size: 0,
                block_size: BlockSize::default(),
            })
        };
        let canonical = "a/b@0123:layout=1:snapshot=77:uid=5:path=x/y";
        assert_eq!(disk(canonical).name_of_commit(), "a/b@0123:uid=5:path=x/y");
        assert_eq!(disk("other").name_of_commit(), "other");
    }
}
