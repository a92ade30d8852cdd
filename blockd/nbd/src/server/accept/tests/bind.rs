//! Listeners: addresses, files of Unix sockets, inherited sockets.

use super::*;

#[tokio::test]
async fn port_0_is_replaced_by_a_free_port() {
    let listeners = Listener::bind_tcp("127.0.0.1:0").await.unwrap();
    let running = Running::new(listeners, Limits::default(), memory());
    let [Bound::Tcp(address)] = *running.bound else {
        panic!("{:?}", running.bound)
    };
    assert_ne!(address.port(), 0);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.read_exact(&mut [0; GREETING.len()]).await.unwrap();
    running.end().await;
}

#[tokio::test]
async fn the_unspecified_address_accepts_ipv4_too() {
    let listeners = Listener::bind_tcp("[::]:0").await.unwrap();
    let running = Running::new(listeners, Limits::default(), memory());
    let [Bound::Tcp(address)] = *running.bound else {
        panic!("{:?}", running.bound)
    };
    for host in ["127.0.0.1", "::1"] {
        let mut stream = TcpStream::connect((host, address.port())).await.unwrap();
        stream.read_exact(&mut [0; GREETING.len()]).await.unwrap();
    }
    running.end().await;
}

#[tokio::test]
async fn a_failed_bind_names_the_address_and_what_to_do() {
    let taken = Listener::bind_tcp("127.0.0.1:0").await.unwrap();
    let address = taken[0].to_string();
    let texts = [
        (
            address.as_str(),
            "stop the server that listens there, or choose another port",
        ),
        (
            "192.0.2.1:10809",
            "choose an address of this machine, or [::] for all",
        ),
        (
            "no port",
            "give HOST:PORT, as in 127.0.0.1:10809 or [::]:10809",
        ),
    ];
    for (address, hint) in texts {
        let text = Listener::bind_tcp(address).await.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {address}: ")),
            "{text}"
        );
        assert!(text.ends_with(hint), "{text}");
    }
}

#[tokio::test]
async fn the_file_of_a_unix_socket_is_removed_at_the_end() {
    let (running, path, _directory) = Running::on_unix(Limits::default()).await;
    assert!(path.exists());
    running.end().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_unix_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    drop(unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind_unix(&path).await.unwrap();
    assert_eq!(*listener.bound(), Bound::Unix(path.clone()));
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_unix_socket_in_use_and_a_file_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _first = Listener::bind_unix(&socket).await.unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "precious").unwrap();
    let nowhere = directory.path().join("nowhere/socket");
    let cases = [
        (
            &socket,
            "another server listens there; stop that server, or choose another path",
        ),
        (
            &file,
            "a file that is not a socket is there; remove it, or choose another path",
        ),
        (&nowhere, "create its directory first"),
    ];
    for (path, end) in cases {
        let text = Listener::bind_unix(path).await.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {}: ", path.display())),
            "{text}"
        );
        assert!(text.ends_with(end), "{text}");
    }
    assert!(socket.exists());
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn a_file_that_replaced_the_socket_is_left_alone() {
    let (running, path, _directory) = Running::on_unix(Limits::default()).await;
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    running.end().await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn sockets_for_another_process_are_not_taken() {
    assert!(inherited_listeners(None, None).unwrap().is_empty());
    assert!(
        inherited_listeners(Some("1"), Some("3"))
            .unwrap()
            .is_empty()
    );
    let own = std::process::id().to_string();
    assert!(inherited_listeners(Some(&own), None).unwrap().is_empty());
    let text = inherited_listeners(Some(&own), Some("many"))
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("cannot listen on LISTEN_FDS: \"many\" is not a number"),
        "{text}"
    );
}
