use std::env;

use super::*;

fn tcp_uri(host: &str, port: u16, export: &str) -> NbdUri {
    let address = Address::Tcp {
        host: host.to_owned(),
        port,
        tls: None,
    };
    NbdUri {
        address,
        export: export.to_owned(),
    }
}

fn reason(uri: &str) -> String {
    uri.parse::<NbdUri>().unwrap_err().to_string()
}

#[test]
fn hosts_and_ports() {
    assert_eq!("nbd://h/e".parse(), Ok(tcp_uri("h", 10809, "e")));
    assert_eq!("nbd://h:1/e".parse(), Ok(tcp_uri("h", 1, "e")));
    assert_eq!("nbd://h".parse(), Ok(tcp_uri("h", 10809, "")));
    assert_eq!("nbd:///e".parse(), Ok(tcp_uri("localhost", 10809, "e")));
    assert_eq!("nbd://[::1]/e".parse(), Ok(tcp_uri("::1", 10809, "e")));
    assert_eq!(
        "nbd://[fe80::1%25eth0]:7/".parse(),
        Ok(tcp_uri("fe80::1%eth0", 7, ""))
    );
}

#[test]
fn names_may_hold_at_signs_colons_and_slashes() {
    let name = "group/repo.git@refs/heads/main~2:uid=1000:path=a/b";
    assert_eq!(
        format!("nbd://h/{name}").parse(),
        Ok(tcp_uri("h", 10809, name))
    );
    assert_eq!(
        "nbd://h//abs%20x%3F%23".parse(),
        Ok(tcp_uri("h", 10809, "/abs x?#"))
    );
    assert_eq!("nbd://h/%C3%A9".parse(), Ok(tcp_uri("h", 10809, "é")));
}

#[test]
fn unix_sockets() {
    let uri: NbdUri = "nbd+unix:///r@main?socket=/run/b%20d.sock".parse().unwrap();
    assert_eq!(uri.address, Address::Unix("/run/b d.sock".into()));
    assert_eq!(uri.export, "r@main");
    for bad in [
        "nbd+unix:///e",
        "nbd+unix:///e?socket=",
        "nbd+unix:///e?socket=a&b=c",
    ] {
        assert!(reason(bad).contains("?socket=PATH"), "{bad}");
    }
    assert!(reason("nbd+unix://host/e?socket=/s").contains("has no host"));
}

#[test]
fn tls_and_its_certificates() {
    let of = |certificates: Option<&str>| {
        let tls = Some(Tls {
            certificates: certificates.map(PathBuf::from),
        });
        let (host, port) = ("h".to_owned(), DEFAULT_PORT);
        let address = Address::Tcp { host, port, tls };
        let export = "r@main".to_owned();
        Ok(NbdUri { address, export })
    };
    assert_eq!("nbds://h/r@main".parse(), of(None));
    let uri = "nbds://h/r@main?tls-certificates=/etc/pki/b%20d";
    assert_eq!(uri.parse(), of(Some("/etc/pki/b d")));
    for uri in [of(None), of(Some("/a b?&"))] {
        assert_eq!(uri.clone().unwrap().to_string().parse(), uri);
    }
}

#[test]
fn paths_are_relative_to_the_current_directory() {
    let here = env::current_dir().unwrap();
    for (uri, path) in [
        ("nbd+unix:///e?socket=", "b%20d/s"),
        ("nbds://h:1/e?tls-certificates=", "pki"),
    ] {
        let absolute = |path: &str| {
            let uri: NbdUri = format!("{uri}{path}").parse().unwrap();
            uri.absolute().unwrap().to_string()
        };
        let expected = format!("{uri}{}/{path}", encode_path(&here));
        assert_eq!(absolute(path), expected);
        assert_eq!(absolute("/x/../s"), format!("{uri}/x/../s"));
    }
    let tcp = tcp_uri("h", 1, "a/b");
    assert_eq!(tcp.clone().absolute().unwrap(), tcp);
}

#[test]
fn malformed_uris_are_errors_with_a_reason() {
    assert!(reason("nbds+unix:///e?socket=/s").contains("needs no TLS"));
    assert!(reason("nbds://h/e?tls-certificates=").contains("is empty"));
    assert!(reason("nbds://h/e?tls=1").contains("tls=1"));
    assert!(reason("nbds://h/e?tls-certificates=/a&b=c").contains("b=c"));
    assert!(reason("http://h/e").contains("must begin with nbd://"));
    assert!(reason("h/e").contains("must begin with nbd://"));
    assert!(reason("nbd://::1/e").contains("brackets"));
    assert!(reason("nbd://[::1/e").contains("not closed"));
    assert!(reason("nbd://[::1]x/e").contains("may not follow"));
    assert!(reason("nbd://h:99999/e").contains("not a TCP port"));
    assert!(reason("nbd://u@h/e").contains("user names"));
    assert!(reason("nbd://h/e?tls=1").contains("tls=1"));
    assert!(reason("nbd://h/e#f").contains("%23"));
    for (bad, why) in [
        ("nbd://h/%", "two hex digits"),
        ("nbd://h/%1", "two hex digits"),
        ("nbd://h/%%41", "two hex digits"),
        ("nbd://h/%zz", "two hex digits"),
        ("nbd://h/%ff", "UTF-8"),
        ("nbd://h/%00", "NUL"),
        ("nbd+unix:///e?socket=/%00", "NUL"),
    ] {
        assert!(reason(bad).contains(why), "{bad}");
    }
}

#[test]
fn display_and_parse_are_inverse() {
    for uri in [
        tcp_uri("h", 1, "r@x:uid=1/é ?#%"),
        tcp_uri("::1", 10809, ""),
        NbdUri {
            address: Address::Unix(OsString::from_vec(b"/a b/\xff".to_vec()).into()),
            export: "r@main".to_owned(),
        },
    ] {
        assert_eq!(uri.to_string().parse(), Ok(uri));
    }
}
