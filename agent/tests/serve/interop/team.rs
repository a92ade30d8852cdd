//! Codex with sub-agents, and codex as the client of another.

use super::codex::Real;
use crate::harness::poll_until;

#[tokio::test(flavor = "multi_thread")]
async fn two_sub_agents_work() {
    let real = Real::new(&[]).await;
    let mcp = real.server.mcp().await;
    mcp.start().await;
    assert_eq!(mcp.message("team fix_a fix_b").await["submitted"], true);
    for name in ["fix_a", "fix_b"] {
        let made = real.server.path(&format!("work/{name}"));
        poll_until("the work of a sub-agent", || {
            let text = std::fs::read_to_string(&made).ok()?;
            (text == "by a sub-agent").then_some(())
        });
    }
    real.server.is("idle").await;
    let askers = real.model.askers();
    for name in ["/root", "/root/fix_a", "/root/fix_b"] {
        assert!(askers.iter().any(|asker| asker == name), "{askers:?}");
    }
}
