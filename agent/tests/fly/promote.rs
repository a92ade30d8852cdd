//! A candidate promotes its own image, if the platform says who it is.

use serde_json::json;

use crate::{
    candidate::{Candidate, NEW, passed, promote},
    fleet::{config, under_both, until},
    platform::{APP, AUDIENCE, Fault, GATE},
};

const NEWER: &str = "registry.fly.io/agents@sha256:cccc";

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_passed_becomes_what_agents_are_made_of() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let candidate = Candidate::new(&mut fleet, GATE, NEW);
        let names = ["working", "idle", "stopped"];
        let [working, idle, stopped] = names.map(|name| fleet.stopped(name));
        for id in [&working, &idle] {
            fleet.platform.boot(id);
        }
        fleet.message(&working, "work 600").await;
        fleet.platform.listens(&idle).await;
        // It looks once an hour, and when there is something new.
        fleet.coordinator(&["--sweep", "3600", "--roll-idle", "0"]);
        let token = candidate.token().await;
        let (status, told) = promote(&fleet, &token, passed(NEW)).await;
        assert_eq!((status, told["image"].as_str()), (200, Some(NEW)), "{told}");
        assert_eq!(fleet.platform.image(&template), NEW);
        assert_eq!(fleet.platform.state(&template), "created", "it never runs");
        assert_eq!(fleet.platform.count("create", ""), 1, "one was tried");
        assert_eq!(fleet.platform.machines_of(APP).len(), 4, "and taken away");
        for id in [&stopped, &idle] {
            until(|| fleet.platform.image(id) == NEW).await;
        }
        assert_eq!(fleet.platform.count("stop", &working), 0, "it is at work");
        assert_eq!(fleet.platform.image(&working), config()["image"]);
        let (status, told) = promote(&fleet, &token, passed(NEW)).await;
        assert_eq!(
            (status, told["before"].as_str()),
            (200, Some(NEW)),
            "once is enough"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_nothing_once_there_is_something_newer() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let first = Candidate::new(&mut fleet, GATE, NEW);
        let second = Candidate::new(&mut fleet, GATE, NEWER);
        fleet.coordinator(&[]);
        let old = first
            .token_with(json!({ "aud": AUDIENCE, "age": 60 }))
            .await;
        let new = second.token().await;
        for (token, image) in [(&old, NEW), (&new, NEWER)] {
            let (status, told) = promote(&fleet, token, passed(image)).await;
            assert_eq!(status, 200, "{told}");
        }
        // Overheard, and sent again; or promoted too late.
        let unused = first
            .token_with(json!({ "aud": AUDIENCE, "age": 30 }))
            .await;
        for token in [&old, &unused] {
            let (status, told) = promote(&fleet, token, passed(NEW)).await;
            assert_eq!(status, 409, "{told}");
            let told = told["error"].as_str().unwrap();
            assert!(told.contains("its token is not newer"), "{told}");
        }
        // Nor does it undo what a person has set by hand.
        let image = json!("by hand");
        fleet
            .platform
            .with(&template, |machine| machine.config["image"] = image);
        assert_eq!(promote(&fleet, &new, passed(NEWER)).await.0, 409);
        assert_eq!(fleet.platform.image(&template), "by hand");
        assert_eq!(fleet.platform.count("create", ""), 2, "none was tried");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_come_up_changes_nothing() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let before = fleet.platform.config(&template);
        let candidate = Candidate::new(&mut fleet, GATE, NEW);
        fleet.coordinator(&["--patience", "8"]);
        let token = candidate.token().await;
        let full = Fault::Capacity(412, "insufficient resources available");
        for (fault, code) in [
            (Fault::Dies, 502),
            (Fault::Crashes, 502),
            (Fault::Silent, 504),
            (full, 503),
        ] {
            fleet.platform.next_faults(&[fault; 4]);
            let (status, told) = promote(&fleet, &token, passed(NEW)).await;
            fleet.platform.next_faults(&[]);
            assert_eq!(status, code, "{fault:?}: {told}");
            assert_eq!(fleet.platform.config(&template), before, "{fault:?}");
            assert_eq!(
                fleet.platform.machines_of(APP).len(),
                1,
                "{fault:?}: nothing is left over"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_platforms_word_counts() {
    under_both(async |mut fleet| {
        let template = fleet.template();
        let before = fleet.platform.config(&template);
        let candidate = Candidate::new(&mut fleet, GATE, NEW);
        let agent = Candidate::new(&mut fleet, APP, NEW);
        fleet.coordinator(&[]);
        let good = candidate.token().await;
        let mut forged = good.clone();
        let last = forged.pop().unwrap();
        forged.push(if last == 'A' { 'B' } else { 'A' });
        let mut parts = good.split('.');
        let (_, claims) = (parts.next(), parts.next().unwrap());
        let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
        for (token, verdict, expected) in [
            (forged.replace(claims, "e30"), passed(NEW), "does not count"),
            (unsigned, passed(NEW), "does not count"),
            ("no token".to_owned(), passed(NEW), "does not count"),
            (
                candidate
                    .token_with(json!({ "aud": "https://other" }))
                    .await,
                passed(NEW),
                "does not count",
            ),
            (
                candidate
                    .token_with(json!({ "aud": AUDIENCE, "lifetime": -120 }))
                    .await,
                passed(NEW),
                "does not count",
            ),
            (
                agent.token().await,
                passed(NEW),
                "machines of agents promote nothing",
            ),
            (good.clone(), json!({ "passed": false }), "did not pass"),
            (
                good.clone(),
                json!({ "passed": true, "digest": "sha256:cccc" }),
                "about another image",
            ),
        ] {
            let (status, told) = promote(&fleet, &token, verdict).await;
            assert_eq!(status, 403, "{told}");
            assert!(told["error"].as_str().unwrap().contains(expected), "{told}");
        }
        // The machine is gone, or runs something else by now.
        let other = json!("registry.fly.io/agents@sha256:dddd");
        fleet
            .platform
            .with(&candidate.id, |machine| machine.config["image"] = other);
        assert_eq!(promote(&fleet, &good, passed(NEW)).await.0, 400);
        fleet.platform.shared.world().machines.remove(&candidate.id);
        assert_eq!(promote(&fleet, &good, passed(NEW)).await.0, 404);
        assert_eq!(fleet.platform.config(&template), before);
        assert_eq!(fleet.platform.count("create", ""), 0);
    })
    .await;
}
