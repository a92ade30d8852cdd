//! What every upstream must show: one disk, by its canonical name.

use blockd_nbd::{ExportInfo, client::Offer};

/// The disk, as the first upstream that answered has described it.
#[derive(Clone, Debug)]
pub(in crate::relay) struct Disk(ExportInfo);

impl Disk {
    /// The disk of an offer, or why it cannot be relayed.
    pub(in crate::relay) fn of(offer: &Offer) -> Result<Self, String> {
        named(offer)?;
        Ok(Self(offer.info.clone()))
    }

    pub(in crate::relay) fn info(&self) -> &ExportInfo {
        &self.0
    }

    /// The name without the parts that say what was made of the commit once.
    /// A server that never opened the commit refuses the canonical name; asked
    /// for this one it makes its own, and has the canonical one if both agree.
    pub(super) fn anew(&self) -> String {
        let made = |part: &&str| !part.starts_with("layout=") && !part.starts_with("snapshot=");
        let parts: Vec<_> = self.0.name.split(':').filter(made).collect();
        parts.join(":")
    }

    /// Why this offer is not the same disk.
    pub(super) fn refuses(&self, offer: &Offer) -> Result<(), String> {
        named(offer)?;
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
                "it reads blocks of at least {} bytes, and we promised {}",
                theirs.block_size.minimum, ours.block_size.minimum
            ));
        }
        Ok(())
    }
}

fn named(offer: &Offer) -> Result<(), String> {
    if offer.named {
        return Ok(());
    }
    let text = "it does not say which export it shows (NBD_INFO_NAME), so that after a reconnect nothing would tell whether it is the same disk";
    Err(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockd_nbd::BlockSize;

    #[test]
    fn a_commit_is_asked_for_anew_with_its_options() {
        let disk = |name: &str| {
            Disk(ExportInfo {
                name: name.into(),
                description: String::new(),
                size: 0,
                block_size: BlockSize::default(),
            })
        };
        let canonical = "a/b@0123:layout=1:snapshot=77:uid=5:path=x/y";
        assert_eq!(disk(canonical).anew(), "a/b@0123:uid=5:path=x/y");
        assert_eq!(disk("other").anew(), "other");
    }
}
