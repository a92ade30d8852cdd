//! The requests of dockerd and their answers, as JSON.

use anyhow::{Result, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    driver::Driver,
    options::Given,
    volume::{Description, Volume},
};

/// The body of every request; each has some of the fields.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Request {
    name: String,
    /// Whose mount it is: Docker's choice, and the same at the unmount.
    #[serde(rename = "ID")]
    id: String,
    opts: Option<Given>,
}

/// What is asked for: the last part of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Activate,
    Capabilities,
    Create,
    Remove,
    Mount,
    Unmount,
    Path,
    Get,
    List,
}

const CALLS: [(&str, Call); 9] = [
    ("/Plugin.Activate", Call::Activate),
    ("/VolumeDriver.Capabilities", Call::Capabilities),
    ("/VolumeDriver.Create", Call::Create),
    ("/VolumeDriver.Remove", Call::Remove),
    ("/VolumeDriver.Mount", Call::Mount),
    ("/VolumeDriver.Unmount", Call::Unmount),
    ("/VolumeDriver.Path", Call::Path),
    ("/VolumeDriver.Get", Call::Get),
    ("/VolumeDriver.List", Call::List),
];

impl Call {
    pub(super) fn of(path: &str) -> Option<Self> {
        let found = CALLS.iter().find(|(known, _)| *known == path);
        found.map(|(_, call)| *call)
    }

    /// Whether a request has a body that counts.
    pub(super) fn has_request(self) -> bool {
        !matches!(self, Self::Activate | Self::Capabilities | Self::List)
    }

    /// Does what is asked for.
    ///
    /// # Errors
    ///
    /// As the volume does.
    pub(super) async fn answer(self, driver: &Driver, request: Request) -> Result<Value> {
        let Request { name, id, opts } = request;
        Ok(match self {
            Self::Activate => json!({"Implements": ["VolumeDriver"]}),
            Self::Capabilities => json!({"Capabilities": {"Scope": "local"}}),
            Self::Create => {
                let options = opts.unwrap_or_default();
                driver.with(&name, |it| it.create(options)).await?;
                json!({})
            }
            Self::Remove => {
                driver.with(&name, Volume::remove).await?;
                json!({})
            }
            Self::Mount => {
                let mountpoint = driver.with(&name, move |it| it.mount(&id)).await?;
                json!({"Mountpoint": mountpoint})
            }
            Self::Unmount => {
                driver.with(&name, move |it| it.unmount(&id)).await?;
                json!({})
            }
            Self::Path => json!({"Mountpoint": describe(driver, &name).await?.mountpoint}),
            Self::Get => json!({"Volume": shown(&describe(driver, &name).await?)}),
            Self::List => list(driver).await?,
        })
    }
}

async fn describe(driver: &Driver, name: &str) -> Result<Description> {
    let found = driver.with(name, Volume::describe).await?;
    found.ok_or_else(|| anyhow!("there is no volume {name}"))
}

/// A volume whose record cannot be read is left out of the list, and said in the log.
async fn list(driver: &Driver) -> Result<Value> {
    let mut volumes = Vec::new();
    for name in driver.names().await? {
        match driver.with(name.as_str(), Volume::describe).await {
            Ok(found) => volumes.extend(found.as_ref().map(shown)),
            Err(error) => tracing::warn!("the volume {name}: {error:#}"),
        }
    }
    Ok(json!({ "Volumes": volumes }))
}

fn shown(volume: &Description) -> Value {
    let Description {
        name,
        mountpoint,
        mounts,
        uri,
    } = volume;
    let mut shown = json!({"Name": name.as_str(), "Status": {"uri": uri, "mounts": mounts}});
    if let Some(mountpoint) = mountpoint {
        shown["Mountpoint"] = json!(mountpoint);
    }
    shown
}
