use super::*;

/// The lengths that proto.md gives or implies.
#[test]
fn messages_have_the_lengths_of_the_specification() {
    let lengths = [
        (size_of::<Hello>(), 18),
        (size_of::<ClientHello>(), 4),
        (size_of::<OptionHeader>(), 16),
        (size_of::<OptionReply>(), 20),
        (size_of::<ExportNameReply>(), 10),
        (size_of::<InfoExport>(), 12),
        (size_of::<InfoBlockSize>(), 14),
        (size_of::<Request>(), 28),
        (size_of::<SimpleReply>(), 16),
        (size_of::<StructuredReply>(), 20),
        (size_of::<OffsetHole>(), 12),
        (size_of::<BlockDescriptor>(), 8),
        (size_of::<ErrorChunk>(), 6),
    ];
    for (is, should) in lengths {
        assert_eq!(is, should);
    }
}
