//! The data of options (proto.md, "Option types"). Pure: bytes in, parts or a
//! text for `NBD_REP_ERR_INVALID` out.

use zerocopy::FromBytes;
use zerocopy::byteorder::network_endian::{U16, U32};

use crate::wire::MAX_STRING;

/// `NBD_OPT_INFO` and `NBD_OPT_GO`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InfoRequest<'a> {
    pub(super) name: &'a str,
    /// Big-endian pairs.
    information: &'a [U16],
}

impl InfoRequest<'_> {
    /// Whether the client asks for `NBD_INFO_…`.
    pub(super) fn wants(&self, information: u16) -> bool {
        self.information
            .iter()
            .any(|wanted| wanted.get() == information)
    }
}

/// `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MetaRequest<'a> {
    pub(super) name: &'a str,
    pub(super) queries: Vec<&'a str>,
}

/// The data of `NBD_OPT_INFO` and `NBD_OPT_GO`.
pub(super) fn info_request(data: &[u8]) -> Result<InfoRequest<'_>, String> {
    let (name, rest) = counted_string(data, "export name")?;
    let (count, rest) = U16::read_from_prefix(rest)
        .map_err(|_| "the number of information requests is missing".to_owned())?;
    let information =
        <[U16]>::ref_from_bytes_with_elems(rest, count.get().into()).map_err(|_| {
            format!(
                "{} bytes do not hold {count} information requests",
                rest.len()
            )
        })?;
    Ok(InfoRequest { name, information })
}

/// The data of `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`.
pub(super) fn meta_request(data: &[u8]) -> Result<MetaRequest<'_>, String> {
    let (name, rest) = counted_string(data, "export name")?;
    let (count, mut rest) = number(rest, "number of queries")?;
    let mut queries = Vec::new();
    for _ in 0..count {
        let (query, after) = counted_string(rest, "query")?;
        if !query.contains(':') {
            return Err(format!("the query {query:?} has no namespace"));
        }
        queries.push(query);
        rest = after;
    }
    if rest.is_empty() {
        Ok(MetaRequest { name, queries })
    } else {
        Err(format!("{} bytes follow the last query", rest.len()))
    }
}

/// A string that fills all of `bytes` ("Conventions").
pub(super) fn string<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, String> {
    if bytes.len() > MAX_STRING {
        return Err(format!(
            "the {what} has {} bytes, {MAX_STRING} are most",
            bytes.len()
        ));
    }
    let text = str::from_utf8(bytes).map_err(|_| format!("the {what} is not UTF-8"))?;
    if text.contains('\0') {
        return Err(format!("the {what} holds a NUL"));
    }
    Ok(text)
}

/// A length, a string, and what follows.
fn counted_string<'a>(data: &'a [u8], what: &str) -> Result<(&'a str, &'a [u8]), String> {
    let (length, rest) = number(data, what)?;
    let (bytes, rest) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| {
            format!(
                "the {what} is said to have {length} bytes, {} are there",
                rest.len()
            )
        })?;
    Ok((string(bytes, what)?, rest))
}

fn number<'a>(data: &'a [u8], what: &str) -> Result<(u32, &'a [u8]), String> {
    let (number, rest) =
        U32::read_from_prefix(data).map_err(|_| format!("the {what} is missing"))?;
    Ok((number.get(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire;

    #[test]
    fn an_information_request_is_taken_apart() {
        let request = info_request(b"\0\0\0\x01x\0\x02\0\x03\0\x01").unwrap();
        assert_eq!(request.name, "x");
        assert!(request.wants(wire::NBD_INFO_BLOCK_SIZE));
        assert!(!request.wants(wire::NBD_INFO_DESCRIPTION));
    }

    #[test]
    fn bad_data_is_named() {
        let cases: [(&[u8], &str); 8] = [
            (b"", "the export name is missing"),
            (b"\0\0\0", "the export name is missing"),
            (
                b"\xff\xff\xff\xffx",
                "the export name is said to have 4294967295 bytes, 1 are there",
            ),
            (b"\0\0\0\x01\xff\0\0", "the export name is not UTF-8"),
            (b"\0\0\0\x01\0\0\0", "the export name holds a NUL"),
            (b"\0\0\0\0", "the number of information requests is missing"),
            (
                b"\0\0\0\0\0\x02\0\0",
                "2 bytes do not hold 2 information requests",
            ),
            (
                b"\0\0\0\0\0\0\0",
                "1 bytes do not hold 0 information requests",
            ),
        ];
        for (data, text) in cases {
            assert_eq!(info_request(data).unwrap_err(), text);
        }
    }

    #[test]
    fn a_name_of_4097_bytes_is_too_long() {
        let data = [&4097_u32.to_be_bytes()[..], &[b'x'; 4097], &[0, 0]].concat();
        assert_eq!(
            info_request(&data).unwrap_err(),
            "the export name has 4097 bytes, 4096 are most"
        );
    }

    #[test]
    fn bad_queries_are_named() {
        let cases: [(&[u8], &str); 4] = [
            (b"\0\0\0\0", "the number of queries is missing"),
            (b"\0\0\0\0\0\0\0\x01", "the query is missing"),
            (
                b"\0\0\0\0\0\0\0\x01\0\0\0\x01x",
                "the query \"x\" has no namespace",
            ),
            (b"\0\0\0\0\0\0\0\0\0", "1 bytes follow the last query"),
        ];
        for (data, text) in cases {
            assert_eq!(meta_request(data).unwrap_err(), text);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            info_request(&data).ok();
            meta_request(&data).ok();
        }
    }
}
