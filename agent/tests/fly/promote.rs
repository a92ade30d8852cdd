//! Promotions: a candidate proves its identity, and its image becomes the template's.

use serde_json::json;

use crate::{
    candidate::{Candidate, NEW, passed, promote},
    fleet::{config, under_both},
    platform::{APP, AUDIENCE, Fault, GATE},
};

const NEWER: &str = "registry.fly.io/agents@sha256:cccc";

#[tokio::test(flavor = "multi_thread")]
async fn the_image_of_a_candidate_that_passed_becomes_the_templates() {
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
        // It sweeps once an hour, and after a promotion.
        fleet.coordinator(&["--sweep", "3600", "--roll-idle", "0"]);
        let token = candidate.token().await;
        let (status, message) = promote(&fleet, &token, passed(NEW)).await;
        assert_eq!(
            (status, message["image"].as_str()),
            (200, Some(NEW)),
            "{message}"
        );
        assert_eq!(fleet.platform.image(&template), NEW);
        assert_eq!(fleet.platform.state(&template), "created", "it never runs");
        assert_eq!(fleet.platform.count("create", ""), 1, "one trial");
        assert_eq!(
            fleet.platform.machines_of(APP).len(),
            4,
            "the trial is destroyed"
        );
        for id in [&stopped, &idle] {
            fleet.until(|| fleet.platform.image(id) == NEW).await;
        }
        assert_eq!(fleet.platform.count("stop", &working), 0, "it is working");
        assert_eq!(fleet.platform.image(&working), config()["image"]);
        let (status, message) = promote(&fleet, &token, passed(NEW)).await;
        assert_eq!(
            (status, message["before"].as_str()),
            (200, Some(NEW)),
            "a second promotion changes nothing"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_older_than_the_last_promotion_is_refused() {
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
            let (status, message) = promote(&fleet, token, passed(image)).await;
            assert_eq!(status, 200, "{message}");
        }
        // One that was overheard and is sent again, and one that comes too late.
        let unused = first
            .token_with(json!({ "aud": AUDIENCE, "age": 30 }))
            .await;
        for token in [&old, &unused] {
            let (status, message) = promote(&fleet, token, passed(NEW)).await;
            assert_eq!(status, 409, "{message}");
            let message = message["error"].as_str().unwrap();
            assert!(message.contains("its token is not newer"), "{message}");
        }
        // Nor may it replace an image that was set by hand.
        let image = json!("by hand");
        fleet
            .platform
            .change(&template, |machine| machine.config["image"] = image);
        assert_eq!(promote(&fleet, &new, passed(NEWER)).await.0, 409);
        assert_eq!(fleet.platform.image(&template), "by hand");
        assert_eq!(fleet.platform.count("create", ""), 2, "no further trial");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_become_ready_changes_nothing() {
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
            let (status, message) = promote(&fleet, &token, passed(NEW)).await;
            fleet.platform.next_faults(&[]);
            assert_eq!(status, code, "{fault:?}: {message}");
            assert_eq!(fleet.platform.config(&template), before, "{fault:?}");
            assert_eq!(
                fleet.platform.machines_of(APP).len(),
                1,
                "{fault:?}: the trial is destroyed"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_valid_identity_tokens_are_accepted() {
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
        let claims = good.split('.').nth(1).unwrap();
        let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
        for (token, verdict, expected) in [
            (forged.replace(claims, "e30"), passed(NEW), "is not valid"),
            (unsigned, passed(NEW), "is not valid"),
            ("no token".to_owned(), passed(NEW), "is not valid"),
            (
                candidate
                    .token_with(json!({ "aud": "https://other" }))
                    .await,
                passed(NEW),
                "is not valid",
            ),
            (
                candidate
                    .token_with(json!({ "aud": AUDIENCE, "lifetime": -120 }))
                    .await,
                passed(NEW),
                "is not valid",
            ),
            (
                agent.token().await,
                passed(NEW),
                "machines of app agents may not promote",
            ),
            (good.clone(), json!({ "passed": false }), "did not pass"),
            (
                good.clone(),
                json!({ "passed": true, "digest": "sha256:cccc" }),
                "about another image",
            ),
        ] {
            let (status, message) = promote(&fleet, &token, verdict).await;
            assert_eq!(status, 403, "{message}");
            assert!(
                message["error"].as_str().unwrap().contains(expected),
                "{message}"
            );
        }
        // The machine runs another image by now, or is gone.
        let other = json!("registry.fly.io/agents@sha256:dddd");
        fleet
            .platform
            .change(&candidate.id, |machine| machine.config["image"] = other);
        assert_eq!(promote(&fleet, &good, passed(NEW)).await.0, 400);
        fleet.platform.shared.world().machines.remove(&candidate.id);
        assert_eq!(promote(&fleet, &good, passed(NEW)).await.0, 404);
        assert_eq!(fleet.platform.config(&template), before);
        assert_eq!(fleet.platform.count("create", ""), 0);
    })
    .await;
}
