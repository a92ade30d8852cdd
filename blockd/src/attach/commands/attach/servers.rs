//! Asking the servers for the export.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::attach::{
    commands::export_name::ExportName, layers::relay_settings::RelaySettings,
    state::lower_dir::LowerDir,
};
use blockd_nbd::{
    client::{self, Error, Offer},
    uri::{Address, NbdUri},
};

/// How long a server that is to take over may take to answer; one that is slower
/// is taken for one that is down.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(3);

/// What a server says to names with options that the user did not ask for.
pub(super) struct Answer {
    pub(super) offer: Offer,
    /// For each name that the server did not take: its refusal, if it said one.
    pub(super) refused: Vec<Option<String>>,
}

/// Takes the answer of the first server that has the export, by the first of `names`
/// that it takes: each has fewer options that not every server knows than the one
/// before, the last has none.
///
/// # Errors
///
/// When no server has it: what each says to the last name.
pub(super) async fn ask(settings: &RelaySettings, names: &[String]) -> Result<Answer> {
    let servers = settings.servers();
    let answers = servers.map(|server| ask_one(server, settings, names));
    let answer = client::first_of(answers).await;
    answer.map_err(|errors: Vec<Error>| {
        let reasons = errors.into_iter();
        let reasons = reasons.map(|error| format!("{:#}", anyhow::Error::from(error)));
        anyhow!("{}", reasons.collect::<Vec<_>>().join("; "))
    })
}

/// A server that refuses a name is of an older release, and one whose answer is no
/// canonical name is not blockd, and may take any name.
async fn ask_one(
    server: &NbdUri,
    settings: &RelaySettings,
    names: &[String],
) -> Result<Answer, Error> {
    let (last, others) = names
        .split_last()
        .expect("there is the name that was given");
    let mut refused = Vec::new();
    for name in others {
        match client::info(&server.address, settings.asked(name)).await {
            Err(refusal @ Error::Refused { .. }) => {
                refused.push(Some(format!("{server}: {refusal}")));
            }
            Ok(offer) if ExportName::parse(&offer.info.name).is_canonical() => {
                return Ok(Answer { offer, refused });
            }
            Ok(_) => refused.push(None),
            Err(error) => return Err(error),
        }
    }
    let offer = client::info(&server.address, settings.asked(last)).await?;
    Ok(Answer { offer, refused })
}

/// Asks the relay that serves this canonical name on this host, if there is one:
/// then no server is needed.
pub(super) async fn ask_relay(lower: &LowerDir, name: &str) -> Option<Offer> {
    let socket = lower.socket();
    if !socket.exists() {
        return None;
    }
    match client::info(&Address::Unix(socket), name).await {
        Ok(offer) => (offer.info.name == name).then_some(offer),
        Err(error) => {
            tracing::debug!("the servers are asked, since the relay fails: {error}");
            None
        }
    }
}

/// Checks that every server can take over from the others: that it shows the
/// disk of `offer`. Returns a warning for each that does not answer.
///
/// # Errors
///
/// When one shows another disk, or refuses this one.
pub(super) async fn check_all(settings: &RelaySettings, offer: &Offer) -> Result<Vec<String>> {
    if settings.also.is_empty() {
        return Ok(Vec::new());
    }
    let name = &offer.info.name;
    let checks = settings
        .servers()
        .map(|server| shown_by(server, settings, name));
    let mut warnings = Vec::new();
    for (server, shown) in settings.servers().zip(join_all(checks).await) {
        match shown {
            Shown::Same => {}
            Shown::Silent(reason) => warnings.push(format!(
                "{server} does not answer, and is asked again when it is needed: {reason}"
            )),
            Shown::Other(what) => bail!(
                "{server} cannot take over: {what}, and not {name}. Servers can take the place of \
                 one another if their repositories have the same packs: copy one with `rsync -a`, \
                 or leave this server out"
            ),
        }
    }
    Ok(warnings)
}

/// What a server has in place of a disk.
enum Shown {
    Same,
    Other(String),
    Silent(String),
}

/// A server that has never opened the commit refuses its canonical name; by the
/// name of the commit it makes a snapshot of its own, which may be the same.
async fn shown_by(server: &NbdUri, settings: &RelaySettings, name: &str) -> Shown {
    let of_commit = ExportName::parse(name).of_commit().to_string();
    let ask = async {
        match client::info(&server.address, settings.asked(name)).await {
            Err(Error::Refused { .. }) => {
                client::info(&server.address, settings.asked(&of_commit)).await
            }
            answer => answer,
        }
    };
    match timeout(TAKE_OVER_TIMEOUT, ask).await {
        Err(elapsed) => Shown::Silent(elapsed.to_string()),
        Ok(Ok(offer)) if offer.info.name == name => Shown::Same,
        Ok(Ok(offer)) => Shown::Other(format!("it shows {}", offer.info.name)),
        Ok(Err(refused @ Error::Refused { .. })) => Shown::Other(refused.to_string()),
        Ok(Err(error)) => Shown::Silent(format!("{:#}", anyhow::Error::from(error))),
    }
}
