//! The data of options (proto.md, "Option types"): bytes to fields, or to the
//! message of `NBD_REP_ERR_INVALID`.

use zerocopy::{
    FromBytes,
    byteorder::network_endian::{U16, U32},
};

use crate::{string::parse_string, width::to_usize};

/// `NBD_OPT_INFO` and `NBD_OPT_GO`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InfoRequest<'a> {
    pub(super) name: &'a str,
    /// `NBD_INFO_…`, as received.
    information: &'a [U16],
}

impl InfoRequest<'_> {
    /// Whether the client requests this `NBD_INFO_…`.
    pub(super) fn contains(&self, information: u16) -> bool {
        let mut requests = self.information.iter();
        requests.any(|request| request.get() == information)
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
    let information = <[U16]>::ref_from_bytes_with_elems(rest, count.get().into())
        .map_err(|_| format!("{} bytes are not {count} information requests", rest.len()))?;
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

/// A string that fills all of `bytes`; `what` names it in the message.
pub(super) fn string<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, String> {
    parse_string(bytes).map_err(|error| format!("the {what} {error}"))
}

/// A string behind its length, and what follows.
fn counted_string<'a>(data: &'a [u8], what: &str) -> Result<(&'a str, &'a [u8]), String> {
    let (length, rest) = number(data, what)?;
    let (bytes, rest) = rest.split_at_checked(to_usize(length)).ok_or_else(|| {
        format!(
            "the length of the {what} is {length}, and {} bytes follow",
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
    fn an_information_request_is_parsed() {
        let request = info_request(b"\0\0\0\x01x\0\x02\0\x03\0\x01").unwrap();
        assert_eq!(request.name, "x");
        assert!(request.contains(wire::NBD_INFO_BLOCK_SIZE));
        assert!(!request.contains(wire::NBD_INFO_DESCRIPTION));
    }

    #[test]
    fn malformed_data_is_an_error_that_says_why() {
        let cases: [(&[u8], &str); 8] = [
            (b"", "the export name is missing"),
            (b"\0\0\0", "the export name is missing"),
            (
                b"\xff\xff\xff\xffx",
                "the length of the export name is 4294967295, and 1 bytes follow",
            ),
            (b"\0\0\0\x01\xff\0\0", "the export name is not UTF-8"),
            (b"\0\0\0\x01\0\0\0", "the export name contains a NUL"),
            (b"\0\0\0\0", "the number of information requests is missing"),
            (
                b"\0\0\0\0\0\x02\0\0",
                "2 bytes are not 2 information requests",
            ),
            (b"\0\0\0\0\0\0\0", "1 bytes are not 0 information requests"),
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
            "the export name has 4097 bytes, the maximum is 4096"
        );
    }

    #[test]
    fn malformed_queries_are_an_error_that_says_why() {
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
        fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            info_request(&data).ok();
            meta_request(&data).ok();
        }
    }
}
