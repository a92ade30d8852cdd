//! The double itself, where no other test would notice a mistake in it.

use std::net::SocketAddr;

use axum::{Router, http::HeaderMap, response::IntoResponse};
use reqwest::Client;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    fleet::{Fleet, under_both},
    platform::{APP, Cordoned, PORT},
};

/// A running machine that answers every request alike.
async fn answering(
    fleet: &Fleet,
    name: &str,
    answer: impl Fn(&str) -> (HeaderMap, String),
) -> String {
    let id = fleet.stopped(name);
    let answer = answer(&id);
    let ip = fleet.platform.change(&id, |machine| {
        machine.state = "started";
        machine.ip
    });
    let listener = TcpListener::bind(SocketAddr::new(ip, PORT)).await.unwrap();
    let router = Router::new().fallback(async move || answer.into_response());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    id
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().unwrap());
    headers
}

async fn get(fleet: &Fleet, name: &str, value: &str) -> (u16, String) {
    let answer = fleet
        .request("GET", APP, "/")
        .header(name, value)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_preferences_and_replays() {
    under_both(async |fleet| {
        let plain = |text: &'static str| move |_: &str| (HeaderMap::new(), text.to_owned());
        let one = answering(&fleet, "one", plain("one")).await;
        let two = answering(&fleet, "two", plain("two")).await;
        assert_eq!(
            get(&fleet, "fly-force-instance-id", &two).await,
            (200, "two".into())
        );
        assert_eq!(
            get(&fleet, "fly-prefer-instance-id", &two).await,
            (200, "two".into())
        );
        assert_eq!(
            get(&fleet, "fly-prefer-instance-id", "none").await.0,
            200,
            "without the preferred machine any other one is used"
        );
        assert_eq!(get(&fleet, "fly-force-instance-id", "none").await.0, 404);
        let there = json!({ "app": APP, "instance": two }).to_string();
        let json = answering(&fleet, "json", |_| {
            (
                headers("content-type", "application/vnd.fly.replay+json"),
                there.clone(),
            )
        });
        let json = json.await;
        assert_eq!(
            get(&fleet, "fly-force-instance-id", &json).await,
            (200, "two".into())
        );
        let round = answering(&fleet, "round", |id| {
            (
                headers("fly-replay", &format!("app={APP};instance={id}")),
                String::new(),
            )
        });
        let (status, message) = get(&fleet, "fly-force-instance-id", &round.await).await;
        assert!(
            status == 502 && message.contains("PA02"),
            "{status} {message}"
        );
        let lost = answering(&fleet, "lost", |_| {
            (
                headers("fly-replay", &format!("app={APP};instance=none")),
                String::new(),
            )
        });
        assert_eq!(
            get(&fleet, "fly-force-instance-id", &lost.await).await.0,
            502
        );
        drop(one);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordoned_machine_gets_no_requests() {
    under_both(async |fleet| {
        let plain = |_: &str| (HeaderMap::new(), "one".to_owned());
        let id = answering(&fleet, "one", plain).await;
        fleet
            .platform
            .change(&id, |machine| machine.cordoned = true);
        assert_eq!(get(&fleet, "fly-prefer-instance-id", &id).await.0, 502);
        // The documents do not say what becomes of requests that are forced on it.
        let answers = fleet.platform.shared.switches.cordoned == Cordoned::GetsItsOwn;
        let forced = get(&fleet, "fly-force-instance-id", &id).await.0;
        assert_eq!(forced == 200, answers, "{forced}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_stops_itself_by_its_own_socket() {
    under_both(async |mut fleet| {
        let id = fleet.stopped("one");
        fleet.platform.boot(&id);
        let socket = fleet.platform.socket(&id);
        let client = Client::builder().unix_socket(socket).build().unwrap();
        let url = format!("http://flaps/v1/apps/{APP}/machines/{id}/stop");
        assert_eq!(client.post(url).send().await.unwrap().status(), 200);
        fleet.until(|| fleet.platform.state(&id) == "stopped").await;
        assert!(
            fleet
                .platform
                .resolve(&format!("{id}.vm.{APP}.internal"))
                .is_empty()
        );
    })
    .await;
}
