//! The real path: a guest's kernel attaches with stock nbd-client, and vanilla
//! git works on the overlay.

use crate::harness::{Fixture, GuestRun, TestBlockd, TestRepo, stdout};

/// The digest of all files of a work tree, in busybox and on the host.
const DIGEST: &str = "find . -name .git -prune -o -type f -print0 | LC_ALL=C sort -z | \
                      xargs -0 sha256sum | sha256sum";

/// What git must do in the folder where the guest stands.
const WORK: &str = r#"
    test -z "$(git status --porcelain)"
    echo "head: $(git rev-parse HEAD)"
    echo "commits: $(git rev-list --count HEAD)"
    echo "digest: $(DIGEST)"
    git blame -s README.md >/dev/null
    git fsck --no-progress
    echo more >>README.md
    test "$(git status --porcelain)" = " M README.md"
    git commit -qam edit
    git mv src/part1 src/moved
    git commit -qm moved
    test -z "$(git status --porcelain)"
    git checkout -q HEAD~10
    git checkout -q main
"#;

fn serve() -> (TestRepo, TestBlockd) {
    let fixture = Fixture::get("history");
    (
        fixture.repo("history"),
        TestBlockd::serve_tcp(fixture.folder()),
    )
}

fn script(text: &str, server: &TestBlockd) -> String {
    let port = server.port().to_string();
    text.replace("WORK", WORK)
        .replace("DIGEST", DIGEST)
        .replace("PORT", &port)
}

#[track_caller]
fn judge(guest: &GuestRun, repo: &TestRepo) {
    guest.assert_ended_well();
    guest.assert_kernel_content();
    assert_eq!(guest.value("head:"), repo.id("main"));
    assert_eq!(
        guest.value("commits:"),
        repo.git(&["rev-list", "--count", "main"])
    );
    let checkout = repo.checkout("main");
    let mut digest = std::process::Command::new("sh");
    digest.args(["-c", DIGEST]).current_dir(checkout.path());
    assert_eq!(guest.value("digest:"), stdout(&mut digest));
}

#[test]
fn nbd_client_with_one_and_with_four_connections() {
    let (repo, server) = serve();
    let guest = GuestRun::of(&script(
        r#"
        mkdir /lower /cow /merged
        for connections in 1 4; do
            nbd-client 192.0.2.2 PORT /dev/nbd0 -N history@main -C $connections
            test "$(cat /sys/block/nbd0/ro)" = 1
            mount -t ext4 -o ro /dev/nbd0 /lower
            mount -t tmpfs tmpfs /cow
            mkdir /cow/upper /cow/work
            mount -t overlay overlay -o metacopy=on,redirect_dir=on,xino=on,lowerdir=/lower,upperdir=/cow/upper,workdir=/cow/work /merged
            cd /merged
            WORK
            cd /
            umount /merged /lower /cow
            nbd-client -d /dev/nbd0
        done
        "#,
        &server,
    ));
    judge(&guest, &repo);
    server.stop();
}

#[test]
fn attach_takes_the_kernels_nbd_where_there_is_one() {
    let (repo, server) = serve();
    let guest = GuestRun::of(&script(
        r#"
        mkdir /work
        blockd attach nbd://192.0.2.2:PORT/history@main /work --state /run/state
        grep -q '^/dev/nbd0 .* ext4 ro' /proc/mounts
        cd /work
        WORK
        edited=$(git rev-parse HEAD)
        cd /
        blockd detach /work --state /run/state
        if grep -E 'nbd|overlay' /proc/mounts; then exit 1; fi
        test ! -e /sys/block/nbd0/pid
        blockd attach nbd://192.0.2.2:PORT/history@main /work --state /run/state
        test "$(git -C /work rev-parse HEAD)" = "$edited"
        blockd detach /work --state /run/state --discard
        blockd attach nbd://192.0.2.2:PORT/history@main /work --state /run/state --via fuse
        grep -q '^/dev/loop' /proc/mounts
        git -C /work status --porcelain
        blockd detach /work --state /run/state
        "#,
        &server,
    ));
    judge(&guest, &repo);
}
